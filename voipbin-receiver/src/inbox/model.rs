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
pub(crate) fn name(job: &Job) -> (String, String) {
    let body = String::from_utf8(job.delivery().body().to_vec()).unwrap();
    (body, job.handler().to_string())
}

/// The names of the jobs of an event, in order.
pub(crate) fn names(number: u32, jobs: usize) -> Vec<(String, String)> {
    let incoming = incoming(number, jobs);
    let event = Arc::new(KeptEvent::new(0, incoming.delivery));
    let jobs = incoming.handlers.iter();
    jobs.map(|handler| name(&Job::new(Arc::clone(&event), handler.clone(), 0)))
        .collect()
}

#[test]
fn a_reply_ends_whether_it_is_given_or_dropped() {
    for told in [true, false] {
        check_all(move || {
            let (sender, reply) = Reply::<Kept, KeepError>::pending();
            thread::spawn(move || {
                step();
                if told {
                    sender.send(Ok(Kept::New));
                }
            });
            step();
            let outcome = block_on(reply);
            match outcome {
                Ok(Kept::New) => assert!(told),
                Err(error) => assert_eq!((told, error.kind()), (false, KeepErrorKind::Storage)),
                Ok(Kept::Duplicate) => panic!("of what?"),
            }
        });
    }
}
