//! A user's tests from A to Z, with nothing but the public test kit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use http::{StatusCode, Uri};
use tower::ServiceExt;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::events::{CallHangup, CallProgressing, CallUpdated};
use voipbin_receiver::resource::Call;
use voipbin_receiver::testing::{
    Act, Chaos, Recorder, Sender, Signer, Step, StepEnd, TestReceiver, context, delivery, event,
};
use voipbin_receiver::{
    Context, Event, HandlerError, HandlerOptions, Receiver, ReceiverBuilder, Registration, State,
    handlers, on,
};

// The user's app.

/// What the app knows of calls.
#[derive(Clone, Default)]
struct Crm(Arc<Mutex<Contacts>>);

#[derive(Default)]
struct Contacts {
    is_away: bool,
    /// The status of each call, and how often it was written.
    calls: BTreeMap<String, (String, u32)>,
}

impl Crm {
    fn contacts(&self) -> MutexGuard<'_, Contacts> {
        self.0.lock().unwrap()
    }
}

#[on(any(Call))]
async fn update_crm(
    call: Event<Call>,
    context: Context,
    crm: State<Crm>,
) -> Result<(), HandlerError> {
    let (Some(id), Some(status)) = (&call.id, &call.status) else {
        return Err(HandlerError::permanent("a call without an id or a status"));
    };
    let mut contacts = crm.contacts();
    if contacts.is_away {
        return Err(HandlerError::new("the CRM is away"));
    }
    let (known, written) = contacts.calls.entry(id.to_string()).or_default();
    *written += 1;
    if !context.is_stale() {
        *known = status.as_str().to_owned();
    }
    Ok(())
}

/// How the app sets its receiver up, in production and in tests.
fn configure(builder: ReceiverBuilder, crm: &Crm) -> ReceiverBuilder {
    builder.state(crm.clone()).handlers(handlers![update_crm])
}

// The user's tests.

#[tokio::test]
async fn a_handler_is_called_as_a_function() {
    let crm = Crm::default();
    let busy = delivery(event(CallHangup).id("c-1").set("hangup_reason", "busy")).unwrap();
    let call = Event::read(&busy).unwrap();
    let context = context(&busy, "update_crm");
    assert!(update_crm(call, context, State(crm.clone())).await.is_ok());
    assert_eq!(crm.contacts().calls["c-1"].0, "hangup");
}

#[tokio::test]
async fn a_signed_event_is_sent_to_the_app() {
    let crm = Crm::default();
    let receiver = configure(Receiver::builder().secret("s3cret"), &crm)
        .build()
        .unwrap();
    let app = Router::new().route_service("/hook", receiver.service());
    let signer = Signer::new("s3cret");

    let request = signer.request(Uri::from_static("/hook"), event(CallHangup).id("c-1"));
    let answer = app.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    let forged = Signer::new("guessed").request(Uri::from_static("/hook"), event(CallHangup));
    let answer = app.oneshot(forged).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);

    let report = receiver.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_drained());
    assert_eq!(crm.contacts().calls["c-1"], ("hangup".to_owned(), 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_secret_is_rotated_both_are_accepted_and_then_the_new_one_alone() {
    let crm = Crm::default();
    let receiver = TestReceiver::build(|builder| configure(builder, &crm)).unwrap();
    let secrets = receiver.receiver().secrets();
    let status = async |secret: &str, id: &str| {
        let sender = Sender::new(receiver.service(), Signer::new(secret));
        let report = sender.send(event(CallHangup).id(id)).await;
        report.answer().unwrap().status()
    };
    let (old, new) = (TestReceiver::SECRET, "the new secret");
    assert_eq!(status(new, "too early").await, StatusCode::UNAUTHORIZED);
    secrets.set([new, old]).unwrap();
    assert_eq!(status(old, "c-1").await, StatusCode::OK);
    assert_eq!(status(new, "c-2").await, StatusCode::OK);
    secrets.set([new]).unwrap();
    assert_eq!(status(old, "c-3").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(new, "c-4").await, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_crm_that_is_away_gets_the_call_when_it_is_back() {
    let crm = Crm::default();
    crm.contacts().is_away = true;
    let mut receiver = TestReceiver::build(|builder| configure(builder, &crm)).unwrap();
    let answer = receiver.deliver(event(CallHangup).id("c-1")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    let failed = receiver.step().await.unwrap();
    assert_eq!((failed.handler(), failed.attempt()), ("update_crm", 1));
    let wait = failed.retry_after().unwrap();
    assert!(
        receiver.step().await.is_none(),
        "nothing is due before {wait:?}"
    );

    crm.contacts().is_away = false;
    receiver.advance(wait).await;
    assert!(receiver.step().await.unwrap().is_done());
    assert_eq!(crm.contacts().calls["c-1"], ("hangup".to_owned(), 1));
    assert_eq!(receiver.stats().inbox.events, 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_a_dead_letter_that_can_be_handled_again() {
    let crm = Crm::default();
    crm.contacts().is_away = true;
    let mut receiver = TestReceiver::build(|builder| configure(builder, &crm)).unwrap();
    receiver.deliver(event(CallHangup).id("c-1")).await.unwrap();
    let nonsense = event(CallHangup).without("status");
    receiver.deliver(nonsense).await.unwrap();

    let steps = receiver.run_until_done().await;
    assert_eq!(steps.iter().filter(|step| step.is_dead()).count(), 2);
    let dead = receiver.dead_letters().await.unwrap();
    let attempts: Vec<_> = dead.iter().map(|record| record.jobs[0].attempts).collect();
    assert_eq!(attempts, [8, 1]);

    crm.contacts().is_away = false;
    let records = receiver.receiver().records().unwrap();
    records.replay(dead[0].id, None).await.unwrap();
    let steps = receiver.run_until_idle().await;
    assert!(steps.len() == 1 && steps[0].is_done());
    assert_eq!(crm.contacts().calls["c-1"].0, "hangup");
}

#[tokio::test(start_paused = true)]
async fn one_handler_that_misbehaves_does_not_touch_the_other() {
    let crm = Crm::default();
    let archive = Recorder::acting(|context| match context.attempt() {
        1 => Act::panic(),
        2 => Act::hang(),
        _ => Act::succeed(),
    });
    let mut receiver = TestReceiver::build(|builder| {
        let archive = Registration::new(Any, archive.clone())
            .name("archive")
            .options(HandlerOptions::new().timeout(Duration::from_secs(30)));
        configure(builder, &crm).handlers([archive])
    })
    .unwrap();
    receiver.deliver(event(CallHangup)).await.unwrap();
    let steps = receiver.run_until_done().await;
    let told: Vec<_> = steps.iter().map(Step::handler).collect();
    assert_eq!(told, ["update_crm", "archive", "archive", "archive"]);
    let ends: Vec<_> = steps.iter().map(Step::is_done).collect();
    assert_eq!(ends, [true, false, false, true]);
    assert!(matches!(steps[1].end(), StepEnd::Retry { .. }));
    assert_eq!(archive.wait_for(3).await[2].attempt(), 3);
}

/// Whatever the platform does: no order, copies, losses, further attempts.
#[tokio::test(start_paused = true)]
async fn each_state_that_was_accepted_is_written_once_and_the_last_one_stays() {
    for seed in 0..30 {
        let crm = Crm::default();
        let mut receiver = TestReceiver::build(|builder| configure(builder, &crm)).unwrap();
        let mut events = Vec::new();
        for call in 0..10 {
            let id = format!("c-{call}");
            events.push(
                event(CallProgressing)
                    .id(&id)
                    .set("tm_update", "2026-09-01T08:00:01Z"),
            );
            events.push(
                event(CallUpdated)
                    .id(&id)
                    .set("tm_update", "2026-09-01T08:00:02Z"),
            );
            events.push(
                event(CallHangup)
                    .id(&id)
                    .set("tm_update", "2026-09-01T08:00:03Z"),
            );
        }
        let report = Chaos::new(receiver.sender(), seed).send(events).await;
        receiver.run_until_done().await;

        let accepted = report.accepted();
        let contacts = crm.contacts();
        let written: u32 = contacts.calls.values().map(|(_, written)| written).sum();
        assert_eq!(written as usize, accepted.len(), "{report}");
        for ended in accepted.iter().filter(|event| *event % 3 == 2) {
            let (status, _) = &contacts.calls[&format!("c-{}", ended / 3)];
            assert_eq!(status, "hangup", "{report}");
        }
    }
}
