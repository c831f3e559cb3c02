//! What follows when a handler fails.

use std::time::Duration;

use http::StatusCode;
use support::{builder, within};
use tokio::time::Instant;
use voipbin_receiver::catalog::{Any, named};
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::inbox::MemoryInbox;
use voipbin_receiver::testing::{
    Act, Answer, RecordedRun, Recorder, Sender, Signer, Step, TestReceiver, event,
};
use voipbin_receiver::{
    BuildErrorKind, Context, Event, HandlerError, HandlerOptions, ReceiverBuilder, Registration,
    RetryPolicy, blocking, handlers, on,
};

const HOUR: Duration = Duration::from_secs(3600);

fn build(configure: impl FnOnce(ReceiverBuilder) -> ReceiverBuilder) -> TestReceiver {
    TestReceiver::build(configure).unwrap()
}

async fn deliver(receiver: &TestReceiver, id: u32) -> Answer {
    let event = event(CallHangup).id(id.to_string());
    receiver.deliver(event).await.unwrap()
}

async fn accept(receiver: &TestReceiver, id: u32) {
    assert!(says(&deliver(receiver, id).await, "received"));
}

/// Whether a word is in the body of the answer.
fn says(answer: &Answer, word: &str) -> bool {
    std::str::from_utf8(answer.body()).unwrap().contains(word)
}

/// Fails in its first attempts, and leaves it to the policy when to try again.
fn fails(times: u32) -> Recorder {
    Recorder::acting(move |run| match run.attempt() {
        attempt if attempt > times => Act::succeed(),
        _ => Act::fail(),
    })
}

fn attempts<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<u32> {
    steps.into_iter().map(Step::attempt).collect()
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_runs_again_after_growing_waits_and_is_told_which_attempt_it_is() {
    let handler = fails(u32::MAX);
    let mut receiver = build(|builder| builder.on(Any, handler.clone()));
    accept(&receiver, 1).await;
    let steps = receiver.run_until_done().await;
    assert_eq!(attempts(&steps), (1..=8).collect::<Vec<_>>());
    assert!(steps[7].is_dead());

    let runs = handler.runs();
    assert_eq!(runs.len(), 8);
    let mut some_chance = false;
    for (number, longest) in [1, 4, 16, 64, 256, 600, 600].into_iter().enumerate() {
        let longest = Duration::from_secs(longest);
        let planned = steps[number].retry_after().unwrap();
        assert!(planned >= longest / 2 && planned <= longest, "{planned:?}");
        some_chance |= planned < longest.mul_f64(0.99);
        let waited = runs[number + 1].began() - runs[number].began();
        assert_eq!(runs[number + 1].attempt() as usize, number + 2);
        // Timers tick in milliseconds.
        assert!(
            waited >= planned && waited <= planned + Duration::from_millis(2),
            "{waited:?} rather than {planned:?}"
        );
    }
    assert!(some_chance, "every wait is the longest");
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.handled), (8, 7, 0));
    assert_eq!(stats.dead, 1);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_handler_asks_for_wins_and_its_attempts_count() {
    let handler = Recorder::acting(|_| Act::retry_after(HOUR));
    let mut receiver = build(|builder| {
        let policy = RetryPolicy::default().attempts(3);
        builder
            .handler_options(HandlerOptions::new().retry(policy))
            .on(Any, handler.clone())
    });
    accept(&receiver, 1).await;
    let steps = receiver.run_until_done().await;
    let waits: Vec<_> = steps.iter().map(Step::retry_after).collect();
    assert_eq!(waits, [Some(HOUR), Some(HOUR), None]);
    let began: Vec<_> = handler.runs().iter().map(RecordedRun::began).collect();
    assert_eq!(began, [Duration::ZERO, HOUR, 2 * HOUR]);
    assert!(steps[2].is_dead());
}

#[tokio::test(start_paused = true)]
async fn what_another_attempt_would_meet_again_has_none() {
    let mut receiver = build(|builder| {
        builder.handlers([
            Registration::new(Any, || async {
                Err::<(), _>(HandlerError::permanent("on purpose"))
            })
            .name("permanent"),
            Registration::new(named("call_hangup"), |_: Event<u8>| async {}).name("misfit"),
        ])
    });
    let start = Instant::now();
    accept(&receiver, 1).await;
    let steps = receiver.run_until_idle().await;
    assert!(steps.len() == 2 && steps.iter().all(Step::is_dead));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (2, 0, 2));
    assert_eq!(
        (stats.inbox.events, stats.inbox.delayed, stats.inbox.dead),
        (0, 0, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_event_is_a_dead_letter_and_known_as_one() {
    let handler = fails(u32::MAX);
    let mut receiver = build(|builder| {
        let policy = RetryPolicy::default().attempts(2);
        builder
            .handler_options(HandlerOptions::new().retry(policy))
            .on(Any, handler.clone())
    });
    accept(&receiver, 1).await;
    let wait = receiver.step().await.unwrap().retry_after().unwrap();
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (1, 1, 0));
    assert_eq!(
        (stats.inbox.events, stats.inbox.delayed, stats.inbox.dead),
        (1, 1, 0)
    );

    receiver.advance(wait).await;
    assert!(receiver.step().await.unwrap().is_dead());
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.handled), (2, 1, 0));
    assert_eq!(
        (stats.inbox.events, stats.inbox.delayed, stats.inbox.dead),
        (0, 0, 1)
    );
    assert!(says(&deliver(&receiver, 1).await, "duplicate"));
    assert!(receiver.receiver().shutdown(HOUR).await.is_drained());
    assert_eq!(handler.runs().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_attempt_is_planned_for_an_event_that_will_be_too_old() {
    let mut receiver = build(|builder| {
        builder
            .handler_options(
                HandlerOptions::new().retry(RetryPolicy::default().max_age(HOUR * 5 / 2)),
            )
            .on(Any, Recorder::acting(|_| Act::retry_after(HOUR)))
    });
    let start = Instant::now();
    accept(&receiver, 1).await;
    let steps = receiver.run_until_done().await;
    assert_eq!(attempts(&steps), [1, 2, 3]);
    assert!(steps[2].is_dead());
    assert_eq!(start.elapsed(), 2 * HOUR);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_attempt_like_any_other() {
    let panics = Recorder::acting(|run| match run.attempt() {
        1 | 2 => Act::panic(),
        _ => Act::succeed(),
    });
    let mut receiver = build(|builder| {
        builder.handlers([
            Registration::new(Any, panics).name("async"),
            Registration::new(
                Any,
                blocking(|context: Context| assert!(context.attempt() > 2, "on purpose")),
            )
            .name("blocking"),
        ])
    });
    accept(&receiver, 1).await;
    let steps = receiver.run_until_done().await;
    for name in ["async", "blocking"] {
        let of_handler = steps.iter().filter(|step| step.handler() == name);
        assert_eq!(attempts(of_handler), [1, 2, 3]);
    }
    let stats = receiver.stats();
    assert_eq!((stats.failed, stats.retried, stats.dead), (4, 4, 0));
    assert_eq!(stats.handled, 2);
}

#[tokio::test(start_paused = true)]
async fn only_the_handler_that_failed_runs_again() {
    let mut receiver = build(|builder| {
        builder.handlers([
            Registration::new(Any, fails(2)).name("fails"),
            Registration::new(Any, Recorder::new()).name("works"),
        ])
    });
    accept(&receiver, 1).await;
    let steps = receiver.run_until_done().await;
    let told: Vec<_> = steps.iter().map(Step::handler).collect();
    assert_eq!(told, ["fails", "works", "fails", "fails"]);
    assert_eq!(receiver.stats().inbox.events, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_holds_up_no_other() {
    let mut receiver = build(|builder| {
        builder
            .concurrency(1)
            .on(named("call_hangup"), fails(1))
            .on(named("other"), Recorder::new())
    });
    accept(&receiver, 1).await;
    assert!(receiver.step().await.unwrap().retry_after().is_some());
    assert_eq!(receiver.stats().running, 0);
    receiver.deliver(event("other").id("2")).await.unwrap();
    assert_eq!(receiver.step().await.unwrap().handler(), "other");
    let again = receiver.run_until_done().await;
    assert_eq!((again[0].handler(), again[0].attempt()), ("call_hangup", 2));
    assert_eq!(receiver.stats().handled, 2);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_keeps_its_room_and_its_identity() {
    let mut receiver = build(|builder| {
        builder
            .inbox(MemoryInbox::builder().max_events(1).build())
            .on(Any, fails(1))
    });
    accept(&receiver, 1).await;
    assert!(receiver.step().await.unwrap().retry_after().is_some());
    let other = deliver(&receiver, 2).await;
    assert_eq!(other.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(says(&other, "inbox_full"));
    assert!(says(&deliver(&receiver, 1).await, "duplicate"));
    let again = receiver.run_until_done().await;
    assert!(again.len() == 1 && again[0].is_done());
    accept(&receiver, 2).await;
}

#[tokio::test]
async fn a_policy_without_attempts_is_refused() {
    let receiver = builder()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(0)))
        .on(Any, Recorder::new())
        .build();
    assert_eq!(receiver.unwrap_err().kind(), BuildErrorKind::BadSetting);
}

/// The receiver's own runtime, and the real clock.
#[tokio::test]
async fn attempts_are_made_on_a_runtime_of_the_receivers_own() {
    within(async {
        let handler = Recorder::acting(|run| match run.attempt() {
            3 => Act::succeed(),
            _ => Act::retry_after(Duration::from_millis(1)),
        });
        let receiver = builder().on(Any, handler.clone()).build().unwrap();
        let sender = Sender::new(receiver.service(), Signer::new(support::SECRET));
        assert!(sender.send(event(CallHangup)).await.delivered().is_some());
        let runs = handler.wait_for(3).await;
        let attempts: Vec<_> = runs.iter().map(RecordedRun::attempt).collect();
        assert_eq!(attempts, [1, 2, 3]);
        assert!(receiver.shutdown(HOUR).await.is_drained());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handlers_own_number_of_attempts_leaves_the_rest_of_the_policy_as_it_is() {
    #[on(any, attempts = 2)]
    async fn attribute() -> Result<(), HandlerError> {
        Err(HandlerError::new("on purpose"))
    }

    let mut receiver = build(|builder| {
        builder
            .handler_options(
                HandlerOptions::new()
                    .retry(RetryPolicy::default().attempts(5).initial(HOUR).max(HOUR)),
            )
            .handlers(handlers![attribute])
            .handlers([
                Registration::new(Any, fails(u32::MAX))
                    .name("own")
                    .options(HandlerOptions::new().attempts(3)),
                Registration::new(Any, fails(u32::MAX))
                    .name("both")
                    .options(
                        HandlerOptions::new()
                            .retry(RetryPolicy::never().initial(HOUR / 4).max(HOUR / 4))
                            .attempts(4),
                    ),
            ])
    });
    accept(&receiver, 1).await;
    let steps = receiver.run_until_done().await;
    for (handler, attempts, longest) in [
        ("attribute", 2, HOUR),
        ("own", 3, HOUR),
        ("both", 4, HOUR / 4),
    ] {
        let of_handler: Vec<_> = steps
            .iter()
            .filter(|step| step.handler() == handler)
            .collect();
        assert_eq!(of_handler.len(), attempts);
        assert!(of_handler[attempts - 1].is_dead());
        for step in &of_handler[..attempts - 1] {
            let wait = step.retry_after().unwrap();
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?}");
        }
    }
    assert_eq!(receiver.stats().dead, 3);
}

#[tokio::test]
async fn a_handler_that_could_never_run_is_refused() {
    let registration = || Registration::new(Any, Recorder::new());
    for hopeless in [
        registration().options(HandlerOptions::new().attempts(0)),
        registration().options(
            HandlerOptions::new()
                .retry(RetryPolicy::never())
                .attempts(0),
        ),
        registration().options(HandlerOptions::new().retry(RetryPolicy::never().attempts(0))),
        registration().options(HandlerOptions::new().timeout(Duration::ZERO)),
        registration().options(HandlerOptions::new().concurrency(0)),
    ] {
        let error = builder().handlers([hopeless]).build().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::BadSetting);
    }
    let saved = registration().options(
        HandlerOptions::new()
            .retry(RetryPolicy::never().attempts(0))
            .attempts(1),
    );
    assert!(builder().handlers([saved]).build().is_ok());
}
