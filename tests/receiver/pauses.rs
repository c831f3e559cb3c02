//! Handlers that are paused, and runs that go on for long.

use std::time::Duration;

use support::{Valve, builder, deliver, labelled, labelled_call, until, within, within_days};
use tokio::runtime::Handle;
use tokio::time::sleep;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::testing::{Act, Recorder};
use voipbin_receiver::{
    HandlerOptions, Receiver, ReceiverBuilder, Registration, RetryPolicy, Warning,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A builder whose handlers run on the paused clock of the test.
fn here() -> ReceiverBuilder {
    builder().runtime(Handle::current())
}

async fn accept(receiver: &Receiver, body: String) {
    let answer = deliver(&receiver.service(), body).await;
    assert_eq!(answer.word(), "received");
}

#[tokio::test(start_paused = true)]
async fn a_paused_handler_waits_with_all_its_events_and_others_go_on() {
    let (crm, other) = (Recorder::new(), Recorder::new());
    let receiver = here()
        .concurrency(4)
        .handlers([
            Registration::new(Any, crm.clone()).name("crm"),
            Registration::new(Any, other.clone()).name("other"),
        ])
        .build()
        .unwrap();
    assert!(receiver.pause("crm"));
    assert!(!receiver.pause("crn") && !receiver.resume("crn"));
    for label in ["a-0", "a-1", "b-0"] {
        accept(&receiver, labelled_call(&label[..1], label)).await;
    }
    until(|| receiver.stats().handled == 3).await;
    sleep(MINUTE * 60).await;
    assert_eq!((crm.runs().len(), other.runs().len()), (0, 3));
    let stats = receiver.stats();
    assert_eq!((stats.paused, stats.running, stats.inbox.events), (1, 0, 3));
    assert_eq!(receiver.paused()[0].as_str(), "crm");
    let health = receiver.health();
    assert!(health.is_ready());
    assert_eq!(health.warnings, [Warning::HandlerPaused]);

    assert!(receiver.resume("crm"));
    within_days(receiver.idle()).await;
    assert_eq!(crm.runs().len(), 3);
    assert!(receiver.paused().is_empty() && receiver.health().warnings.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pause_ends_no_run_and_holds_further_attempts_back() {
    for strict in [false, true] {
        let crm = Recorder::acting(|run| match run.attempt() {
            1 => Act::fail(),
            _ => Act::succeed(),
        });
        let mut options = HandlerOptions::new().retry(RetryPolicy::default().initial(SECOND));
        if strict {
            options = options.strict();
        }
        let receiver = here()
            .handler_options(options)
            .handlers([Registration::new(Any, crm.clone()).name("crm")])
            .build()
            .unwrap();
        accept(&receiver, labelled_call("a", "a")).await;
        until(|| receiver.stats().retried == 1).await;
        assert!(receiver.pause("crm"));
        sleep(MINUTE).await;
        assert_eq!(crm.runs().len(), 1);
        assert!(receiver.resume("crm"));
        within_days(receiver.idle()).await;
        assert_eq!(crm.runs().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn slots_that_are_set_aside_for_a_paused_handler_are_the_others() {
    let valve = Valve::new();
    let receiver = here()
        .concurrency(8)
        .handlers([
            Registration::new(Any, Recorder::new()).name("crm"),
            Registration::new(Any, valve.clone()).name("other"),
        ])
        .build()
        .unwrap();
    for id in 0..20 {
        accept(&receiver, labelled("call_updated", &id.to_string(), "")).await;
    }
    until(|| receiver.stats().running == 7).await;
    assert!(receiver.pause("crm"));
    until(|| receiver.stats().running == 8).await;
    valve.open();
    assert!(receiver.resume("crm"));
    within_days(receiver.idle()).await;
}

/// Where what waits would be lost otherwise.
#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_pauses_over_an_inbox_in_memory() {
    let crm = Recorder::new();
    let receiver = here()
        .handlers([Registration::new(Any, crm.clone()).name("crm")])
        .build()
        .unwrap();
    assert!(receiver.pause("crm"));
    accept(&receiver, labelled_call("a", "a")).await;
    let shutdown = receiver.shutdown(MINUTE);
    assert!(within_days(shutdown).await.is_drained());
    assert_eq!(crm.runs().len(), 1);
}

/// On the clock of the machine, as the disk is.
#[tokio::test]
async fn what_waits_for_a_paused_handler_on_disk_is_for_the_next_process() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let crm = Recorder::new();
        let receiver = here()
            .inbox(DiskInbox::open(directory.path()).await.unwrap())
            .handlers([Registration::new(Any, crm.clone()).name("crm")])
            .build()
            .unwrap();
        assert!(receiver.pause("crm"));
        accept(&receiver, labelled_call("a", "a")).await;
        let report = receiver.shutdown(MINUTE).await;
        assert_eq!((crm.runs().len(), report.remaining), (0, 1));
        assert!(report.is_clean() && !report.is_drained());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_run_of_more_than_five_minutes_is_warned_of_until_it_ends() {
    let valve = Valve::new();
    let receiver = here().on(Any, valve.clone()).build().unwrap();
    accept(&receiver, labelled_call("a", "a")).await;
    valve.begun().next().await;
    sleep(MINUTE * 5 - SECOND).await;
    assert_eq!(receiver.stats().long_running, 0);
    accept(&receiver, labelled_call("b", "b")).await;
    sleep(MINUTE + 2 * SECOND).await;
    let health = receiver.health();
    assert_eq!(
        (receiver.stats().running, receiver.stats().long_running),
        (2, 1)
    );
    assert!(health.is_ready());
    assert_eq!(health.warnings, [Warning::LongRun]);
    sleep(MINUTE * 5).await;
    assert_eq!(receiver.stats().long_running, 2);

    valve.open();
    within_days(receiver.idle()).await;
    assert_eq!(receiver.stats().long_running, 0);
    assert!(receiver.health().warnings.is_empty());
}
