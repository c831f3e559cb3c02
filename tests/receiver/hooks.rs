//! What a receiver tells of what happens: to observers, and to the hook for dead letters.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use support::{
    Recorder, Valve, builder, call_hangup, deliver, send, signed, unsigned, until, within,
};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::Limits;
use voipbin_receiver::inbox::{AttemptEnd, MemoryInbox};
use voipbin_receiver::observe::{
    DeadLetterReason, Gauges, Observer, Outcome, RefusalReason, Transition,
};
use voipbin_receiver::testing::TokioClock;
use voipbin_receiver::{
    Context, HandlerError, HandlerOptions, JobState, ReceiverBuilder, Registration, RetryPolicy,
};

const HOUR: Duration = Duration::from_secs(3600);

fn here() -> ReceiverBuilder {
    builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(2)))
}

/// Writes down what it sees, in a few words each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn observer(&self) -> impl Fn(&Transition<'_>) + Send + Sync + use<> {
        let log = self.clone();
        move |transition: &Transition<'_>| log.0.lock().unwrap().push(words(transition))
    }

    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn words(transition: &Transition<'_>) -> String {
    match transition {
        Transition::Answered {
            outcome,
            event_type,
            ..
        } => match event_type {
            Some(event_type) => format!("{} {event_type}", outcome.as_str()),
            None => outcome.as_str().into(),
        },
        Transition::Started { run, waited } => {
            format!("started {} first={}", run.attempt(), waited.is_some())
        }
        Transition::Finished { run, .. } => format!("finished {}", run.attempt()),
        Transition::Failed {
            run, retry_after, ..
        } => format!("failed {} again={}", run.attempt(), retry_after.is_some()),
        Transition::Dead { reason, .. } => format!("dead {}", reason.as_str()),
        Transition::Dropped { run, state } => format!("dropped {} {state:?}", run.handler()),
        other => format!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_every_step_of_a_delivery() {
    let log = Log::default();
    let handler = |context: Context| async move {
        match context.attempt() {
            1 => Err(HandlerError::new("not yet")),
            _ => Ok(()),
        }
    };
    let receiver = here()
        .observe(log.observer())
        .on(Any, handler)
        .build()
        .unwrap();
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.status(),
        200
    );
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.status(),
        200
    );
    until(|| receiver.stats().handled != 0).await;
    assert_eq!(
        log.lines(),
        [
            "accepted call_hangup",
            "duplicate call_hangup",
            "started 1 first=true",
            "failed 1 again=true",
            "started 2 first=false",
            "finished 2",
        ]
    );
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_why_a_delivery_was_refused() {
    let log = Log::default();
    let receiver = here()
        .observe(log.observer())
        .inbox(MemoryInbox::builder().max_events(1).build())
        .limits(Limits::new().body_limit(200))
        .on(Any, Valve::new())
        .build()
        .unwrap();
    let mut put = signed(call_hangup(1));
    *put.method_mut() = http::Method::PATCH;
    let service = receiver.service();
    let statuses = [
        send(&service, put).await.head.status,
        send(&service, unsigned(call_hangup(1))).await.head.status,
        send(&service, signed("[")).await.head.status,
        send(&service, signed("x".repeat(300))).await.head.status,
        send(&service, signed(call_hangup(1))).await.head.status,
        send(&service, signed(call_hangup(2))).await.head.status,
    ];
    assert_eq!(
        statuses.map(|status| status.as_u16()),
        [405, 401, 400, 413, 200, 503]
    );
    let _report = receiver.shutdown(Duration::ZERO).await;
    assert_eq!(
        send(&service, signed(call_hangup(3))).await.head.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let answers: Vec<String> = log
        .lines()
        .into_iter()
        .filter(|line| !line.starts_with("started"))
        .collect();
    assert_eq!(
        answers,
        [
            "method",
            "signature",
            "body",
            "too_large",
            "accepted call_hangup",
            "inbox_full call_hangup",
            "dropped * Queued",
            "shutting_down call_hangup",
        ]
    );
    assert_eq!(
        Outcome::Refused(RefusalReason::ShuttingDown).as_str(),
        "shutting_down"
    );
}

/// Writes down how the receiver stands, as often as it is told to.
struct Standing(Log);

impl Observer for Standing {
    fn observe(&self, _: &Transition<'_>) {}

    fn record_gauges(&self, gauges: &Gauges<'_>) {
        let (stats, handlers) = (gauges.stats, gauges.handlers);
        self.0.0.lock().unwrap().push(format!(
            "{} of {:?} events, {} of {} running, ready={}, {handlers:?}",
            stats.inbox.events,
            stats.inbox.max_events,
            stats.running,
            stats.slots,
            gauges.health.is_ready(),
        ));
    }
}

struct Broken;

impl Observer for Broken {
    fn observe(&self, _: &Transition<'_>) {}

    fn record_gauges(&self, _: &Gauges<'_>) {
        panic!("gauges");
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_records_how_the_receiver_stands_when_asked_whatever_others_do() {
    let (log, valve) = (Log::default(), Valve::new());
    let receiver = here()
        .observe(Broken)
        .observe(Standing(log.clone()))
        .inbox(MemoryInbox::builder().max_events(1).build())
        .concurrency(7)
        .handlers([Registration::new(Any, valve.clone()).name("waits")])
        .build()
        .unwrap();
    assert_eq!(log.lines(), [""; 0]);
    receiver.record_gauges();
    deliver(&receiver.service(), call_hangup(1)).await;
    valve.begun().next().await;
    receiver.record_gauges();
    assert_eq!(
        log.lines(),
        [
            r#"0 of Some(1) events, 0 of 7 running, ready=true, ["waits"]"#,
            r#"1 of Some(1) events, 1 of 7 running, ready=false, ["waits"]"#,
        ]
    );
    valve.open();
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_told_at_once_with_its_attempts() {
    let (told, mut letters) = mpsc::unbounded_channel();
    let receiver = here()
        .on_dead_letter(move |letter| {
            let told = told.clone();
            async move { told.send(letter).unwrap() }
        })
        .handlers([Registration::new(Any, |context: Context| async move {
            Err::<(), _>(HandlerError::new(format!("no {}", context.attempt())))
        })
        .name("fails")])
        .build()
        .unwrap();
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.status(),
        200
    );
    let letter = within(letters.recv()).await.unwrap();
    assert_eq!(
        (letter.handler.as_str(), letter.attempts, letter.reason),
        ("fails", 2, DeadLetterReason::AttemptsExhausted)
    );
    assert_eq!(letter.delivery.resource_id(), Some("1"));
    let ends: Vec<AttemptEnd> = letter.history.into_iter().map(|one| one.ended).collect();
    assert_eq!(
        ends,
        [
            AttemptEnd::Failed("no 1".into()),
            AttemptEnd::Failed("no 2".into())
        ]
    );
    assert!(receiver.shutdown(HOUR).await.is_drained());
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_says_why_it_is_one() {
    let (told, mut letters) = mpsc::unbounded_channel();
    let receiver = here()
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().max_age(HOUR)))
        .on_dead_letter(move |letter| {
            let told = told.clone();
            async move {
                told.send((
                    letter.delivery.resource_id().map(str::to_owned),
                    letter.reason,
                ))
                .unwrap()
            }
        })
        .on(Any, |context: Context| async move {
            Err::<(), _>(match context.delivery().resource_id() {
                Some("late") => HandlerError::new("busy").retry_after(2 * HOUR),
                Some("gone") => HandlerError::permanent("gone"),
                _ => HandlerError::new("waits"),
            })
        })
        .build()
        .unwrap();
    for (id, reason) in [
        ("late", DeadLetterReason::TooOld),
        ("gone", DeadLetterReason::Permanent),
    ] {
        deliver(&receiver.service(), call_hangup(id)).await;
        let told = within(letters.recv()).await.unwrap();
        assert_eq!(told, (Some(id.to_owned()), reason));
    }
    deliver(&receiver.service(), call_hangup("waits")).await;
    within(async {
        while receiver.stats().retried == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let report = receiver.shutdown(HOUR).await;
    assert_eq!(report.unfinished[0].state, JobState::Failed);
    let told = within(letters.recv()).await.unwrap();
    assert_eq!(told, (Some("waits".to_owned()), DeadLetterReason::ShutDown));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_panic_or_hang_change_nothing() {
    let recorder = Recorder::new();
    let runs = recorder.clone();
    let receiver = here()
        .observe(|_: &Transition<'_>| panic!("observer"))
        .on_dead_letter(|letter| async move {
            match letter.delivery.resource_id() {
                Some("1") => panic!("hook"),
                _ => std::future::pending().await,
            }
        })
        .on(Any, move |context: Context| {
            let runs = runs.clone();
            async move {
                voipbin_receiver::EventHandler::handle(&runs, context).await?;
                Err::<(), _>(HandlerError::permanent("no"))
            }
        })
        .build()
        .unwrap();
    for id in 1..=3 {
        assert_eq!(
            deliver(&receiver.service(), call_hangup(id)).await.status(),
            200
        );
        within(recorder.next()).await;
    }
    // The hook's time ends.
    assert!(receiver.shutdown(HOUR).await.is_drained());
    assert_eq!(receiver.stats().dead, 3);
}
