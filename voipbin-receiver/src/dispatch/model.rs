use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use shuttle::future::block_on;
use shuttle::thread;
use tokio::sync::mpsc;

use super::job::{Failure, Job};
use super::open::{Held, OpenJobs};
use super::schedule::{Flow, Place, Schedule, Ticket};
use super::seat::{Seat, Told};
use super::*;
use crate::handler::{HandlerService, Next, RetryPolicy};
use crate::inbox::model::{StoppedClock, incoming, name, names};
use crate::inbox::{
    Attempt, AttemptEnd, Durability, Entry, Inbox, InboxError, InboxStats, Incoming, Kept,
    MemoryInbox, Parked, Promises, Receipt, Settled, Taken,
};
use crate::router::{Handler, Handlers};
use crate::sync::model::time::NEVER;
use crate::sync::model::{check, step};
use crate::sync::{Arc, Mutex};

/// An inbox that writes down what it is told.
#[derive(Debug, Default)]
struct Journal(Mutex<Written>);

#[derive(Debug, Default)]
struct Written {
    attached: bool,
    closed: bool,
    detached: usize,
    settled: Vec<(u64, Settled)>,
}

impl Journal {
    fn write<T>(&self, write: impl FnOnce(&mut Written) -> T) -> T {
        write(&mut self.0.lock().unwrap())
    }

    /// What became of a job, first to last.
    fn of(&self, id: u64) -> Vec<Settled> {
        self.write(|written| {
            let of_it = written.settled.iter().filter(|(of, _)| *of == id);
            of_it.map(|(_, settled)| settled.clone()).collect()
        })
    }
}

#[async_trait]
impl Inbox for Journal {
    fn attach(&self) -> Result<(), InboxError> {
        self.write(|written| {
            if written.attached {
                return Err(InboxError::in_use());
            }
            written.attached = true;
            written.closed = false;
            Ok(())
        })
    }

    fn detach(&self) {
        self.write(|written| {
            written.attached = false;
            written.detached += 1;
        });
    }

    fn keep(&self, _: Incoming) -> Receipt {
        Receipt::ready(Ok(Kept::New))
    }

    async fn take(&self, _: usize) -> Vec<Taken> {
        Vec::new()
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        self.write(|written| written.settled.push((job.id(), outcome)));
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        Some(Parked::new(job))
    }

    fn put_back(&self, parked: &Parked) {
        self.write(|written| written.settled.push((parked.id(), Settled::Released)));
    }

    fn close(&self) {
        self.write(|written| written.closed = true);
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Machine)
    }

    fn stats(&self) -> InboxStats {
        InboxStats::default()
    }
}

fn journal() -> Arc<Journal> {
    let journal = Arc::new(Journal::default());
    journal.attach().unwrap();
    journal
}

/// A receiver's, to which the inbox is attached.
fn dispatch(inbox: Arc<dyn Inbox>) -> Arc<Dispatch> {
    let handlers = Handlers::default();
    Arc::new(Dispatch::new(Parts {
        inbox,
        lanes: Lanes::new(LaneKey::Off, &handlers),
        handlers,
        counters: Arc::default(),
        hooks: Arc::default(),
        clock: Arc::new(StoppedClock),
        concurrency: 4,
    }))
}

fn taken(id: u64) -> Taken {
    let incoming = incoming(1, 1);
    let handler = incoming.jobs.iter().next().unwrap().clone();
    Taken::new(Arc::new(Entry::new(id, incoming.delivery, 1)), handler)
}

/// A handler, and the failure of a run after which there is to be another one in two hours.
fn failing(strict: bool) -> (Handler, Failure) {
    let handler = Handler {
        service: HandlerService::new(Arc::new(|_, _| Box::pin(async { Ok(()) })), Arc::default()),
        retry: RetryPolicy::default(),
        timeout: None,
        concurrency: None,
        skip_stale: false,
        strict,
    };
    let end = AttemptEnd::Panicked;
    let attempt = Attempt::new(SystemTime::UNIX_EPOCH, Duration::ZERO, end);
    let next = Next::After(NEVER * 2);
    (handler, Failure { attempt, next })
}

/// What a run in a lane holds, and what it is to be given back to.
fn ticket() -> (Schedule<()>, Ticket) {
    let flow = Flow {
        handler: 0,
        kind: 0,
        again: false,
    };
    let place = Place {
        flow,
        lane: Some(1),
        suspect: false,
    };
    let mut schedule = Schedule::new(1, &[]);
    schedule.admit((), place);
    let ((), ticket) = schedule.next().unwrap();
    (schedule, ticket)
}

fn seat() -> (Arc<Seat>, mpsc::UnboundedReceiver<Told>) {
    let (tell, told) = mpsc::unbounded_channel();
    (Arc::new(Seat::new(ticket().1, tell)), told)
}

#[test]
fn whoever_closes_an_open_job_settles_it_and_nobody_else() {
    check(|| {
        let journal = journal();
        let dispatch = dispatch(journal.clone());
        let runs = [0, 1].map(|parked| {
            let taken = taken(parked);
            let held = match parked {
                0 => Held::Here(taken.clone()),
                _ => Held::Parked(Parked::new(&taken)),
            };
            let id = dispatch.open.add(held, JobState::Queued);
            let dispatch = Arc::clone(&dispatch);
            thread::spawn(move || {
                let running = dispatch.begin(id, &taken);
                let settled = dispatch.settle(id, &taken, Settled::Done);
                drop(running);
                settled
            })
        });
        // The pump ends with its runtime, and the receiver's drain has come to its end.
        let abandons = Arc::clone(&dispatch);
        let abandons = thread::spawn(move || abandons.abandon());
        dispatch.open.release_all(&*dispatch.inbox);
        abandons.join().unwrap();
        for (id, run) in (0..).zip(runs) {
            let by_the_run = run.join().unwrap();
            let expected = if by_the_run {
                Settled::Done
            } else {
                Settled::Released
            };
            assert_eq!(journal.of(id), [expected]);
        }
        assert!(dispatch.unfinished().is_empty(), "one is open again");
        assert_eq!(dispatch.running(), 0);
    });
}

#[test]
fn a_job_that_was_put_back_is_not_delayed_any_more() {
    check(|| {
        let journal = journal();
        let dispatch = dispatch(journal.clone());
        let taken = taken(7);
        let id = dispatch
            .open
            .add(Held::Here(taken.clone()), JobState::Running);
        let (seat, mut told) = seat();
        let fails = Arc::clone(&dispatch);
        let fails = thread::spawn(move || {
            let (handler, failure) = failing(true);
            block_on(fails.failed(id, &taken, &handler, failure, &seat));
        });
        dispatch.open.release_all(&*dispatch.inbox);
        fails.join().unwrap();
        // What the pump would do with it, if it was there.
        match block_on(told.recv()) {
            Some(Told::Delayed(..) | Told::Ended(_)) => {}
            _ => panic!("the seat is not given back"),
        }
        dispatch.open.release_all(&*dispatch.inbox);
        let settled = journal.of(7);
        let (last, before) = settled.split_last().unwrap();
        assert_eq!(last, &Settled::Released);
        assert!(
            matches!(before, [] | [Settled::Delayed { .. }]),
            "{settled:?}"
        );
    });
}

#[test]
fn a_seat_is_given_back_once_after_its_last_clone_and_with_its_delayed_job() {
    for delayed in [false, true] {
        check(move || {
            let (seat, mut told) = seat();
            let held = Arc::new(Mutex::new(2));
            let id = OpenJobs::default().add(Held::Here(taken(7)), JobState::Failed);
            let run = Arc::clone(&seat);
            let of_run = Arc::clone(&held);
            thread::spawn(move || {
                if delayed {
                    run.delay(Job {
                        id,
                        held: Held::Here(taken(7)),
                        not_before: None,
                    });
                }
                *of_run.lock().unwrap() -= 1;
                drop(run);
            });
            let of_thread = Arc::clone(&held);
            thread::spawn(move || {
                step();
                *of_thread.lock().unwrap() -= 1;
                drop(seat);
            });
            match block_on(told.recv()) {
                Some(Told::Ended(_)) => assert!(!delayed),
                Some(Told::Delayed(_, job)) => assert_eq!((delayed, job.id), (true, id)),
                _ => panic!("the seat is not given back"),
            }
            assert_eq!(*held.lock().unwrap(), 0, "somebody sits there");
            assert!(block_on(told.recv()).is_none(), "given back twice");
        });
    }
}

#[test]
fn a_receiver_that_has_ended_closes_nothing_of_the_next_one() {
    check(|| {
        let journal = journal();
        let dispatch = dispatch(journal.clone());
        // The end of the pump, a second shutdown, and the runtime that goes away.
        let ends = Arc::clone(&dispatch);
        let ends = thread::spawn(move || ends.detach());
        let drains = Arc::clone(&dispatch);
        let drains = thread::spawn(move || drains.drain());
        let abandons = thread::spawn(move || dispatch.abandon());
        let next = Arc::clone(&journal);
        let next = thread::spawn(move || {
            let attached = next.attach().is_ok();
            for _ in 0..2 {
                let closed = next.write(|written| written.closed);
                assert!(!attached || !closed, "closed by the one before");
            }
            attached
        });
        let attached = next.join().unwrap();
        for thread in [ends, drains, abandons] {
            thread.join().unwrap();
        }
        journal.write(|written| {
            assert_eq!(written.detached, 1);
            assert_eq!(written.attached, attached, "taken from the next one");
            assert!(!attached || !written.closed, "closed by the one before");
        });
    });
}

#[test]
fn a_retry_that_crosses_a_shutdown_does_not_wait_for_its_time() {
    check(|| {
        let inbox = MemoryInbox::builder().clock(Arc::new(StoppedClock));
        let inbox = Arc::new(inbox.build());
        inbox.attach().unwrap();
        let dispatch = dispatch(inbox.clone());
        let _ = block_on(inbox.keep(incoming(1, 1)));
        let jobs = block_on(inbox.take(1));
        let [taken] = &*jobs else { panic!("{jobs:?}") };
        let taken = taken.clone();
        let id = dispatch
            .open
            .add(Held::Here(taken.clone()), JobState::Running);
        let fails = Arc::clone(&dispatch);
        let fails = thread::spawn(move || {
            let (handler, failure) = failing(false);
            let (seat, _told) = seat();
            block_on(fails.failed(id, &taken, &handler, failure, &seat));
        });
        let takes = Arc::clone(&inbox);
        let takes = thread::spawn(move || {
            let mut again = 0;
            while let [job] = &*block_on(takes.take(1)) {
                assert_eq!(name(job), names(1, 1)[0]);
                assert_eq!(job.attempts(), 1);
                takes.settle(job, Settled::Done);
                again += 1;
            }
            again
        });
        dispatch.drain();
        fails.join().unwrap();
        let again = takes.join().unwrap();
        // Either there is another attempt or the shutdown reports it.
        let reported = dispatch.unfinished().len();
        assert_eq!(again + reported, 1);
    });
}
