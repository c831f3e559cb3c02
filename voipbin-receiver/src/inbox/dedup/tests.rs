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

fn cache(capacity: usize) -> (DedupCache, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    (DedupCache::new(TTL, capacity, clock.clone()), clock)
}

fn identity(number: u64) -> Identity {
    Identity::of_unsigned(&number.to_be_bytes())
}

fn insert(cache: &DedupCache, identity: Identity) -> Kept {
    cache
        .insert_if_absent(identity, || Ok::<(), Infallible>(()))
        .unwrap()
}

#[test]
fn a_known_identity_is_not_kept_again() {
    let (cache, _) = cache(10);
    assert_eq!(insert(&cache, identity(1)), Kept::New);
    let again = cache.insert_if_absent(identity(1), || -> Result<(), ()> { panic!("kept twice") });
    assert_eq!(again, Ok(Kept::Duplicate));
    assert_eq!(insert(&cache, identity(2)), Kept::New);
}

#[test]
fn nothing_is_remembered_when_keeping_fails() {
    let (cache, _) = cache(10);
    assert_eq!(
        cache.insert_if_absent(identity(1), || Err("full")),
        Err("full")
    );
    assert_eq!(cache.len(), 0);
    assert_eq!(insert(&cache, identity(1)), Kept::New);
}

#[test]
fn the_time_to_live_runs_from_keeping_and_copies_do_not_prolong_it() {
    let (cache, clock) = cache(10);
    insert(&cache, identity(1));
    cache.finish(identity(1));
    clock.advance(TTL - Duration::from_secs(1));
    assert_eq!(insert(&cache, identity(1)), Kept::Duplicate);
    clock.advance(Duration::from_secs(2));
    assert_eq!(insert(&cache, identity(1)), Kept::New);
}

#[test]
fn an_open_identity_outlives_its_time() {
    let (cache, clock) = cache(10);
    insert(&cache, identity(1));
    clock.advance(TTL * 3);
    assert_eq!(insert(&cache, identity(1)), Kept::Duplicate);
    cache.finish(identity(1));
    assert_eq!(insert(&cache, identity(1)), Kept::New);
}

#[test]
fn at_capacity_the_one_that_finished_first_goes_and_is_counted() {
    let (cache, _) = cache(3);
    for number in [1, 2, 3] {
        insert(&cache, identity(number));
    }
    for number in [2, 1, 3] {
        cache.finish(identity(number));
    }
    assert_eq!(insert(&cache, identity(4)), Kept::New);
    assert_eq!((cache.len(), cache.evicted()), (3, 1));
    for number in [1, 3, 4] {
        assert_eq!(
            insert(&cache, identity(number)),
            Kept::Duplicate,
            "{number}"
        );
    }
    assert_eq!(insert(&cache, identity(2)), Kept::New);
}

#[test]
fn open_identities_are_never_evicted_even_over_capacity() {
    let (cache, _) = cache(2);
    for number in 0..10 {
        assert_eq!(insert(&cache, identity(number)), Kept::New);
    }
    assert_eq!((cache.len(), cache.evicted()), (10, 0));
    for number in 0..10 {
        assert_eq!(insert(&cache, identity(number)), Kept::Duplicate);
    }
}

#[test]
fn expired_identities_give_their_room_back_as_others_finish() {
    let (cache, clock) = cache(10_000);
    for number in 0..1000 {
        insert(&cache, identity(number));
        cache.finish(identity(number));
    }
    clock.advance(TTL * 2);
    for number in 1000..1600 {
        insert(&cache, identity(number));
        cache.finish(identity(number));
    }
    assert_eq!(cache.len(), 600);
    assert_eq!(cache.evicted(), 0);
}

#[test]
fn of_many_copies_at_one_instant_one_is_kept() {
    let (cache, _) = cache(10);
    let (threads, kept) = (8, AtomicU64::new(0));
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                for number in 0..2000 {
                    if insert(&cache, identity(number)) == Kept::New {
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
fn a_touch_tells_whether_the_last_one_was_within_the_time() {
    let (cache, clock) = cache(10);
    let touch = |number| {
        let mut before = false;
        let kept: Result<(), ()> = cache.touch(identity(number), |repeat| {
            before = repeat;
            Ok(())
        });
        kept.unwrap();
        before
    };
    assert!(!touch(1));
    clock.advance(TTL - Duration::from_secs(10));
    assert!(touch(1));
    // Counted from the last one, not from the first.
    clock.advance(TTL - Duration::from_secs(10));
    assert!(touch(1));
    clock.advance(TTL + Duration::from_secs(1));
    assert!(!touch(1));
    assert!(!touch(2));
}

#[test]
fn a_touch_that_is_not_kept_is_not_remembered() {
    let (cache, _) = cache(10);
    assert_eq!(cache.touch(identity(1), |_| Err("full")), Err("full"));
    assert_eq!(
        cache.touch(identity(1), |repeat| if repeat {
            Err("repeat")
        } else {
            Ok(())
        }),
        Ok(())
    );
}

#[test]
fn an_identity_that_came_again_after_its_end_is_not_the_first_to_go() {
    let (cache, clock) = cache(3);
    insert(&cache, identity(1));
    cache.finish(identity(1));
    clock.advance(TTL - Duration::from_secs(1));
    insert(&cache, identity(2));
    cache.finish(identity(2));
    clock.advance(Duration::from_secs(2));
    assert_eq!(insert(&cache, identity(1)), Kept::New);
    cache.finish(identity(1));
    insert(&cache, identity(3));
    cache.finish(identity(3));
    insert(&cache, identity(4));
    assert_eq!(
        insert(&cache, identity(1)),
        Kept::Duplicate,
        "it was kept after the second"
    );
    assert_eq!(insert(&cache, identity(2)), Kept::New);
}

#[test]
fn capacity_holds_again_after_more_were_open_than_it() {
    let (cache, _) = cache(10);
    for number in 0..1000 {
        insert(&cache, identity(number));
    }
    for number in 0..1000 {
        cache.finish(identity(number));
    }
    assert_eq!(cache.len(), 10);
    for number in 990..1000 {
        assert_eq!(
            insert(&cache, identity(number)),
            Kept::Duplicate,
            "{number}"
        );
    }
}

#[test]
fn an_identity_that_is_touched_again_and_again_does_not_keep_the_others() {
    let (cache, clock) = cache(10_000);
    let touch = |number| {
        cache
            .touch(identity(number), |_| Ok::<(), Infallible>(()))
            .unwrap()
    };
    for minute in 0..1440 {
        touch(u64::MAX);
        for other in 0..10 {
            touch(minute * 10 + other);
        }
        clock.advance(Duration::from_secs(60));
    }
    // Of ten minutes and what is taken off with the next push.
    assert!(cache.len() <= 130, "{}", cache.len());
    assert_eq!(cache.expiry_queue().len(), cache.len());
}

#[test]
fn one_that_comes_again_after_its_time_is_in_the_queue_once() {
    let (cache, clock) = cache(10_000);
    // It is open for long, and so the head of the queue does not expire.
    insert(&cache, identity(1));
    for _ in 0..1000 {
        insert(&cache, identity(2));
        cache.finish(identity(2));
        clock.advance(TTL + Duration::from_secs(1));
        assert_eq!(insert(&cache, identity(2)), Kept::New);
    }
    cache.finish(identity(2));
    assert_eq!((cache.len(), cache.expiry_queue().len()), (2, 1));
}

#[test]
fn of_many_as_many_are_kept_as_may_be_and_those_that_finished_last() {
    let capacity = 30_000;
    let (cache, _) = cache(capacity);
    let count = 5 * capacity as u64;
    for number in 0..count {
        assert_eq!(insert(&cache, identity(number)), Kept::New);
        cache.finish(identity(number));
    }
    assert_eq!(cache.len(), capacity);
    assert_eq!(cache.evicted(), count - capacity as u64);
    for number in count - capacity as u64..count {
        assert_eq!(
            insert(&cache, identity(number)),
            Kept::Duplicate,
            "{number}"
        );
    }
}

#[test]
fn threads_that_keep_and_finish_at_once_leave_the_count_and_the_queue_right() {
    let (cache, clock) = cache(100);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, clock) = (&cache, &clock);
            scope.spawn(move || {
                for number in 0..5_000 {
                    // Of 200, so that they meet, come again after their time and are too many.
                    let identity = identity((number * 7 + thread) % 200);
                    if insert(cache, identity) == Kept::New {
                        clock.advance(TTL / 50);
                        cache.finish(identity);
                    }
                }
            });
        }
    });
    cache.expire(cache.now());
    assert_eq!(cache.len(), cache.entries.len());
    assert_eq!(cache.expiry_queue().len(), cache.len());
    assert!(cache.len() <= 100);
}

#[cfg(feature = "disk-system")]
#[test]
fn what_was_kept_before_has_the_rest_of_its_time_and_an_open_one_stays() {
    let (cache, clock) = cache(10);
    let minute = Duration::from_secs(60);
    cache.insert(identity(1), TTL + minute, false);
    cache.insert(identity(2), TTL + minute, true);
    cache.insert(identity(3), TTL - minute, false);
    cache.insert(identity(4), minute, false);
    let known = |cache: &DedupCache| [1, 2, 3, 4].map(|number| cache.contains(identity(number)));
    assert_eq!(known(&cache), [false, true, true, true]);
    clock.advance(2 * minute);
    assert_eq!(known(&cache), [false, true, false, true]);
    cache.finish(identity(2));
    assert_eq!(known(&cache), [false, false, false, true]);
    clock.advance(TTL);
    assert_eq!(known(&cache), [false; 4]);
}
