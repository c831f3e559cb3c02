//! Deliveries that come in other than as webhooks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use support::{ManualClock, RefusingInbox, Valve, builder, call_hangup, deliver, signed};
use voipbin_receiver::catalog::{Any, Custom, EventType};
use voipbin_receiver::event::Proof;
use voipbin_receiver::inbox::StoredDelivery;
use voipbin_receiver::observe::{RefusalReason, Transition};
use voipbin_receiver::testing::{RecordedRun, Signer};
use voipbin_receiver::{Accepted, Context, Origin, Receiver, ReceiverBuilder};

/// A receiver that tells the contexts of its runs.
fn told(builder: ReceiverBuilder) -> (Receiver, impl Fn() -> Vec<Context>) {
    let contexts: Arc<Mutex<Vec<Context>>> = Arc::default();
    let seen = Arc::clone(&contexts);
    let receiver = builder.on((Any, Custom), move |context: Context| {
        seen.lock().unwrap().push(context);
        async {}
    });
    let contexts = move || contexts.lock().unwrap().clone();
    (receiver.build().unwrap(), contexts)
}

#[tokio::test]
async fn what_is_accepted_goes_the_way_of_a_webhook_and_tells_its_origin() {
    let (receiver, contexts) = told(builder());
    for origin in Origin::ALL {
        let accepted = receiver.accept(call_hangup(origin), *origin).await;
        assert_eq!(accepted.unwrap(), Accepted::New);
    }
    let report = receiver.shutdown(Duration::from_secs(60)).await;
    assert!(report.is_drained());
    let contexts = contexts();
    assert_eq!(contexts.len(), Origin::ALL.len());
    for origin in Origin::ALL {
        let context = contexts.iter().find(|context| context.origin() == *origin);
        let delivery = context.unwrap().delivery();
        assert_eq!(delivery.resource_id(), Some(origin.as_str()));
        assert_eq!(delivery.proof(), Proof::Unsigned);
        assert_eq!(
            StoredDelivery::of(delivery).restore().unwrap().origin(),
            *origin
        );
    }
}

#[tokio::test]
async fn a_body_is_the_same_delivery_however_it_comes() {
    let (receiver, contexts) = told(builder());
    let service = receiver.service();
    let webhook_first = deliver(&service, call_hangup(1)).await;
    assert_eq!(webhook_first.word(), "received");
    let again = receiver.accept(call_hangup(1), Origin::Stream).await;
    assert_eq!(again.unwrap(), Accepted::Duplicate);

    let first = receiver.accept(call_hangup(2), Origin::History).await;
    assert_eq!(first.unwrap(), Accepted::New);
    assert_eq!(deliver(&service, call_hangup(2)).await.word(), "duplicate");

    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    assert_eq!(contexts().len(), 2);
}

/// Which of several secrets the platform signs with is known by what it signed last.
#[tokio::test]
async fn with_several_secrets_the_one_in_use_makes_the_identity() {
    let another = "another-secret-of-32-characters-";
    let (receiver, _) = told(builder().secret(another));
    let mut request = signed(call_hangup(1));
    let signature = Signer::new(another).sign(call_hangup(1).as_bytes());
    let headers = request.headers_mut();
    headers.insert("x-voipbin-signature", signature.parse().unwrap());
    assert_eq!(
        support::send(&receiver.service(), request).await.word(),
        "received"
    );
    let again = receiver.accept(call_hangup(1), Origin::Stream).await;
    assert_eq!(again.unwrap(), Accepted::Duplicate);
}

#[tokio::test]
async fn what_is_accepted_shares_the_lane_of_its_resource() {
    let valve = Valve::new();
    let receiver = builder().on(Any, valve.clone()).build().unwrap();
    let progress = r#"{"type":"call_progressing","data":{"id":"1"}}"#;
    receiver.accept(progress, Origin::History).await.unwrap();
    deliver(&receiver.service(), call_hangup(1)).await;
    deliver(&receiver.service(), call_hangup(2)).await;
    let begun = valve.begun().wait_for(2).await;
    let types: Vec<_> = begun.iter().filter_map(RecordedRun::event_type).collect();
    assert!(types.contains(&EventType::CallProgressing), "{types:?}");
    valve.open();
    let ended = valve.ended().wait_for(3).await;
    let of_first = ended
        .iter()
        .filter(|run| run.delivery().resource_id() == Some("1"));
    let of_first: Vec<_> = of_first.filter_map(RecordedRun::event_type).collect();
    assert_eq!(
        of_first,
        [EventType::CallProgressing, EventType::CallHangup]
    );
}

#[tokio::test]
async fn what_cannot_be_taken_says_why_and_whether_later_is_better() {
    let (receiver, _) = told(builder());
    let error = receiver.accept("{", Origin::Stream).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        (RefusalReason::Body, false)
    );

    let (receiver, _) = told(builder().inbox(RefusingInbox::new(1)));
    let error = receiver
        .accept(call_hangup(1), Origin::Stream)
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        (RefusalReason::InboxFull, true)
    );
    assert_eq!(receiver.stats().refused(RefusalReason::InboxFull), 1);
    // Nothing is burned.
    let accepted = receiver.accept(call_hangup(1), Origin::Stream).await;
    assert_eq!(accepted.unwrap(), Accepted::New);

    let (receiver, _) = told(builder());
    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    let error = receiver
        .accept(call_hangup(1), Origin::Stream)
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        (RefusalReason::ShuttingDown, true)
    );
}

#[tokio::test]
async fn what_no_handler_wants_is_not_kept() {
    let receiver = builder().on(Custom, || async {}).build().unwrap();
    let accepted = receiver.accept(call_hangup(1), Origin::Stream).await;
    assert_eq!(accepted.unwrap(), Accepted::Unmatched);
    assert_eq!(receiver.stats().unmatched, 1);
}

#[tokio::test]
async fn only_webhooks_can_be_too_old() {
    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_secs(7200));
    let hour = Duration::from_secs(3600);
    let (receiver, _) = told(builder().clock(clock).max_event_age(hour));
    let old = r#"{"type":"call_hangup","data":{"id":"1","tm_update":"1970-01-01T00:00:00Z"}}"#;
    let answer = deliver(&receiver.service(), old).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let accepted = receiver.accept(old, Origin::History).await;
    assert_eq!(accepted.unwrap(), Accepted::New);
}

#[tokio::test]
async fn an_observer_is_told_the_origin() {
    let origins: Arc<Mutex<Vec<Origin>>> = Arc::default();
    let seen = Arc::clone(&origins);
    let (receiver, _) = told(builder().observe(move |transition: &Transition<'_>| {
        if let Transition::Answered { origin, .. } = transition {
            seen.lock().unwrap().push(*origin);
        }
    }));
    deliver(&receiver.service(), call_hangup(1)).await;
    receiver
        .accept(call_hangup(2), Origin::Replay)
        .await
        .unwrap();
    assert_eq!(*origins.lock().unwrap(), [Origin::Webhook, Origin::Replay]);
}

/// The body may be a slice of a large buffer, which is not to be held for as long as the event.
#[tokio::test]
async fn a_slice_of_a_buffer_is_copied_out() {
    let (receiver, contexts) = told(builder());
    let buffer = Bytes::from(format!("{}{}", call_hangup(1), "x".repeat(1 << 20)));
    let body = buffer.slice(..call_hangup(1).len());
    receiver.accept(body, Origin::Stream).await.unwrap();
    assert!(
        receiver
            .shutdown(Duration::from_secs(60))
            .await
            .is_drained()
    );
    let kept = contexts().first().unwrap().delivery().body().as_ptr();
    assert_ne!(kept, buffer.as_ptr());
}
