//! Handlers for which a failed attempt holds back what comes after it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use support::{builder, deliver, until};
use tokio::runtime::Handle;
use tokio::time::Instant;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox};
use voipbin_receiver::testing::TokioClock;
use voipbin_receiver::{
    Context, EventHandler, HandlerError, HandlerOptions, JobState, Receiver, ReceiverBuilder,
    Registration, RetryPolicy, async_trait, on,
};

const HOUR: Duration = Duration::from_secs(3600);

fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(3)))
}

/// An event whose label says its lane and what becomes of it.
fn event(lane: &str, label: &str) -> String {
    format!(r#"{{"type":"call_hangup","data":{{"id":"{lane}","label":"{label}"}}}}"#)
}

/// Fails for labels that begin with `fails`, as often as the digit after it says; writes down each
/// run.
#[derive(Clone)]
struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn runs(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait]
impl EventHandler for Journal {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        let body: Value = serde_json::from_slice(context.delivery().body())?;
        let label = body["data"]["label"].as_str().unwrap();
        let attempt = context.attempt();
        self.0.lock().unwrap().push(format!("{label}/{attempt}"));
        let fails = label
            .strip_prefix("fails")
            .map_or(0, |times| times.parse::<u32>().unwrap());
        if attempt <= fails {
            return Err(HandlerError::new("not yet"));
        }
        Ok(())
    }
}

async fn send(receiver: &Receiver, events: &[(&str, &str)]) {
    for (lane, label) in events {
        assert_eq!(
            deliver(&receiver.service(), event(lane, label))
                .await
                .status(),
            200
        );
    }
}

#[tokio::test(start_paused = true)]
async fn later_events_of_a_lane_wait_for_the_attempts_of_an_earlier_one_and_other_lanes_do_not() {
    let journal = Journal::new();
    let receiver = here()
        .handlers([Registration::new(Any, journal.clone()).options(HandlerOptions::new().strict())])
        .build()
        .unwrap();
    let start = Instant::now();
    send(
        &receiver,
        &[
            ("a", "fails2"),
            ("a", "second"),
            ("b", "other"),
            ("a", "third"),
        ],
    )
    .await;
    until(|| receiver.stats().handled == 4).await;
    assert_eq!(
        journal.runs(),
        [
            "fails2/1", "other/1", "fails2/2", "fails2/3", "second/1", "third/1"
        ]
    );
    // One wait of up to a second and one of up to four.
    assert!((Duration::from_millis(2500)..Duration::from_secs(6)).contains(&start.elapsed()));
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn without_it_later_events_do_not_wait() {
    let journal = Journal::new();
    let receiver = here().on(Any, journal.clone()).build().unwrap();
    send(&receiver, &[("a", "fails1"), ("a", "second")]).await;
    until(|| receiver.stats().handled == 2).await;
    assert_eq!(journal.runs(), ["fails1/1", "second/1", "fails1/2"]);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_lets_its_lane_go_on() {
    let journal = Journal::new();
    let receiver = here()
        .handler_options(HandlerOptions::new().strict())
        .on(Any, journal.clone())
        .build()
        .unwrap();
    send(&receiver, &[("a", "fails9"), ("a", "second")]).await;
    until(|| receiver.stats().handled == 1).await;
    assert_eq!(
        journal.runs(),
        ["fails9/1", "fails9/2", "fails9/3", "second/1"]
    );
    assert_eq!(receiver.stats().dead, 1);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[on(any, name = "journal", strict)]
async fn annotated(context: Context) -> Result<(), HandlerError> {
    match context.attempt() {
        1 => Err(HandlerError::new("not yet")),
        _ => Ok(()),
    }
}

#[tokio::test(start_paused = true)]
async fn an_annotated_handler_can_be_strict() {
    let receiver = here()
        .handlers(voipbin_receiver::handlers![annotated])
        .build()
        .unwrap();
    send(&receiver, &[("a", "first"), ("a", "second")]).await;
    until(|| receiver.stats().failed == 1).await;
    // Both would have failed by now, were the second one not held back.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(receiver.stats().failed, 1);
    until(|| receiver.stats().handled == 2).await;
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_runs_what_waits_in_a_lane_at_once_where_it_would_be_lost() {
    let journal = Journal::new();
    let receiver = here()
        .handler_options(HandlerOptions::new().strict())
        .inbox(MemoryInbox::new())
        .on(Any, journal.clone())
        .build()
        .unwrap();
    send(
        &receiver,
        &[
            ("a", "fails1"),
            ("a", "second"),
            ("b", "fails2"),
            ("b", "fourth"),
        ],
    )
    .await;
    until(|| receiver.stats().failed == 2).await;
    let start = Instant::now();
    let report = receiver.shutdown(HOUR).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(report.unfinished.len(), 1);
    assert_eq!(report.unfinished[0].state, JobState::Failed);
    let mut runs = journal.runs();
    runs.sort_unstable();
    assert_eq!(
        runs,
        [
            "fails1/1", "fails1/2", "fails2/1", "fails2/2", "fourth/1", "second/1"
        ]
    );
}
#[tokio::test]
async fn the_order_of_a_lane_holds_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::new();
    let start = async |journal: &Journal| {
        builder()
            .handler_options(
                HandlerOptions::new()
                    .retry(RetryPolicy::default().initial(Duration::from_millis(300)))
                    .strict(),
            )
            .inbox(DiskInbox::open(directory.path()).await.unwrap())
            .on(Any, journal.clone())
            .runtime(Handle::current())
            .build()
            .unwrap()
    };
    let first = start(&journal).await;
    send(&first, &[("a", "fails2"), ("a", "second"), ("b", "other")]).await;
    until(|| first.stats().failed == 1 && first.stats().handled == 1).await;
    let report = first.shutdown(HOUR).await;
    assert!(report.is_clean());
    assert_eq!(report.remaining, 2);
    drop(first);
    let second = start(&journal).await;
    until(|| second.stats().handled == 2).await;
    assert!(second.shutdown(HOUR).await.is_drained());
    let lane: Vec<String> = journal
        .runs()
        .into_iter()
        .filter(|run| !run.starts_with("other"))
        .collect();
    assert_eq!(lane, ["fails2/1", "fails2/2", "fails2/3", "second/1"]);
}
