use futures_util::FutureExt;

use super::*;
use crate::dispatch::DispatchParts;
use crate::dispatch::schedule::{FlowKey, Placement, Schedule};
use crate::event::Delivery;
use crate::handler::{HandlerName, HandlerOptions, HandlerService, RetryPolicy};
use crate::inbox::{KeptEvent, MemoryInbox};
use crate::observe::Propagation;
use crate::router::Handlers;

/// Panics where it is dropped.
struct Loud;

impl Drop for Loud {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn job() -> Job {
    let delivery = Delivery::unsigned("{}".into(), SystemTime::UNIX_EPOCH).unwrap();
    let event = Arc::new(KeptEvent::new(1, delivery));
    Job::new(event, HandlerName::new("crm"), 0)
}

fn dispatch() -> Arc<Dispatch> {
    Arc::new(Dispatch::new(DispatchParts {
        inbox: Arc::new(MemoryInbox::new()),
        consumer: None,
        handlers: Handlers::default(),
        counters: Arc::default(),
        hooks: Arc::default(),
        clock: Arc::new(crate::clock::SystemClock::new()),
        concurrency: 1,
        stepped: false,
        hold: None,
    }))
}

fn permit() -> Arc<JobPermit> {
    let flow = FlowKey {
        handler: 0,
        kind: 0,
        again: false,
    };
    let placement = Placement {
        flow,
        lane: None,
        suspect: false,
    };
    let mut schedule = Schedule::new(1, &[]);
    schedule.admit((), placement);
    let ((), slot) = schedule.next().unwrap();
    Arc::new(JobPermit::new(dispatch(), slot, &job()))
}

fn call<Fut>(run: impl Fn() -> Fut + Send + Sync + 'static) -> HandlerCall
where
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    let handler = Handler {
        service: HandlerService::new(Arc::new(move |_, _| Box::pin(run())), Arc::default()),
        retry: RetryPolicy::default(),
        options: HandlerOptions::new(),
    };
    HandlerCall::new(&handler, &job(), false, &permit(), &Propagation::default())
}

/// How a call ends that is polled once.
fn end(mut call: HandlerCall) -> Option<AttemptEnd> {
    let start = RunStart {
        at: Moment::now(),
        wall: SystemTime::UNIX_EPOCH,
    };
    let ended = (&mut call).now_or_never();
    let ended = ended.map_or(CallEnd::TimedOut, CallEnd::Returned);
    let failed = call.end(ended, start).err();
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
    let room = size_of_val(&run(permit(), dispatch(), 0, job()));
    assert!(room <= 400, "{room} bytes");
}
