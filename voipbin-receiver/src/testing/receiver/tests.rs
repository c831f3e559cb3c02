#[cfg(feature = "disk-system")]
mod disk;

use futures_util::FutureExt;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::ServiceExt;

use super::*;
use crate::HandlerOptions;
use crate::build_error::BuildErrorKind;
use crate::catalog::{Any, EventType};
use crate::events::{CallHangup, CallProgressing, CallUpdated};
use crate::handler::{Context, HandlerError, Registration, RetryPolicy, blocking};
use crate::inbox::{AttemptEnd, Records};
use crate::testing::{Act, Recorder, event};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn receiver(recorder: &Recorder) -> TestReceiver {
    TestReceiver::build(|builder| builder.on(Any, recorder.clone())).unwrap()
}

async fn accept(receiver: &TestReceiver, id: &str) {
    let answer = receiver.deliver(event(CallHangup).id(id)).await.unwrap();
    assert_eq!(answer.status(), 200);
}

async fn deliver(receiver: &TestReceiver, id: &str) -> String {
    let answer = receiver.deliver(event(CallHangup).id(id)).await.unwrap();
    assert_eq!(answer.status(), 200);
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// Each step as "id handler attempt".
fn told(steps: &[Step]) -> Vec<String> {
    let steps = steps.iter().map(|step| {
        let id = step.delivery().resource_id().unwrap();
        format!("{id} {} {}", step.handler(), step.attempt())
    });
    steps.collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_until_a_step_and_each_step_is_one_handler_for_one_event() {
    let recorder = Recorder::new();
    let mut receiver = TestReceiver::build(|builder| {
        builder.handlers(["a", "b"].map(|name| Registration::new(Any, recorder.clone()).name(name)))
    })
    .unwrap();
    accept(&receiver, "1").await;
    accept(&receiver, "2").await;
    receiver.advance(HOUR).await;
    assert!(recorder.runs().is_empty());

    for (number, expected) in ["1 a 1", "1 b 1", "2 a 1", "2 b 1"].into_iter().enumerate() {
        let step = receiver.step().await.unwrap();
        assert!(step.is_done());
        assert_eq!(told(&[step]), [expected]);
        assert_eq!(recorder.runs().len(), number + 1);
    }
    assert!(receiver.step().await.is_none());
    assert_eq!(receiver.stats().handled, 4);
    assert_eq!(receiver.history().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_finds_nothing_takes_no_time() {
    let recorder = Recorder::acting(|_| Act::fail());
    let mut receiver = receiver(&recorder);
    accept(&receiver, "1").await;
    let start = Instant::now();
    assert_eq!(receiver.run_until_idle().await.len(), 1);
    assert!(receiver.step().await.is_none());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_due_after_its_wait_and_not_before() {
    let recorder = Recorder::acting(|context| match context.attempt() {
        1 => Act::retry_after(HOUR),
        2 => Act::panic(),
        _ => Act::succeed(),
    });
    let mut receiver = receiver(&recorder);
    accept(&receiver, "1").await;
    let step = receiver.step().await.unwrap();
    assert_eq!(step.retry_after(), Some(HOUR));
    receiver.advance(HOUR - SECOND).await;
    assert!(receiver.step().await.is_none());
    assert_eq!(receiver.next_attempt(), Some(SECOND));
    receiver.advance(SECOND).await;
    assert_eq!(receiver.next_attempt(), Some(Duration::ZERO));
    let step = receiver.step().await.unwrap();
    assert!(
        matches!(
            step.end(),
            StepEnd::Retry {
                failed: AttemptEnd::Panicked,
                ..
            }
        ),
        "{step:?}"
    );
    let steps = receiver.run_until_done().await;
    assert_eq!(told(&steps), ["1 * 3"]);
    assert!(steps[0].is_done() && receiver.next_attempt().is_none());
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_there_is_a_dead_letter() {
    let recorder = Recorder::acting(|_| Act::fail());
    let mut receiver = TestReceiver::build(|builder| {
        builder
            .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(3)))
            .on(Any, recorder.clone())
    })
    .unwrap();
    accept(&receiver, "1").await;
    let steps = receiver.run_until_done().await;
    let dead: Vec<_> = steps.iter().map(Step::is_dead).collect();
    assert_eq!(dead, [false, false, true]);
    let letters = receiver.dead_letters().await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].jobs[0].attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn more_dead_letters_than_one_page_are_all_there() {
    let recorder = Recorder::acting(|_| Act::give_up());
    let mut receiver = receiver(&recorder);
    for id in 0..250 {
        accept(&receiver, &id.to_string()).await;
    }
    assert_eq!(receiver.run_until_idle().await.len(), 250);
    assert_eq!(receiver.dead_letters().await.unwrap().len(), 250);
}

#[tokio::test(start_paused = true)]
async fn what_is_stale_is_skipped() {
    let mut receiver = TestReceiver::build(|builder| {
        builder.handlers([
            Registration::new(Any, Recorder::new()).options(HandlerOptions::new().skip_stale())
        ])
    })
    .unwrap();
    let older = event(CallProgressing).set("tm_update", "2026-09-01T08:00:30Z");
    accept(&receiver, crate::testing::SampleEvent::ID).await;
    assert_eq!(receiver.deliver(older).await.unwrap().status(), 200);
    let steps = receiver.run_until_idle().await;
    assert_eq!(
        [steps[0].end(), steps[1].end()],
        [&StepEnd::Done, &StepEnd::Skipped]
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_hangs_is_told_and_goes_on_beside_the_next() {
    let recorder = Recorder::acting(|context| match context.delivery().resource_id() {
        Some("hangs") => Act::hang(),
        _ => Act::succeed(),
    });
    let mut receiver = receiver(&recorder).patience(SECOND);
    for id in ["hangs", "1"] {
        accept(&receiver, id).await;
    }
    let behind = event(CallUpdated).id("hangs");
    assert_eq!(receiver.deliver(behind).await.unwrap().status(), 200);

    let steps = receiver.run_until_idle().await;
    let ends: Vec<_> = steps.iter().map(Step::end).collect();
    assert_eq!(ends, [&StepEnd::Running, &StepEnd::Done]);
    assert_eq!(steps[0].took(), SECOND);
    assert_eq!((recorder.runs().len(), receiver.stats().running), (2, 1));
    recorder.release();
    receiver.advance(SECOND).await;
    assert_eq!(receiver.history().len(), 2);
    assert_eq!(
        recorder.runs().len(),
        2,
        "what was behind it waits for its step"
    );
    assert_eq!(told(&receiver.run_until_done().await), ["hangs * 1"]);
    assert_eq!(receiver.stats().inbox.events, 0);
}

#[tokio::test(start_paused = true)]
async fn a_strict_lane_waits_for_the_next_attempt_and_moves_on_by_steps() {
    let recorder = Recorder::acting(|context| match context.attempt() {
        1 => Act::retry_after(HOUR),
        _ => Act::succeed(),
    });
    let mut receiver = TestReceiver::build(|builder| {
        builder
            .handler_options(HandlerOptions::new().strict())
            .on(Any, recorder.clone())
    })
    .unwrap();
    accept(&receiver, "1").await;
    let behind = event(CallUpdated).id("1");
    assert_eq!(receiver.deliver(behind).await.unwrap().status(), 200);
    assert_eq!(told(&receiver.run_until_idle().await), ["1 * 1"]);
    assert_eq!(receiver.next_attempt(), Some(HOUR));
    receiver.advance(HOUR).await;
    assert_eq!(recorder.runs().len(), 1, "no job begins by it");
    let again = receiver.step().await.unwrap();
    assert_eq!(
        (again.attempt(), again.event_type()),
        (2, Some(EventType::CallHangup))
    );
    let next = receiver.step().await.unwrap();
    assert_eq!(
        (next.attempt(), next.event_type()),
        (1, Some(EventType::CallUpdated))
    );
    let steps = receiver.run_until_done().await;
    assert_eq!(told(&steps), ["1 * 2"]);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_run_ends_the_run_until_done() {
    let recorder = Recorder::acting(|context| match context.delivery().resource_id() {
        Some("hangs") => Act::hang(),
        _ => Act::retry_after(SECOND),
    });
    let mut receiver =
        TestReceiver::build(|builder| builder.concurrency(1).on(Any, recorder.clone())).unwrap();
    accept(&receiver, "1").await;
    assert!(receiver.step().await.unwrap().retry_after().is_some());
    accept(&receiver, "hangs").await;
    let steps = receiver.run_until_done().await;
    assert_eq!(steps.last().unwrap().end(), &StepEnd::Running);
    assert_eq!(receiver.stats().inbox.events, 2);
}

#[tokio::test(start_paused = true)]
async fn the_clock_moves_as_far_as_the_handler_sleeps_or_may() {
    let recorder = Recorder::acting(|_| Act::succeed().after(5 * SECOND));
    let mut receiver = TestReceiver::build(|builder| {
        builder.handlers([
            Registration::new(Any, recorder.clone()).name("patient"),
            Registration::new(Any, recorder.clone())
                .name("hasty")
                .options(HandlerOptions::new().timeout(2 * SECOND)),
        ])
    })
    .unwrap();
    accept(&receiver, "1").await;
    let steps = receiver.run_until_idle().await;
    assert!(steps[0].is_done());
    assert_eq!(steps[0].took(), 5 * SECOND);
    assert_eq!(steps[1].took(), 2 * SECOND);
    assert!(
        matches!(
            steps[1].end(),
            StepEnd::Retry {
                failed: AttemptEnd::TimedOut,
                ..
            }
        ),
        "{steps:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn blocking_handlers_run_step_by_step_as_well() {
    let mut receiver = TestReceiver::build(|builder| {
        builder.on(
            Any,
            blocking(|context: Context| match context.attempt() {
                1 => Err(HandlerError::new("on purpose")),
                _ => Ok(()),
            }),
        )
    })
    .unwrap();
    accept(&receiver, "1").await;
    let start = Instant::now();
    assert!(receiver.step().await.unwrap().retry_after().is_some());
    assert_eq!(start.elapsed(), Duration::ZERO);
    let steps = receiver.run_until_done().await;
    assert!(steps.len() == 1 && steps[0].is_done());
}

#[tokio::test(start_paused = true)]
async fn an_identity_is_remembered_for_its_time_and_no_longer() {
    let mut receiver = receiver(&Recorder::new());
    assert!(deliver(&receiver, "1").await.contains("received"));
    assert_eq!(receiver.run_until_idle().await.len(), 1);
    receiver.advance(HOUR - SECOND).await;
    assert!(deliver(&receiver, "1").await.contains("duplicate"));
    assert!(receiver.step().await.is_none());
    receiver.advance(2 * SECOND).await;
    assert!(deliver(&receiver, "1").await.contains("received"));
    assert_eq!(receiver.run_until_idle().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forged_request_is_refused() {
    let receiver = receiver(&Recorder::new());
    let forged: Request<Full<Bytes>> = Signer::new("another secret").request(
        http::Uri::from_static("/voipbin/webhook"),
        event(CallHangup),
    );
    let answer = receiver.service().oneshot(forged).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_runs_the_rest_and_leaves_nothing_to_step() {
    let recorder = Recorder::new();
    let mut receiver = receiver(&recorder);
    for id in ["1", "2", "3"] {
        accept(&receiver, id).await;
    }
    assert!(receiver.step().await.unwrap().is_done());
    assert!(receiver.receiver().shutdown(HOUR).await.is_drained());
    assert_eq!((recorder.runs().len(), receiver.history().len()), (3, 3));
    assert!(receiver.step().await.is_none());
    let refused = receiver.deliver(event(CallHangup).id("4")).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_nobody_waits_for_lets_nothing_run() {
    let recorder = Recorder::new();
    let mut receiver = receiver(&recorder);
    accept(&receiver, "1").await;
    assert!(receiver.step().now_or_never().is_none());
    receiver.advance(SECOND).await;
    assert!(recorder.runs().is_empty());
    assert_eq!(receiver.run_until_idle().await.len(), 1);
}

#[tokio::test]
async fn a_clock_that_runs_is_refused() {
    let error = TestReceiver::build(|builder| builder.on(Any, Recorder::new())).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Runtime);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_given_up_is_not_waited_for() {
    let recorder = Recorder::acting(|_| Act::fail());
    let mut receiver = receiver(&recorder);
    accept(&receiver, "1").await;
    receiver.run_until_idle().await;
    let records: &dyn Records = receiver.receiver().records().unwrap();
    let page = records.list(&RecordFilter::new(), None, 10).await.unwrap();
    let given_up: Vec<_> = page.records.iter().map(|record| record.id).collect();
    records.discard(&given_up).await.unwrap();
    receiver.run_until_done().await;
    assert_eq!(receiver.next_attempt(), None);
}
