//! How many runs there may be at once, how long one may take, and where what waits is kept.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::json;
use support::{
    Recorder, Valve, Watched, assert_apart, begins, builder, deliver, label, labelled,
    labelled_call, slow, until, within,
};
use tokio::runtime::Handle;
use tokio::time::Instant;
use voipbin_receiver::catalog::{Any, named};
use voipbin_receiver::inbox::{
    AttemptEnd, DiskInbox, MemoryInbox, RecordFilter, RecordState, Settled,
};
use voipbin_receiver::testing::TokioClock;
use voipbin_receiver::{
    Context, EventHandler, HandlerError, HandlerOptions, Receiver, ReceiverBuilder, Registration,
    RetryPolicy, blocking, handlers, on,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
}

async fn accept(receiver: &Receiver, body: String) {
    let answer = deliver(&receiver.service(), body).await;
    assert_eq!(answer.word(), "received");
}

async fn drain(receiver: &Receiver) {
    assert!(receiver.shutdown(DAY).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_in_all_it_can_get_leaves_room_for_the_other() {
    let start = Instant::now();
    let works = slow(SECOND);
    let receiver = here()
        .on(named("hangs"), pending::<()>)
        .on(named("works"), works.clone())
        .build()
        .unwrap();
    for number in 0..1000 {
        accept(&receiver, labelled("hangs", &number.to_string(), "")).await;
    }
    let most = ReceiverBuilder::DEFAULT_CONCURRENCY;
    until(|| receiver.stats().running == most - most / 8).await;
    let begun = start.elapsed();
    for number in 0..10 {
        accept(&receiver, labelled("works", &number.to_string(), "w")).await;
    }
    until(|| receiver.stats().handled == 10).await;
    for run in works.runs() {
        assert!(run.began() - begun < SECOND);
    }
    assert_eq!(receiver.stats().running, most - most / 8);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_type_holds_up_another_of_the_same_handler_by_no_more_than_a_turn() {
    let handler = slow(SECOND);
    let receiver = here()
        .concurrency(4)
        .on(Any, handler.clone())
        .build()
        .unwrap();
    for number in 0..1000 {
        accept(&receiver, labelled("flood", &number.to_string(), "flood")).await;
    }
    accept(&receiver, labelled("rare", "r", "rare")).await;
    until(|| receiver.stats().handled >= 20).await;
    assert_eq!(begins(&handler, "rare"), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_limit_holds_up_no_other() {
    let (narrow, wide) = (slow(SECOND), slow(SECOND));
    let receiver = here()
        .handlers([
            Registration::new(Any, narrow.clone())
                .name("narrow")
                .options(HandlerOptions::new().concurrency(2)),
            Registration::new(Any, wide.clone()).name("wide"),
        ])
        .build()
        .unwrap();
    for number in 0..10 {
        accept(&receiver, labelled_call(&number.to_string(), "x")).await;
    }
    drain(&receiver).await;
    assert_eq!(begins(&narrow, "x"), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    assert_eq!(begins(&wide, "x"), [0; 10]);
}

#[tokio::test(start_paused = true)]
async fn an_attribute_limits_its_handler() {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

    #[on(any, attempts = 3, timeout = "500ms", concurrency = 1)]
    async fn hangs() {
        ATTEMPTS.fetch_add(1, Ordering::SeqCst);
        pending().await
    }

    let inbox = Watched::new(MemoryInbox::new());
    let receiver = here()
        .inbox(Arc::clone(&inbox))
        .handler_options(
            HandlerOptions::new().retry(RetryPolicy::default().initial(DAY / 100).max(DAY / 100)),
        )
        .handlers(handlers![hangs])
        .build()
        .unwrap();
    let start = Instant::now();
    for number in 0..4 {
        accept(&receiver, labelled_call(&number.to_string(), "")).await;
    }
    until(|| receiver.stats().failed == 4).await;
    let took = start.elapsed().as_millis();
    assert!((2000..2100).contains(&took), "one at a time: {took} ms");
    until(|| receiver.stats().dead == 4).await;
    assert_eq!(ATTEMPTS.load(Ordering::SeqCst), 12);
    for (_, settled) in inbox.settled() {
        let (Settled::Retry { failed, .. }
        | Settled::Dead {
            failed: Some(failed),
        }) = settled
        else {
            panic!("{settled:?}");
        };
        assert_eq!(failed.ended, AttemptEnd::TimedOut);
    }
}

/// What the attribute does not say is as the builder says, which it may say earlier or later.
#[tokio::test(start_paused = true)]
async fn an_attributes_attempts_and_backoff_count_before_the_builders() {
    #[on(any, attempts = 3, backoff = "10s..10s")]
    async fn fails() -> Result<(), HandlerError> {
        Err(HandlerError::new("no"))
    }

    let retry = RetryPolicy::default()
        .attempts(7)
        .initial(DAY / 100)
        .max(DAY / 100);
    let options = HandlerOptions::new().retry(retry);
    for first in [true, false] {
        let builder = match first {
            true => here()
                .handler_options(options.clone())
                .handlers(handlers![fails]),
            false => here()
                .handlers(handlers![fails])
                .handler_options(options.clone()),
        };
        let receiver = builder.build().unwrap();
        let start = Instant::now();
        accept(&receiver, labelled_call("a", "a")).await;
        until(|| receiver.stats().dead == 1).await;
        assert_eq!(receiver.stats().failed, 3);
        // Twice 10 s, less up to a half by chance.
        let took = start.elapsed().as_secs();
        assert!((10..=20).contains(&took), "{took} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_is_a_failed_attempt_and_frees_its_lane() {
    let handler = slow(10 * SECOND);
    let inbox = Watched::new(MemoryInbox::new());
    let receiver = here()
        .inbox(Arc::clone(&inbox))
        .handler_options(
            HandlerOptions::new().timeout(3 * SECOND).retry(
                RetryPolicy::default()
                    .attempts(2)
                    .initial(60 * SECOND)
                    .max(60 * SECOND),
            ),
        )
        .handlers([
            Registration::new(Any, handler.clone()).name("too slow"),
            Registration::new(Any, handler.clone())
                .name("slow enough")
                .options(HandlerOptions::new().timeout(11 * SECOND)),
        ])
        .build()
        .unwrap();
    accept(&receiver, labelled_call("a", "a-0")).await;
    accept(&receiver, labelled_call("a", "a-1")).await;
    until(|| receiver.stats().dead == 2).await;
    until(|| receiver.stats().handled == 2).await;

    let runs = handler.runs();
    assert_apart(&runs);
    let of = |name: &str| -> Vec<(String, u32, Duration)> {
        let runs = runs.iter().filter(|run| run.handler() == name);
        runs.map(|run| {
            (
                label(run.delivery()),
                run.attempt(),
                run.ended().unwrap() - run.began(),
            )
        })
        .collect()
    };
    let too_slow = of("too slow");
    assert_eq!((too_slow.len(), of("slow enough").len()), (4, 2));
    for (first, (label, attempt, took)) in [("a-0", 1), ("a-1", 1)].into_iter().zip(&too_slow) {
        assert_eq!(first, (label.as_str(), *attempt));
        assert!(*took >= 3 * SECOND && *took < 4 * SECOND);
    }
    for (_, settled) in inbox.settled() {
        match settled {
            Settled::Done => {}
            Settled::Retry { failed, .. }
            | Settled::Dead {
                failed: Some(failed),
            } => assert_eq!(failed.ended, AttemptEnd::TimedOut),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocking_run_that_takes_too_long_keeps_its_slot_and_its_lane_until_it_returns() {
    let begun = Recorder::new();
    let (release, released) = mpsc::channel::<()>();
    let (seen, released) = (begun.clone(), Mutex::new(released));
    let receiver = here()
        .handler_options(
            HandlerOptions::new()
                .timeout(3 * SECOND)
                .retry(RetryPolicy::default().initial(Duration::ZERO)),
        )
        .on(
            Any,
            blocking(move |context: Context| {
                let first = context.attempt() == 1;
                futures_util::FutureExt::now_or_never(seen.handle(context)).unwrap()?;
                if first {
                    released.lock().unwrap().recv()?;
                }
                Ok::<_, HandlerError>(())
            }),
        )
        .build()
        .unwrap();
    accept(&receiver, labelled_call("a", "")).await;
    assert_eq!(begun.next().await.attempt(), 1);
    // The clock does not move by itself while a thread is blocked.
    tokio::time::advance(3 * SECOND).await;
    let failed = async {
        while receiver.stats().failed == 0 {
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    };
    within(failed).await;
    tokio::time::advance(60 * SECOND).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((receiver.stats().handled, receiver.stats().running), (0, 1));
    release.send(()).unwrap();
    assert_eq!(within(begun.next()).await.attempt(), 2);
    drain(&receiver).await;
    assert_eq!((receiver.stats().handled, receiver.stats().running), (1, 0));
}

#[tokio::test]
async fn most_of_a_long_lane_waits_on_the_disk_and_is_handled_in_order() {
    const EVENTS: usize = 80;
    const BODY: usize = 512 << 10;
    /// What waits in memory, and what runs.
    const HERE: usize = (32 << 20) / BODY + 1;

    within(async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = Watched::new(DiskInbox::open(directory.path()).await.unwrap());
        let valve = Valve::new();
        let receiver = builder()
            .runtime(Handle::current())
            .inbox(Arc::clone(&inbox))
            .on(Any, valve.clone())
            .build()
            .unwrap();
        let filling = "x".repeat(BODY);
        for number in 0..EVENTS {
            let label = format!("a-{number}");
            let data = json!({"id": "a", "label": label, "filling": filling});
            let body = json!({"type": "call_updated", "data": data});
            accept(&receiver, body.to_string()).await;
        }
        until(|| inbox.taken() + 2 >= HERE).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(inbox.taken() <= HERE);
        assert_eq!(receiver.stats().inbox.events, EVENTS);

        valve.open();
        for number in 0..EVENTS {
            let context = valve.ended().next().await;
            assert_eq!(label(context.delivery()), format!("a-{number}"));
            assert!(context.delivery().body().len() > BODY);
        }
        assert!(receiver.shutdown(DAY).await.is_drained());
        assert_eq!(inbox.taken(), EVENTS);

        let records = receiver.records().unwrap();
        let done = RecordFilter::new().state(RecordState::Done);
        let page = records.list(&done, None, EVENTS + 1).await.unwrap();
        assert_eq!(page.records.len(), EVENTS);
        let stats = receiver.stats();
        assert_eq!(
            (stats.handled, stats.inbox.events, stats.inbox.dead),
            (EVENTS as u64, 0, 0)
        );
    })
    .await;
}
