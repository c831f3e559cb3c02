use std::convert::Infallible;
use std::sync::Barrier;
use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use super::*;

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl TestClock {
    fn advance(&self, time: Duration) {
        self.0
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
}

const TTL: Duration = Duration::from_secs(600);

fn seen(capacity: usize) -> (Seen, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    (Seen::new(TTL, capacity, clock.clone()), clock)
}

fn key(number: u64) -> EventKey {
    EventKey::of_unsigned(&number.to_be_bytes())
}

fn admit(seen: &Seen, key: EventKey) -> Admitted {
    seen.admit(key, || Ok::<(), Infallible>(())).unwrap()
}

#[test]
fn a_known_identity_is_not_kept_again() {
    let (seen, _) = seen(10);
    assert_eq!(admit(&seen, key(1)), Admitted::New);
    let again = seen.admit(key(1), || -> Result<(), ()> { panic!("kept twice") });
    assert_eq!(again, Ok(Admitted::Known));
    assert_eq!(admit(&seen, key(2)), Admitted::New);
}

#[test]
fn nothing_is_remembered_when_keeping_fails() {
    let (seen, _) = seen(10);
    assert_eq!(seen.admit(key(1), || Err("full")), Err("full"));
    assert_eq!(seen.len(), 0);
    assert_eq!(admit(&seen, key(1)), Admitted::New);
}

#[test]
fn the_time_to_live_runs_from_keeping_and_copies_do_not_prolong_it() {
    let (seen, clock) = seen(10);
    admit(&seen, key(1));
    seen.finish(key(1));
    clock.advance(TTL - Duration::from_secs(1));
    assert_eq!(admit(&seen, key(1)), Admitted::Known);
    clock.advance(Duration::from_secs(2));
    assert_eq!(admit(&seen, key(1)), Admitted::New);
}

#[test]
fn an_open_identity_outlives_its_time() {
    let (seen, clock) = seen(10);
    admit(&seen, key(1));
    clock.advance(TTL * 3);
    assert_eq!(admit(&seen, key(1)), Admitted::Known);
    seen.finish(key(1));
    assert_eq!(admit(&seen, key(1)), Admitted::New);
}

#[test]
fn at_capacity_the_one_that_finished_first_goes_and_is_counted() {
    let (seen, _) = seen(3);
    for number in [1, 2, 3] {
        admit(&seen, key(number));
    }
    for number in [2, 1, 3] {
        seen.finish(key(number));
    }
    assert_eq!(admit(&seen, key(4)), Admitted::New);
    assert_eq!((seen.len(), seen.evicted()), (3, 1));
    for number in [1, 3, 4] {
        assert_eq!(admit(&seen, key(number)), Admitted::Known, "{number}");
    }
    assert_eq!(admit(&seen, key(2)), Admitted::New);
}

#[test]
fn open_identities_are_never_evicted_even_over_capacity() {
    let (seen, _) = seen(2);
    for number in 0..10 {
        assert_eq!(admit(&seen, key(number)), Admitted::New);
    }
    assert_eq!((seen.len(), seen.evicted()), (10, 0));
    for number in 0..10 {
        assert_eq!(admit(&seen, key(number)), Admitted::Known);
    }
}

#[test]
fn expired_identities_give_their_room_back_as_others_finish() {
    let (seen, clock) = seen(10_000);
    for number in 0..1000 {
        admit(&seen, key(number));
        seen.finish(key(number));
    }
    clock.advance(TTL * 2);
    for number in 1000..1600 {
        admit(&seen, key(number));
        seen.finish(key(number));
    }
    assert_eq!(seen.len(), 600);
    assert_eq!(seen.evicted(), 0);
}

#[test]
fn of_many_copies_at_one_instant_one_is_kept() {
    let (seen, _) = seen(10);
    let (threads, kept) = (8, AtomicU64::new(0));
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                for number in 0..2000 {
                    if admit(&seen, key(number)) == Admitted::New {
                        kept.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    // All stay open, so capacity does not matter.
    assert_eq!(kept.into_inner(), 2000);
}

#[test]
fn two_identities_that_share_their_first_half_are_both_handled() {
    let (seen, clock) = seen(10);
    let (mut one, mut other) = ([7; 16], [7; 16]);
    (one[15], other[15]) = (1, 2);
    let (one, other) = (EventKey::from_bytes(one), EventKey::from_bytes(other));
    assert_eq!(admit(&seen, one), Admitted::New);
    assert_eq!(admit(&seen, other), Admitted::New);
    seen.finish(other);
    assert_eq!(admit(&seen, one), Admitted::Known);
    seen.finish(one);
    clock.advance(TTL * 2);
    assert_eq!(admit(&seen, other), Admitted::New);
    assert_eq!(admit(&seen, other), Admitted::Known);
}

#[test]
fn a_note_tells_whether_the_last_one_was_within_the_time() {
    let (seen, clock) = seen(10);
    let note = |number| {
        let mut before = false;
        let kept: Result<(), ()> = seen.note(key(number), |repeat| {
            before = repeat;
            Ok(())
        });
        kept.unwrap();
        before
    };
    assert!(!note(1));
    clock.advance(TTL - Duration::from_secs(10));
    assert!(note(1));
    // Counted from the last one, not from the first.
    clock.advance(TTL - Duration::from_secs(10));
    assert!(note(1));
    clock.advance(TTL + Duration::from_secs(1));
    assert!(!note(1));
    assert!(!note(2));
}

#[test]
fn a_note_that_is_not_kept_is_not_remembered() {
    let (seen, _) = seen(10);
    assert_eq!(seen.note(key(1), |_| Err("full")), Err("full"));
    assert_eq!(
        seen.note(key(1), |repeat| if repeat { Err("repeat") } else { Ok(()) }),
        Ok(())
    );
}

#[test]
fn an_identity_that_came_again_after_its_end_is_not_the_first_to_go() {
    let (seen, clock) = seen(3);
    admit(&seen, key(1));
    seen.finish(key(1));
    clock.advance(TTL - Duration::from_secs(1));
    admit(&seen, key(2));
    seen.finish(key(2));
    clock.advance(Duration::from_secs(2));
    assert_eq!(admit(&seen, key(1)), Admitted::New);
    seen.finish(key(1));
    admit(&seen, key(3));
    seen.finish(key(3));
    admit(&seen, key(4));
    assert_eq!(
        admit(&seen, key(1)),
        Admitted::Known,
        "it was kept after the second"
    );
    assert_eq!(admit(&seen, key(2)), Admitted::New);
}

#[test]
fn capacity_holds_again_after_more_were_open_than_it() {
    let (seen, _) = seen(10);
    for number in 0..1000 {
        admit(&seen, key(number));
    }
    for number in 0..1000 {
        seen.finish(key(number));
    }
    assert_eq!(seen.len(), 10);
    for number in 990..1000 {
        assert_eq!(admit(&seen, key(number)), Admitted::Known, "{number}");
    }
}

#[test]
fn one_note_that_comes_again_and_again_does_not_keep_the_others() {
    let (seen, clock) = seen(10_000);
    let note = |number| {
        seen.note(key(number), |_| Ok::<(), Infallible>(()))
            .unwrap()
    };
    for minute in 0..1440 {
        note(u64::MAX);
        for other in 0..10 {
            note(minute * 10 + other);
        }
        clock.advance(Duration::from_secs(60));
    }
    // Of ten minutes and what is taken off with the next push.
    assert!(seen.len() <= 130, "{}", seen.len());
    let standing = seen.shard.lock().unwrap().standing();
    assert!(standing <= 2 * seen.len() + 256, "{standing}");
}

#[test]
fn of_many_spread_over_shards_as_many_are_kept_as_may_be_and_those_that_finished_last() {
    let capacity = 4 * PER_SHARD;
    let (seen, _) = seen(capacity);
    assert_eq!(seen.further_shards.len(), 3);
    let count = 5 * capacity as u64;
    for number in 0..count {
        assert_eq!(admit(&seen, key(number)), Admitted::New);
        seen.finish(key(number));
    }
    assert!((capacity - AHEAD..=capacity).contains(&seen.len()));
    assert_eq!(seen.evicted(), count - seen.len() as u64);
    // A shard has a few more than the others, or fewer.
    for number in count - capacity as u64 * 9 / 10..count {
        assert_eq!(admit(&seen, key(number)), Admitted::Known, "{number}");
    }
}
