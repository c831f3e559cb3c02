use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::*;
use crate::dispatch::job::run;
use crate::dispatch::open::Held;
use crate::dispatch::schedule::{Flow, Place, Schedule};
use crate::dispatch::{Dispatch, JobState, LaneKey, Lanes, Parts};
use crate::event::Delivery;
use crate::handler::{HandlerName, HandlerService, RetryPolicy};
use crate::inbox::{Entry, MemoryInbox};
use crate::router::Handlers;

/// Panics where it is dropped.
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn taken() -> Taken {
    let delivery = Delivery::unsigned("{}".into(), SystemTime::UNIX_EPOCH).unwrap();
    let entry = Arc::new(Entry::new(1, delivery, 1));
    Taken::new(entry, HandlerName::new("crm"))
}

fn seat() -> Arc<Seat> {
    let flow = Flow {
        handler: 0,
        kind: 0,
        again: false,
    };
    let place = Place {
        flow,
        lane: None,
        suspect: false,
    };
    let mut schedule = Schedule::new(1, &[]);
    schedule.admit((), place);
    let ((), ticket) = schedule.next().unwrap();
    Arc::new(Seat::new(ticket, mpsc::unbounded_channel().0))
}

fn call<Fut>(run: impl Fn() -> Fut + Send + Sync + 'static) -> Call
where
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let handler = Handler {
        service: HandlerService::new(Arc::new(move |_, _| Box::pin(run())), Arc::default()),
        retry: RetryPolicy::default(),
        timeout: None,
        concurrency: None,
        skip_stale: false,
        strict: false,
    };
    Call::new(&handler, &taken(), false, &seat())
}

/// How a call ends that is polled once.
fn end(mut call: Call) -> Option<AttemptEnd> {
    let begun = Begun {
        at: Moment::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    let ended = (&mut call).now_or_never();
    let failed = call.end(ended, begun).err();
    failed.map(|failure| failure.attempt.ended)
}

#[test]
fn what_is_left_of_a_call_that_takes_too_long_may_panic() {
    let cut_short = call(|| async {
        let _loud = Loud;
        pending().await
    });
    assert_eq!(end(cut_short), Some(AttemptEnd::Panicked));
}

#[test]
fn a_handler_may_panic_before_there_is_a_future() {
    let run = || -> std::future::Ready<_> { panic!("no future") };
    assert_eq!(end(call(run)), Some(AttemptEnd::Panicked));
}

#[test]
fn a_call_that_takes_too_long_and_one_that_ends_well_are_told_apart() {
    assert_eq!(end(call(pending)), Some(AttemptEnd::TimedOut));
    assert_eq!(end(call(|| async { Ok(()) })), None);
}

/// Beside the handler's own future, for as long as that waits.
#[test]
fn a_job_that_runs_takes_little_room() {
    let handlers = Handlers::default();
    let dispatch = Arc::new(Dispatch::new(Parts {
        inbox: Arc::new(MemoryInbox::new()),
        lanes: Lanes::new(LaneKey::Off, &handlers),
        handlers,
        counters: Arc::default(),
        hooks: Arc::default(),
        clock: Arc::new(crate::clock::SystemClock::new()),
        concurrency: 1,
    }));
    let id = dispatch.open.add(Held::Here(taken()), JobState::Queued);
    let room = size_of_val(&run(id, taken(), dispatch, seat()));
    assert!(room <= 320, "{room} bytes");
}
