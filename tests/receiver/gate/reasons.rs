//! That every refusal of the gate is told to observers by its reason.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use support::{ManualClock, Recorder, builder, call_hangup, deliver, send, signed};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::{Limits, Rate, Secret};
use voipbin_receiver::observe::{Outcome, RefusalReason, Transition};
use voipbin_receiver::{Receiver, ReceiverBuilder};

use crate::gate::{event_from, from};

/// A receiver, and the outcomes that an observer of it was told.
fn observed(builder: ReceiverBuilder) -> (Receiver, impl Fn() -> Vec<Outcome>) {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&outcomes);
    let observer = move |transition: &Transition<'_>| {
        if let Transition::Answered { outcome, .. } = transition {
            seen.lock().unwrap().push(*outcome);
        }
    };
    let receiver = builder.on(Any, Recorder::new()).observe(observer).build();
    (receiver.unwrap(), move || outcomes.lock().unwrap().clone())
}

#[tokio::test]
async fn an_observer_is_told_which_check_a_request_did_not_pass() {
    let (receiver, outcomes) = observed(
        builder()
            .allow_sources(["203.0.113.0/24"])
            .source_rate_limit(Rate::per_minute(2))
            .rate_limit(Rate::per_minute(3)),
    );
    let service = receiver.service();
    deliver(&service, call_hangup(1)).await;
    send(&service, from("198.51.100.1", HeaderMap::new())).await;
    for id in 0..3 {
        send(&service, event_from("203.0.113.9", id)).await;
    }
    for id in 4..6 {
        send(&service, event_from("203.0.113.10", id)).await;
    }
    let refused = Outcome::Refused;
    assert_eq!(
        outcomes(),
        [
            refused(RefusalReason::SourceUnknown),
            refused(RefusalReason::Source),
            Outcome::Accepted,
            Outcome::Accepted,
            refused(RefusalReason::SourceRate),
            Outcome::Accepted,
            refused(RefusalReason::Rate),
        ]
    );

    let clock = Arc::new(ManualClock::default());
    clock.advance(Duration::from_secs(7200));
    let (receiver, outcomes) = observed(
        builder()
            .clock(clock)
            .limits(Limits::new().header_count_limit(6))
            .max_event_age(Duration::from_secs(3600))
            .secret_source(|| async { Ok(Vec::<Secret>::new()) }),
    );
    let service = receiver.service();
    let mut request = signed(call_hangup(1));
    for _ in 0..6 {
        request.headers_mut().append("x-more", "1".parse().unwrap());
    }
    send(&service, request).await;
    let mut request = signed(call_hangup(1));
    let wrong = format!("sha256={}", "0".repeat(64));
    request
        .headers_mut()
        .insert("x-voipbin-signature", wrong.parse().unwrap());
    send(&service, request).await;
    let old = r#"{"type":"call_hangup","data":{"id":"1","tm_update":"1970-01-01T00:00:00Z"}}"#;
    deliver(&service, old).await;
    assert_eq!(
        outcomes(),
        [
            refused(RefusalReason::HeadTooLarge),
            refused(RefusalReason::Secrets),
            refused(RefusalReason::TooOld),
        ]
    );
}
