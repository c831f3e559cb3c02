//! Handlers in the background: bounded, isolated, drained.

use std::num::NonZeroUsize;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use http::StatusCode;
use support::{Recorder, Valve, builder, call_hangup, deliver};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::inbox::MemoryInbox;
use voipbin_receiver::{
    BuildErrorKind, HandlerError, HandlerOptions, JobState, Registration, RetryPolicy, State,
    blocking,
};

const DRAIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_hangs_panics_fails_or_blocks_changes_nothing_for_the_sender_or_others() {
    let (recorder, valve) = (Recorder::new(), Valve::new());
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let receiver = builder()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([
            Registration::new(CallHangup, valve.clone()).name("hangs"),
            Registration::new(CallHangup, panics as fn() -> std::future::Ready<()>).name("panics"),
            Registration::new(CallHangup, || async { panics_late() }).name("panics late"),
            Registration::new(CallHangup, || async {
                Err(HandlerError::new("on purpose"))
            })
            .name("fails"),
            Registration::new(CallHangup, blocking(|| -> () { panic!("on purpose") }))
                .name("blocks and panics"),
            Registration::new(
                CallHangup,
                blocking(move || {
                    // An error is the end of the sender: the block is over.
                    assert!(blocked.lock().unwrap().recv().is_err());
                }),
            )
            .name("blocks"),
            Registration::new(CallHangup, recorder.clone()).name("works"),
        ])
        .build()
        .unwrap();
    for id in 0..20 {
        assert_eq!(
            deliver(&receiver.service(), call_hangup(id)).await.word(),
            "received"
        );
        recorder.next().await;
    }
    valve.open();
    drop(unblock);
    assert!(receiver.shutdown(DRAIN).await.is_drained());
    let stats = receiver.stats();
    assert_eq!(
        (stats.accepted, stats.handled, stats.failed, stats.dead),
        (20, 20 * 3, 20 * 4, 20 * 4)
    );
    assert_eq!(
        (stats.running, stats.inbox.events, stats.inbox.bytes),
        (0, 0, 0)
    );
}

fn panics_late() {
    panic!("within the future")
}

fn panics() -> std::future::Ready<()> {
    panic!("before there is a future")
}

#[tokio::test]
async fn no_more_handlers_run_at_once_than_asked() {
    let valve = Valve::new();
    let receiver = builder()
        .concurrency(3)
        .on(Any, valve.clone())
        .build()
        .unwrap();
    for id in 0..10 {
        assert_eq!(
            deliver(&receiver.service(), call_hangup(id)).await.word(),
            "received"
        );
    }
    for _ in 0..3 {
        valve.begun().next().await;
    }
    assert_eq!(receiver.stats().running, 3);
    assert!(valve.begun().rest().await.is_empty());
    valve.open();
    assert!(receiver.shutdown(DRAIN).await.is_drained());
    assert_eq!(valve.ended().rest().await.len(), 10);
}

#[tokio::test]
async fn events_are_begun_in_the_order_in_which_they_were_kept() {
    let recorder = Recorder::new();
    let receiver = builder()
        .concurrency(1)
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    for id in 0..100 {
        deliver(&receiver.service(), call_hangup(id)).await;
    }
    for id in 0..100 {
        let context = recorder.next().await;
        assert_eq!(
            context.delivery().resource_id(),
            Some(id.to_string().as_str())
        );
    }
}

#[tokio::test]
async fn more_handlers_than_slots_all_run() {
    let recorder = Recorder::new();
    let handlers = (0..9)
        .map(|number| Registration::new(Any, recorder.clone()).name(format!("handler {number}")));
    let receiver = builder().concurrency(2).handlers(handlers).build().unwrap();
    for id in 0..5 {
        deliver(&receiver.service(), call_hangup(id)).await;
    }
    assert!(receiver.shutdown(DRAIN).await.is_drained());
    assert_eq!(recorder.rest().await.len(), 45);
}

#[tokio::test]
async fn a_shutdown_drains_refuses_what_is_new_and_answers_copies() {
    let valve = Valve::new();
    let receiver = builder()
        .concurrency(1)
        .on((Any, Custom), valve.clone())
        .build()
        .unwrap();
    let service = receiver.service();
    for id in [1, 2] {
        deliver(&service, call_hangup(id)).await;
    }
    valve.begun().next().await;

    let mut shutdown = Box::pin(receiver.shutdown(Duration::MAX));
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    let new = deliver(&service, call_hangup(3)).await;
    assert_eq!(
        (new.status(), new.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "shutting_down")
    );
    assert_eq!(new.header("connection"), "close");
    assert_eq!(deliver(&service, "[1]").await.code(), "shutting_down");
    for id in [1, 2] {
        assert_eq!(deliver(&service, call_hangup(id)).await.word(), "duplicate");
    }

    valve.open();
    assert!(shutdown.await.is_drained());
    assert_eq!(valve.ended().rest().await.len(), 2);
    for deadline in [Duration::ZERO, Duration::MAX] {
        assert!(
            receiver.shutdown(deadline).await.is_drained(),
            "asked again"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_reports_what_was_left_at_its_deadline() {
    let valve = Valve::new();
    let receiver = builder()
        .runtime(Handle::current())
        .concurrency(2)
        .handlers([
            Registration::new(Any, valve.clone()).name("one"),
            Registration::new(Any, valve.clone()).name("other"),
        ])
        .build()
        .unwrap();
    for id in 0..4 {
        deliver(&receiver.service(), call_hangup(id)).await;
    }
    valve.begun().next().await;
    valve.begun().next().await;

    let begun = tokio::time::Instant::now();
    let report = receiver.shutdown(Duration::from_secs(5)).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    let count = |state| {
        report
            .unfinished
            .iter()
            .filter(|left| left.state == state)
            .count()
    };
    assert_eq!((count(JobState::Running), count(JobState::Queued)), (2, 6));
    assert!(valve.ended().rest().await.is_empty());
    let ids: Vec<_> = report
        .unfinished
        .iter()
        .map(|left| left.delivery.resource_id())
        .collect();
    assert_eq!(
        ids[2..],
        [
            Some("1"),
            Some("1"),
            Some("2"),
            Some("2"),
            Some("3"),
            Some("3")
        ]
    );
    // The runs were dropped, and their slots with them.
    while receiver.stats().running > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_can_shorten_the_first_and_not_prolong_it() {
    let valve = Valve::new();
    let receiver = builder()
        .runtime(Handle::current())
        .on(Any, valve.clone())
        .build()
        .unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    valve.begun().next().await;
    let begun = tokio::time::Instant::now();
    let (first, second, third) = tokio::join!(
        receiver.shutdown(Duration::from_secs(100)),
        receiver.shutdown(Duration::from_secs(3)),
        receiver.shutdown(Duration::from_secs(50)),
    );
    assert_eq!(begun.elapsed().as_secs(), 3);
    for report in [first, second, third] {
        assert_eq!(report.unfinished.len(), 1);
    }
}

#[tokio::test]
async fn a_shutdown_goes_on_when_nobody_waits_for_it() {
    let valve = Valve::new();
    let receiver = builder().on(Any, valve.clone()).build().unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    let mut shutdown = Box::pin(receiver.shutdown(DRAIN));
    assert!(futures_util::poll!(&mut shutdown).is_pending());
    drop(shutdown);
    assert_eq!(
        deliver(&receiver.service(), call_hangup(2)).await.code(),
        "shutting_down"
    );
    valve.open();
    assert!(receiver.shutdown(DRAIN).await.is_drained());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_receiver_in_async_code_lets_what_was_kept_run() {
    for threads in [None, NonZeroUsize::new(1)] {
        let valve = Valve::new();
        let mut builder = builder().on(Any, valve.clone());
        if let Some(threads) = threads {
            builder = builder.dedicated_runtime(threads);
        }
        let receiver = builder.build().unwrap();
        let service = receiver.service();
        deliver(&service, call_hangup(1)).await;
        drop((receiver, service));
        valve.open();
        valve.ended().next().await;
    }
}

/// Where a handler runs, by the runtime that the receiver is built in.
#[test]
fn handlers_run_on_the_runtime_they_are_built_in_if_it_has_several_threads() {
    let (tell, told) = mpsc::channel();
    let ask = || {
        let tell = tell.clone();
        builder().on(Any, move || {
            let tell = tell.clone();
            async move {
                let handle = Handle::current();
                let thread = thread::current().name().unwrap_or_default().to_owned();
                tell.send((handle.id(), handle.runtime_flavor(), thread))
                    .unwrap();
            }
        })
    };

    let several = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    several.block_on(async {
        let receiver = ask().build().unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        assert_eq!(told.recv().unwrap().0, Handle::current().id());

        let receiver = ask().dedicated_runtime(NonZeroUsize::MIN).build().unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        let (id, flavor, thread) = told.recv().unwrap();
        assert_ne!(id, Handle::current().id());
        assert_eq!(
            (flavor, thread.as_str()),
            (RuntimeFlavor::MultiThread, "voipbin-handler")
        );
    });

    let single = Builder::new_current_thread().enable_all().build().unwrap();
    single.block_on(async {
        let receiver = ask().build().unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        // This thread is blocked here: the handler is on another one.
        assert_eq!(told.recv().unwrap().2, "voipbin-handler");

        let receiver = ask().runtime(several.handle().clone()).build().unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        assert_eq!(told.recv().unwrap().0, several.handle().id());
    });

    // Built where there is no runtime at all.
    let receiver = ask().build().unwrap();
    single.block_on(deliver(&receiver.service(), call_hangup(1)));
    assert_eq!(told.recv().unwrap().2, "voipbin-handler");
}

#[test]
fn a_shutdown_after_the_runtime_is_gone_reports_what_it_took_along() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let valve = Valve::new();
    let receiver = runtime.block_on(async {
        let receiver = builder()
            .concurrency(1)
            .on(Any, valve.clone())
            .build()
            .unwrap();
        for id in 0..3 {
            deliver(&receiver.service(), call_hangup(id)).await;
        }
        valve.begun().next().await;
        receiver
    });
    drop(runtime);
    let other = Builder::new_current_thread().build().unwrap();
    let report = other.block_on(receiver.shutdown(DRAIN));
    let states: Vec<_> = report.unfinished.iter().map(|left| left.state).collect();
    assert_eq!(
        states,
        [JobState::Running, JobState::Queued, JobState::Queued]
    );
}

/// Handlers that were spawned and have not been polled are neither queued nor under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_forgets_no_job_however_far_it_had_come() {
    for events in [1, 50, 250] {
        let recorder = Recorder::new();
        let (unblock, blocked) = mpsc::channel::<()>();
        let blocked = std::sync::Mutex::new(blocked);
        let receiver = builder()
            .handlers([
                Registration::new(Any, move || {
                    // Blocks its thread, as it should not.
                    assert!(blocked.lock().unwrap().recv().is_err());
                    async {}
                })
                .name("blocks"),
                Registration::new(Any, recorder.clone()).name("works"),
            ])
            .dedicated_runtime(NonZeroUsize::MIN)
            .build()
            .unwrap();
        for id in 0..events {
            deliver(&receiver.service(), call_hangup(id)).await;
        }
        let report = receiver.shutdown(Duration::ZERO).await;
        let stats = receiver.stats();
        assert_eq!(
            stats.handled + stats.failed + report.unfinished.len() as u64,
            2 * events
        );
        assert!(!report.is_drained());
        drop(unblock);
    }
}

/// Whether the runtime ends after it began to work for the receiver or before.
#[test]
fn without_a_runtime_for_handlers_nothing_new_is_taken() {
    for has_begun in [true, false] {
        // It runs only while something blocks on it.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let recorder = Recorder::new();
        let receiver = builder()
            .on(Any, recorder.clone())
            .runtime(runtime.handle().clone())
            .build()
            .unwrap();
        if has_begun {
            runtime.block_on(async {
                deliver(&receiver.service(), call_hangup(0)).await;
                recorder.next().await;
            });
        }
        drop(runtime);
        let other = Builder::new_current_thread().enable_all().build().unwrap();
        let answer = other.block_on(deliver(&receiver.service(), call_hangup(1)));
        assert_eq!(
            (answer.status(), answer.code()),
            (StatusCode::SERVICE_UNAVAILABLE, "shutting_down"),
            "has begun: {has_begun}"
        );
    }
}

#[test]
fn a_runtime_without_a_timer_is_refused_when_given_and_not_used_otherwise() {
    let no_timer = Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let given = builder()
        .on(Any, Recorder::new())
        .runtime(no_timer.handle().clone())
        .build();
    assert_eq!(given.unwrap_err().kind(), BuildErrorKind::Runtime);

    let recorder = Recorder::new();
    let receiver =
        no_timer.block_on(async { builder().on(Any, recorder.clone()).build().unwrap() });
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    other.block_on(async {
        deliver(&receiver.service(), call_hangup(1)).await;
        recorder.next().await;
        assert!(receiver.shutdown(DRAIN).await.is_drained());
    });
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("on purpose, in a drop");
        }
    }
}

#[derive(Debug)]
struct PanicsInDisplay;

impl std::fmt::Display for PanicsInDisplay {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("on purpose, in a text")
    }
}

impl std::error::Error for PanicsInDisplay {}

#[derive(Default)]
struct PanicsInClone;

impl Clone for PanicsInClone {
    fn clone(&self) -> Self {
        panic!("on purpose, in a clone")
    }
}

#[tokio::test]
async fn a_job_is_settled_whatever_its_error_its_payload_or_its_state_does() {
    let receiver = builder()
        .state(PanicsInClone)
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([
            Registration::new(Any, || async { Err::<(), _>(PanicsInDisplay) }).name("text"),
            Registration::new(Any, || async { throws() }).name("payload"),
            Registration::new(Any, blocking(throws)).name("payload of a blocking one"),
            Registration::new(Any, |_: State<PanicsInClone>| async {}).name("state"),
            Registration::new(Any, || async {
                let _kept = PanicsInDrop;
                tokio::task::yield_now().await;
            })
            .name("drop"),
        ])
        .build()
        .unwrap();
    for id in 0..10 {
        assert_eq!(
            deliver(&receiver.service(), call_hangup(id)).await.word(),
            "received"
        );
    }
    assert!(receiver.shutdown(DRAIN).await.is_drained());
    let stats = receiver.stats();
    assert_eq!(
        (stats.failed, stats.dead, stats.running, stats.inbox.events),
        (50, 50, 0, 0)
    );
}

fn throws() {
    std::panic::panic_any(PanicsInDrop)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_receiver_is_left_when_it_is_gone() {
    for shuts_down in [true, false] {
        let inbox = Arc::new(MemoryInbox::new());
        let left = Arc::downgrade(&inbox);
        let recorder = Recorder::new();
        let receiver = builder()
            .inbox(inbox)
            .on(Any, recorder.clone())
            .build()
            .unwrap();
        deliver(&receiver.service(), call_hangup(1)).await;
        drop(recorder.next().await);
        if shuts_down {
            assert!(receiver.shutdown(DRAIN).await.is_drained());
        }
        drop(receiver);
        let gone = async {
            while left.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(DRAIN, gone).await.is_ok());
    }
}
