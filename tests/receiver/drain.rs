//! What a shutdown makes of handlers that failed and wait for their next attempt, and what a drain
//! leaves: nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use support::{BeforeRetry, Valve, builder, call_hangup, deliver, until, within, within_days};
use tokio::runtime::Handle;
use tokio::time::Instant;
use voipbin_receiver::catalog::{Any, named};
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::testing::{Act, RecordedRun, Recorder, TestReceiver, event};
use voipbin_receiver::{
    HandlerOptions, JobState, Problem, Receiver, ReceiverBuilder, RetryPolicy, ShutdownReport,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder().runtime(Handle::current())
}

async fn accept(receiver: &Receiver, id: u32) {
    let answer = deliver(&receiver.service(), call_hangup(id)).await;
    assert_eq!(answer.word(), "received");
}

fn states(report: &ShutdownReport) -> Vec<JobState> {
    report.unfinished.iter().map(|left| left.state).collect()
}

/// Asks for its second attempt after an hour.
fn fails_once() -> Recorder {
    Recorder::acting(|run| match run.attempt() {
        1 => Act::retry_after(HOUR),
        _ => Act::succeed(),
    })
}

/// A receiver with this many events that failed and wait.
async fn waiting(events: usize, handler: &Recorder) -> TestReceiver {
    let build = |builder: ReceiverBuilder| builder.on(Any, handler.clone());
    let mut receiver = TestReceiver::build(build).unwrap();
    for id in 0..events {
        let event = event(CallHangup).id(id.to_string());
        assert_eq!(receiver.deliver(event).await.unwrap().status(), 200);
    }
    assert_eq!(receiver.run_until_idle().await.len(), events);
    assert_eq!(receiver.stats().inbox.delayed, events);
    receiver
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_nothing_wait_and_makes_the_next_attempts_at_once() {
    let receiver = waiting(3, &fails_once()).await;
    let begun = Instant::now();
    let report = receiver.receiver().shutdown(HOUR / 2).await;
    assert!(report.is_drained());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let stats = receiver.stats();
    assert_eq!((stats.handled, stats.dead, stats.inbox.events), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_in_a_shutdown_is_reported_and_not_waited_for() {
    let receiver = waiting(1, &Recorder::acting(|_| Act::retry_after(HOUR))).await;
    let begun = Instant::now();
    let report = receiver.receiver().shutdown(HOUR / 2).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(states(&report), [JobState::Failed]);
    assert_eq!(report.unfinished[0].delivery.resource_id(), Some("0"));
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (2, 1, 1));
    assert_eq!(
        (stats.inbox.events, stats.inbox.delayed, stats.inbox.dead),
        (0, 0, 1)
    );
    let again = receiver.receiver().shutdown(HOUR).await;
    assert_eq!(states(&again), [JobState::Failed]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_without_time_tells_what_failed_from_what_never_ran() {
    let (fails, valve) = (fails_once(), Valve::new());
    let receiver = here()
        .concurrency(1)
        .on(named("call_hangup"), fails.clone())
        .on(named("other"), valve.clone())
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.delayed == 1).await;
    for id in ["running", "queued"] {
        let body = format!(r#"{{"type":"other","data":{{"id":"{id}"}}}}"#);
        assert_eq!(deliver(&receiver.service(), body).await.word(), "received");
    }
    valve.begun().next().await;
    let report = receiver.shutdown(Duration::ZERO).await;
    let left: Vec<_> = report
        .unfinished
        .iter()
        .map(|left| (left.delivery.resource_id().unwrap(), left.state))
        .collect();
    assert_eq!(
        left,
        [
            ("running", JobState::Running),
            ("1", JobState::Failed),
            ("queued", JobState::Queued)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_put_back_just_as_a_shutdown_begins_does_not_wait_either() {
    let handler = fails_once();
    let shutting_down: Arc<OnceLock<Receiver>> = Arc::default();
    let receiver = Arc::clone(&shutting_down);
    let begin_shutdown = move || {
        let receiver = receiver.get().unwrap();
        assert!(receiver.shutdown(Duration::MAX).now_or_never().is_none());
    };
    let receiver = here()
        .inbox(BeforeRetry::new(begin_shutdown))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    assert!(shutting_down.set(receiver.clone()).is_ok());
    accept(&receiver, 1).await;
    let runs = within_days(handler.wait_for(2)).await;
    assert_eq!(runs[1].began(), Duration::ZERO);
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

/// On the clock of the machine, as the disk is.
#[tokio::test]
async fn a_shutdown_tells_when_what_was_handled_could_not_be_stored() {
    let shutdown = async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::open(directory.path()).await.unwrap();
        let valve = Valve::new();
        let receiver = here().inbox(inbox).on(Any, valve.clone()).build().unwrap();
        accept(&receiver, 1).await;
        valve.begun().next().await;
        let file = directory.path().join("inbox.db");
        std::fs::rename(&file, directory.path().join("elsewhere")).unwrap();
        valve.open();
        receiver.shutdown(HOUR).await
    };
    let report = within(shutdown).await;
    assert!(report.unfinished.is_empty());
    assert!(!report.stored && !report.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_dropped_still_makes_its_attempts_in_their_time() {
    let handler = Recorder::acting(|_| Act::retry_after(HOUR));
    let receiver = here()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(4)))
        .on(Any, handler.clone())
        .build()
        .unwrap();
    accept(&receiver, 1).await;
    until(|| receiver.stats().inbox.delayed == 1).await;
    drop(receiver);
    let runs = within_days(handler.wait_for(4)).await;
    let began: Vec<_> = runs.iter().map(RecordedRun::began).collect();
    // Nothing new can come: what waited is brought forward, and what fails from here on is not.
    assert!(began[1] < HOUR, "{began:?}");
    // Timers tick in milliseconds.
    for waited in [began[2] - began[1], began[3] - began[2]] {
        assert!(waited >= HOUR && waited <= HOUR + Duration::from_millis(2));
    }
}

/// On the clock of the machine, as the disk is.
#[tokio::test]
async fn a_report_counts_what_an_inbox_on_disk_has_for_the_next_process() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::open(directory.path()).await.unwrap();
        let valve = Valve::new();
        let receiver = here()
            .concurrency(1)
            .inbox(inbox)
            .on(Any, valve.clone())
            .build()
            .unwrap();
        for id in 0..10 {
            accept(&receiver, id).await;
        }
        valve.begun().next().await;
        let report = receiver.shutdown(Duration::ZERO).await;
        assert_eq!(states(&report), [JobState::Running]);
        assert_eq!(report.remaining, 10);
        assert!(!report.is_clean() && !report.is_drained());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_refuses_what_is_new_and_makes_all_attempts_in_their_time() {
    let handler = fails_once();
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    for id in 0..3 {
        accept(&receiver, id).await;
    }
    let begun = Instant::now();
    let mut drain = Box::pin(receiver.drain(HOUR * 24));
    assert!((&mut drain).now_or_never().is_none());
    let refused = deliver(&receiver.service(), call_hangup("new")).await;
    assert_eq!(
        (refused.status().as_u16(), refused.code()),
        (503, "shutting_down")
    );
    assert_eq!(receiver.health().problems, [Problem::ShuttingDown]);
    let report = within_days(drain).await;
    assert!(report.is_drained());
    assert_eq!((report.remaining, receiver.stats().handled), (0, 3));
    assert!(begun.elapsed() >= HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_deadline_and_says_what_is_left() {
    let valve = Valve::new();
    let receiver = here().on(Any, valve.clone()).build().unwrap();
    accept(&receiver, 1).await;
    valve.begun().next().await;
    let begun = Instant::now();
    let report = receiver.drain(HOUR).await;
    assert!(begun.elapsed() >= HOUR);
    assert_eq!(states(&report), [JobState::Running]);
    assert!(report.remaining == 1 && !report.is_drained());
}

#[tokio::test(start_paused = true)]
async fn it_is_idle_once_all_attempts_are_made() {
    let handler = fails_once();
    let receiver = here().on(Any, handler.clone()).build().unwrap();
    receiver.idle().await;
    accept(&receiver, 1).await;
    within_days(receiver.idle()).await;
    assert_eq!(handler.runs().len(), 2);
    // It goes on to take events.
    accept(&receiver, 2).await;
    within_days(receiver.idle()).await;
    assert_eq!(receiver.stats().handled, 2);
}
