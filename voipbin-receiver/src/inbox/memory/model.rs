use std::collections::BTreeSet;
use std::future::Future;

use shuttle::future::block_on;
use shuttle::sync::mpsc;
use shuttle::thread;

use super::*;
use crate::inbox::model::{StoppedClock, incoming, name, names};
use crate::inbox::{Attempt, AttemptEnd};
use crate::sync::model::time::NEVER;
use crate::sync::model::{check, wait_and_go};

/// An inbox and whoever takes from it.
struct Consumed {
    inbox: MemoryInbox,
    consumer: Box<dyn Consumer>,
}

impl Consumed {
    fn take(&self, max: usize) -> impl Future<Output = Option<Vec<Job>>> + '_ {
        self.consumer.take(Prefetch::for_jobs(max))
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        self.consumer.settle(job, outcome);
    }

    fn drain(&self) {
        self.consumer.drain();
    }

    fn stats(&self) -> InboxStats {
        self.inbox.stats()
    }
}

fn inbox() -> Arc<Consumed> {
    inbox_of(MemoryInbox::DEFAULT_MAX_EVENTS)
}

fn inbox_of(max_events: usize) -> Arc<Consumed> {
    let inbox = MemoryInbox::builder().clock(Arc::new(StoppedClock));
    let inbox = inbox.max_events(max_events).build();
    let consumer = inbox.consume().unwrap();
    Arc::new(Consumed { inbox, consumer })
}

fn keep(inbox: &Consumed, number: u32, jobs: usize) -> Result<Kept, KeepErrorKind> {
    keep_in(&inbox.inbox, number, jobs)
}

fn keep_in(inbox: &MemoryInbox, number: u32, jobs: usize) -> Result<Kept, KeepErrorKind> {
    block_on(inbox.keep(incoming(number, jobs))).map_err(|error| error.kind())
}

/// None when there will be none any more.
fn take(inbox: &Consumed, max: usize) -> Vec<Job> {
    block_on(inbox.take(max)).unwrap_or_default()
}

fn failed(after: Duration) -> Settled {
    let failed = Attempt::new(
        std::time::SystemTime::UNIX_EPOCH,
        Duration::ZERO,
        AttemptEnd::Panicked,
    );
    Settled::Retry {
        failed,
        after,
        in_place: false,
    }
}

/// Takes and settles until the inbox has ended, and tells of each job once it is taken.
fn work(
    inbox: &Arc<Consumed>,
    max: usize,
    told: mpsc::Sender<(String, String)>,
) -> thread::JoinHandle<()> {
    let inbox = Arc::clone(inbox);
    thread::spawn(move || {
        loop {
            let jobs = take(&inbox, max);
            if jobs.is_empty() {
                return;
            }
            assert!(jobs.len() <= max);
            for job in jobs {
                told.send(name(&job)).unwrap();
                inbox.settle(&job, Settled::Done);
            }
        }
    })
}

/// So many jobs, each of which must be another one.
fn different(told: &mpsc::Receiver<(String, String)>, count: usize) -> BTreeSet<(String, String)> {
    let jobs: BTreeSet<_> = (0..count).map(|_| told.recv().unwrap()).collect();
    assert_eq!(jobs.len(), count, "one was handed out twice");
    jobs
}

#[test]
fn every_job_is_handed_out_once_and_no_wake_up_is_lost() {
    check(|| {
        let inbox = inbox();
        let (tell, told) = mpsc::channel();
        let takers = [1, 2].map(|max| work(&inbox, max, tell.clone()));
        let keepers = [(1, 2), (2, 1)].map(|(number, jobs)| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || assert_eq!(keep(&inbox, number, jobs), Ok(Kept::New)))
        });
        // It is not drained before all have come: that would wake whoever was forgotten.
        let jobs = different(&told, 3);
        assert!(jobs.iter().eq(&[names(1, 2), names(2, 1)].concat()));
        keepers
            .into_iter()
            .for_each(|keeper| keeper.join().unwrap());
        inbox.drain();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        drop(tell);
        assert!(told.recv().is_err(), "one was handed out twice");
        let stats = inbox.stats();
        assert_eq!((stats.events, stats.bytes), (0, 0));
    });
}

#[test]
fn who_goes_away_takes_no_wake_up_along() {
    check(|| {
        let inbox = inbox();
        let goes = Arc::clone(&inbox);
        let goes = thread::spawn(move || {
            for job in wait_and_go(goes.take(1)).flatten().unwrap_or_default() {
                goes.settle(&job, Settled::Released);
            }
        });
        let stays = Arc::clone(&inbox);
        let stays = thread::spawn(move || take(&stays, 1));
        assert_eq!(keep(&inbox, 1, 1), Ok(Kept::New));
        let jobs = stays.join().unwrap();
        assert!(jobs.iter().map(name).eq(names(1, 1)));
        goes.join().unwrap();
    });
}

#[test]
fn a_failed_job_comes_again_to_whoever_waits() {
    for after in [Duration::ZERO, Duration::from_secs(1)] {
        check(move || {
            let inbox = inbox();
            let (tell, told) = mpsc::channel();
            let takers = [(); 2].map(|()| {
                let (inbox, tell) = (Arc::clone(&inbox), tell.clone());
                thread::spawn(move || {
                    while let [job] = &*take(&inbox, 1) {
                        if job.attempts() == 0 {
                            inbox.settle(job, failed(after));
                        } else {
                            inbox.settle(job, Settled::Done);
                            tell.send(job.attempts()).unwrap();
                        }
                    }
                })
            });
            assert_eq!(keep(&inbox, 1, 2), Ok(Kept::New));
            assert_eq!((told.recv().unwrap(), told.recv().unwrap()), (1, 1));
            inbox.drain();
            takers.into_iter().for_each(|taker| taker.join().unwrap());
            assert_eq!(inbox.stats().events, 0);
        });
    }
}

#[test]
fn of_two_who_wait_each_gets_a_job_of_one_event() {
    check(|| {
        let inbox = inbox();
        let takers = [(); 2].map(|()| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || take(&inbox, 1))
        });
        assert_eq!(keep(&inbox, 1, 2), Ok(Kept::New));
        let jobs = takers.map(|taker| taker.join().unwrap()).concat();
        let jobs: BTreeSet<_> = jobs.iter().map(name).collect();
        assert!(jobs.iter().eq(&names(1, 2)));
    });
}

#[test]
fn what_waits_for_its_time_or_fails_late_is_handed_out_before_the_end() {
    check(|| {
        let inbox = inbox();
        assert_eq!(keep(&inbox, 1, 1), Ok(Kept::New));
        let jobs = take(&inbox, 1);
        let fails = Arc::clone(&inbox);
        let fails = thread::spawn(move || {
            for job in jobs {
                fails.settle(&job, failed(NEVER * 2));
            }
            // As who fails during a shutdown does: it may have been drained before.
            fails.drain();
        });
        let (tell, told) = mpsc::channel();
        let taker = work(&inbox, 1, tell);
        inbox.drain();
        taker.join().unwrap();
        assert!(told.iter().eq(names(1, 1)));
        fails.join().unwrap();
        assert_eq!(inbox.stats().events, 0);
    });
}

#[test]
fn what_is_kept_is_handed_out_before_the_end_and_the_rest_is_refused_and_not_burned() {
    check(|| {
        let inbox = inbox();
        let (tell, told) = mpsc::channel();
        let takers = [1, 2].map(|max| work(&inbox, max, tell.clone()));
        drop(tell);
        let keepers = [1, 2].map(|number| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || keep(&inbox, number, 1))
        });
        inbox.drain();
        let kept = keepers.map(|keeper| keeper.join().unwrap());
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        let handed_out: BTreeSet<_> = told.iter().collect();
        let Ok(Consumed { inbox, consumer }) = Arc::try_unwrap(inbox).map_err(drop) else {
            panic!("somebody has it still");
        };
        drop(consumer);
        let _next = inbox.consume().unwrap();
        for (number, kept) in [1, 2].into_iter().zip(kept) {
            let came = handed_out.contains(&names(number, 1)[0]);
            let again = keep_in(&inbox, number, 1);
            match kept {
                Ok(Kept::New) => assert_eq!((came, again), (true, Ok(Kept::Duplicate))),
                Err(KeepErrorKind::Draining) => assert_eq!((came, again), (false, Ok(Kept::New))),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_copy_is_known_only_when_the_first_is_there_and_one_of_them_is_handed_out() {
    check(|| {
        let inbox = inbox_of(1);
        let (tell, told) = mpsc::channel();
        let taker = work(&inbox, 1, tell);
        let copies = [1, 1, 2].map(|number| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || keep(&inbox, number, 1))
        });
        let kept = copies.map(|copy| copy.join().unwrap());
        inbox.drain();
        taker.join().unwrap();
        let handed_out: Vec<_> = told.iter().collect();
        for number in [1, 2] {
            let came = handed_out.iter().filter(|job| **job == names(number, 1)[0]);
            let new = [1, 1, 2].into_iter().zip(&kept).filter(|(of, kept)| {
                assert_ne!(**kept, Err(KeepErrorKind::Draining));
                *of == number && **kept == Ok(Kept::New)
            });
            let new = new.count();
            assert!(new <= 1, "kept twice");
            assert_eq!(came.count(), new);
        }
        let known = kept[..2].contains(&Ok(Kept::Duplicate));
        assert!(
            !known || kept[..2].contains(&Ok(Kept::New)),
            "known, and not kept"
        );
        assert!(
            kept.contains(&Ok(Kept::New)),
            "there is always room for one"
        );
    });
}

#[test]
fn no_more_events_are_kept_at_once_than_may_be() {
    check(|| {
        let inbox = inbox_of(2);
        let keepers = [1, 2, 3].map(|number| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || keep(&inbox, number, 1))
        });
        let looks = Arc::clone(&inbox);
        let looks = thread::spawn(move || assert!(looks.stats().events <= 2));
        let kept = keepers.map(|keeper| keeper.join().unwrap());
        looks.join().unwrap();
        let new = kept.iter().filter(|kept| **kept == Ok(Kept::New)).count();
        let full = kept
            .iter()
            .filter(|kept| **kept == Err(KeepErrorKind::Full));
        assert_eq!((new, full.count()), (2, 1));
        assert_eq!(take(&inbox, 9).len(), 2);
    });
}

#[test]
fn there_is_one_consumer_at_a_time_and_the_next_one_finds_it_open() {
    check(|| {
        let inbox = MemoryInbox::builder().clock(Arc::new(StoppedClock)).build();
        let inbox = Arc::new(inbox);
        let consumer = inbox.consume().unwrap();
        let ends = thread::spawn(move || drop(consumer));
        let others = [(); 2].map(|()| {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || {
                let consumer = inbox.consume().ok()?;
                assert_eq!(keep_in(&inbox, 1, 1), Ok(Kept::New));
                Some(consumer)
            })
        });
        let consumers = others.map(|other| other.join().unwrap());
        ends.join().unwrap();
        let there_are = consumers.iter().flatten().count();
        assert!(there_are <= 1);
        assert_eq!(inbox.consume().is_ok(), there_are == 0);
    });
}
