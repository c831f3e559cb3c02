//! Models of what all inboxes have in common, and what those of the inboxes share.

use std::time::{Duration, SystemTime};

use shuttle::future::block_on;
use shuttle::thread;

use super::*;
use crate::clock::Clock;
use crate::sync::model::{check_all, step};

/// All happens at once, when the deliveries were received.
#[derive(Debug)]
pub(crate) struct StoppedClock;

impl Clock for StoppedClock {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// An event that is to be kept once, for so many handlers.
pub(crate) fn incoming(number: u32, jobs: usize) -> Incoming {
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"call-{number}"}}}}"#);
    let delivery = Delivery::unsigned(body.into(), SystemTime::UNIX_EPOCH).unwrap();
    let names = (0..jobs).map(|job| HandlerName::new(&format!("handler-{job}")));
    Incoming::new(delivery, names.collect(), Repeats::Drop)
}

/// What a job is told by.
pub(crate) fn name(job: &Taken) -> (String, String) {
    let body = String::from_utf8(job.delivery().body().to_vec()).unwrap();
    (body, job.handler().to_string())
}

/// The names of the jobs of an event, in order.
pub(crate) fn names(number: u32, jobs: usize) -> Vec<(String, String)> {
    let incoming = incoming(number, jobs);
    let entry = Arc::new(Entry::new(0, incoming.delivery, jobs));
    let jobs = incoming.jobs.iter();
    jobs.map(|handler| name(&Taken::new(Arc::clone(&entry), handler.clone())))
        .collect()
}

#[test]
fn of_jobs_that_end_at_once_exactly_one_is_the_last() {
    check_all(|| {
        let entry = Arc::new(Entry::new(1, incoming(1, 3).delivery, 3));
        let ends: Vec<_> = (0..3)
            .map(|_| {
                let entry = Arc::clone(&entry);
                thread::spawn(move || entry.settle_one())
            })
            .collect();
        let last = ends.into_iter().map(|end| end.join().unwrap());
        assert_eq!(last.filter(|last| *last).count(), 1);
        assert!(!entry.settle_one(), "one that is too many was the last");
    });
}

#[test]
fn a_receipt_ends_whether_its_outcome_is_told_or_dropped() {
    for told in [true, false] {
        check_all(move || {
            let (pending, receipt) = Receipt::pending();
            thread::spawn(move || {
                step();
                if told {
                    pending.settle(Ok(Kept::New));
                }
            });
            step();
            let outcome = block_on(receipt);
            match outcome {
                Ok(Kept::New) => assert!(told),
                Err(error) => assert_eq!((told, error.kind()), (false, KeepErrorKind::Storage)),
                Ok(Kept::Duplicate) => panic!("of what?"),
            }
        });
    }
}

#[test]
fn an_attempt_begins_when_it_is_told_so_and_not_when_its_starter_goes() {
    for told in [true, false] {
        check_all(move || {
            let (starter, begun) = Begun::pending();
            thread::spawn(move || {
                step();
                if told {
                    starter.start();
                }
            });
            step();
            assert_eq!(block_on(begun), told);
        });
    }
}
