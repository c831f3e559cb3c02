use std::convert::Infallible;
use std::time::SystemTime;

use shuttle::thread;

use super::*;
use crate::sync::atomic::AtomicBool;
use crate::sync::model::{check, step};

/// It stands still until it is set.
#[derive(Debug, Default)]
struct HandSet(std::sync::atomic::AtomicU64);

impl HandSet {
    fn set(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for HandSet {
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
}

const TTL: Duration = Duration::from_secs(600);

fn seen(capacity: usize) -> (Arc<Seen>, Arc<HandSet>) {
    let clock = Arc::new(HandSet::default());
    (Arc::new(Seen::new(TTL, capacity, clock.clone())), clock)
}

fn key(number: u64) -> EventKey {
    EventKey::of_unsigned(&number.to_be_bytes())
}

fn admit(seen: &Seen, number: u64) -> Admitted {
    let Ok(admitted) = seen.admit(key(number), || Ok::<(), Infallible>(()));
    admitted
}

/// Runs them all at once, to their ends.
fn at_once<T: Send + 'static>(
    jobs: impl IntoIterator<Item = Box<dyn FnOnce() -> T + Send>>,
) -> Vec<T> {
    let threads: Vec<_> = jobs.into_iter().map(thread::spawn).collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect()
}

fn job<T>(job: impl FnOnce() -> T + Send + 'static) -> Box<dyn FnOnce() -> T + Send> {
    Box::new(job)
}

/// The number that is counted is the number that is there.
fn assert_counted(seen: &Seen) {
    assert_eq!(seen.len(), seen.shard.lock().unwrap().len());
}

#[test]
fn of_copies_at_once_one_is_kept_and_none_is_known_before() {
    check(|| {
        let (seen, _) = seen(10);
        let kept = Arc::new(AtomicBool::new(false));
        let copies = (0..3).map(|_| {
            let (seen, kept) = (Arc::clone(&seen), Arc::clone(&kept));
            job(move || {
                let keep = || {
                    step();
                    kept.store(true, Ordering::SeqCst);
                    Ok::<(), Infallible>(())
                };
                let Ok(admitted) = seen.admit(key(1), keep);
                assert!(kept.load(Ordering::SeqCst), "known, and not kept");
                admitted
            })
        });
        let admitted = at_once(copies);
        let new = admitted.iter().filter(|one| **one == Admitted::New);
        assert_eq!(new.count(), 1);
        assert_counted(&seen);
    });
}

#[test]
fn a_keep_that_fails_burns_nothing() {
    check(|| {
        let (seen, _) = seen(10);
        let copies = [false, false, true].map(|succeeds| {
            let seen = Arc::clone(&seen);
            job(move || {
                seen.admit(key(1), || {
                    step();
                    if succeeds { Ok(()) } else { Err(()) }
                })
            })
        });
        let admitted = at_once(copies);
        // The last is the only one that can make it known, and is itself new whatever came before.
        assert_eq!(admitted[2], Ok(Admitted::New));
        for other in &admitted[..2] {
            assert!(matches!(other, Err(()) | Ok(Admitted::Known)));
        }
        assert_eq!(admit(&seen, 1), Admitted::Known);
        assert_counted(&seen);
    });
}

#[test]
fn an_open_identity_is_never_forgotten_and_of_finished_ones_no_more_are_kept_than_may_be() {
    check(|| {
        let (seen, _) = seen(1);
        let come_and_go = [1, 2, 3].map(|number| {
            let seen = Arc::clone(&seen);
            job(move || {
                assert_eq!(admit(&seen, number), Admitted::New);
                assert_eq!(
                    admit(&seen, number),
                    Admitted::Known,
                    "forgotten while open"
                );
                if number != 3 {
                    seen.finish(key(number));
                }
            })
        });
        at_once(come_and_go);
        assert_counted(&seen);
        assert!(seen.len() <= 1, "{} are remembered", seen.len());
        assert_eq!(admit(&seen, 3), Admitted::Known, "forgotten while open");
    });
}

#[test]
fn what_is_kept_again_after_its_time_is_not_forgotten_with_its_old_place() {
    check(|| {
        let (seen, clock) = seen(10);
        for number in [1, 2] {
            assert_eq!(admit(&seen, number), Admitted::New);
        }
        seen.finish(key(1));
        clock.set(TTL * 2);
        let again = Arc::clone(&seen);
        let other = Arc::clone(&seen);
        at_once([
            job(move || {
                assert_eq!(admit(&again, 1), Admitted::New);
                assert_eq!(admit(&again, 1), Admitted::Known, "forgotten while open");
            }),
            // Takes what has expired off the line.
            job(move || other.finish(key(2))),
        ]);
        assert_eq!(admit(&seen, 1), Admitted::Known, "forgotten while open");
        seen.finish(key(1));
        assert_counted(&seen);
    });
}

#[test]
fn of_the_same_bytes_at_once_all_are_kept_and_all_but_the_first_are_marked() {
    check(|| {
        let (seen, _) = seen(10);
        let notes = (0..3).map(|_| {
            let seen = Arc::clone(&seen);
            job(move || {
                let mut marked = false;
                let Ok(()) = seen.note(key(1), |repeat| {
                    step();
                    marked = repeat;
                    Ok::<(), Infallible>(())
                });
                marked
            })
        });
        let marked = at_once(notes).into_iter().filter(|marked| *marked);
        assert_eq!(marked.count(), 2);
        assert_counted(&seen);
    });
}
