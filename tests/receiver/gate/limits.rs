//! How much may come, and how often.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use support::{
    Frames, HeldInbox, ManualClock, Recorder, builder, call_hangup, deliver, send, signed,
};
use tower::ServiceExt;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::{Limits, Rate};
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::{BuildErrorKind, Receiver, ReceiverBuilder};

use crate::gate::{event_from, from};

fn recording() -> ReceiverBuilder {
    builder().on(Any, Recorder::new())
}

#[tokio::test]
async fn headers_are_counted_and_measured_and_too_many_get_a_503() {
    let mut request = signed(call_hangup(1));
    request.headers_mut().append("x-a", "1".parse().unwrap());
    request.headers_mut().append("x-a", "22".parse().unwrap());
    let headers = request.headers().clone();
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let answered = async |builder: ReceiverBuilder| {
        let receiver = builder.build().unwrap();
        let mut request = signed(call_hangup(1));
        *request.headers_mut() = headers.clone();
        let answer = send(&receiver.service(), request).await;
        (
            answer.status().as_u16(),
            receiver.stats().refused(RefusalReason::HeadTooLarge),
        )
    };
    let count = headers.len();
    assert_eq!(
        answered(recording().limits(Limits::new().header_limit(bytes).header_count_limit(count)))
            .await,
        (200, 0)
    );
    assert_eq!(
        answered(recording().limits(Limits::new().header_limit(bytes - 1))).await,
        (503, 1)
    );
    assert_eq!(
        answered(recording().limits(Limits::new().header_count_limit(count - 1))).await,
        (503, 1)
    );

    let receiver = recording()
        .limits(Limits::new().header_count_limit(3))
        .build()
        .unwrap();
    let answer = send(&receiver.service(), from("203.0.113.9", headers)).await;
    assert_eq!(
        (answer.code(), answer.header("connection")),
        ("headers_too_large", "close")
    );
}

/// Polls a request until it waits, and keeps it there.
macro_rules! waiting {
    ($receiver:expr, $request:expr) => {{
        let mut answer = Box::pin($receiver.service().oneshot($request));
        assert!(futures_util::poll!(&mut answer).is_pending());
        answer
    }};
}

#[tokio::test]
async fn a_request_over_those_in_flight_gets_a_503_and_a_place_is_free_after_each_end() {
    let receiver = recording()
        .limits(Limits::new().in_flight_limit(2))
        .build()
        .unwrap();
    let reading = || Request::post("/").body(Frames::hanging(["{"])).unwrap();
    let first = waiting!(receiver, reading());
    let second = waiting!(receiver, reading());
    let answer = send(&receiver.service(), from("203.0.113.9", HeaderMap::new())).await;
    assert_eq!(
        (answer.status(), answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "too_busy")
    );
    assert_eq!(receiver.stats().refused(RefusalReason::Busy), 1);
    // A client that goes away.
    drop(first);
    for id in 0..5 {
        // Answers leave their place as well, while their future may still be held.
        let answered = receiver.service().oneshot(signed(call_hangup(id)));
        let mut answered = Box::pin(answered);
        assert_eq!((&mut answered).await.unwrap().status(), 200);
        std::mem::forget(answered);
    }
    drop(second);
}

#[tokio::test]
async fn a_delivery_that_is_being_kept_is_in_flight() {
    let inbox = HeldInbox::new();
    let receiver = recording()
        .inbox(inbox)
        .limits(Limits::new().in_flight_limit(1))
        .build()
        .unwrap();
    let keeping = waiting!(receiver, signed(call_hangup(1)));
    assert_eq!(
        deliver(&receiver.service(), call_hangup(2)).await.code(),
        "too_busy"
    );
    drop(keeping);
}

fn rated(builder: ReceiverBuilder) -> (Arc<ManualClock>, Receiver) {
    let clock = Arc::new(ManualClock::default());
    let receiver = builder.clock(clock.clone()).build().unwrap();
    (clock, receiver)
}

#[tokio::test]
async fn a_source_over_its_rate_gets_a_503_before_its_body_is_read_and_later_comes_again() {
    let (clock, receiver) = rated(recording().source_rate_limit(Rate::per_second(2)));
    for id in 0..2 {
        assert_eq!(
            send(&receiver.service(), event_from("203.0.113.9", id))
                .await
                .status(),
            200
        );
    }
    let answer = send(&receiver.service(), from("203.0.113.9", HeaderMap::new())).await;
    assert_eq!(
        (answer.status(), answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "source_rate_exceeded")
    );
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(receiver.stats().refused(RefusalReason::SourceRate), 1);
    // Another source has its own.
    assert_eq!(
        send(&receiver.service(), event_from("203.0.113.10", 2))
            .await
            .status(),
        200
    );
    clock.advance(Duration::from_millis(500));
    assert_eq!(
        send(&receiver.service(), event_from("203.0.113.9", 3))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_rate() {
    let (_, receiver) = rated(
        recording()
            .source_rate_limit(Rate::per_second(1))
            .trust_proxies(["10.0.0.1"]),
    );
    let by_proxy = async |client: &str, id: u32| {
        let mut request = event_from("10.0.0.1", id);
        request
            .headers_mut()
            .insert("x-forwarded-for", client.parse().unwrap());
        send(&receiver.service(), request).await.status().as_u16()
    };
    assert_eq!(by_proxy("203.0.113.9", 1).await, 200);
    assert_eq!(by_proxy("203.0.113.9", 2).await, 503);
    assert_eq!(by_proxy("198.51.100.1", 3).await, 200);
    assert_eq!(by_proxy("2001:db8::1", 4).await, 200);
    assert_eq!(by_proxy("2001:db8::2", 5).await, 503);
}

#[tokio::test]
async fn all_sources_together_have_a_rate_that_a_refused_one_does_not_count_in() {
    let (_, receiver) = rated(
        recording()
            .rate_limit(Rate::per_second(3))
            .source_rate_limit(Rate::per_second(2))
            .allow_sources(["203.0.113.0/24"]),
    );
    for id in 0..10 {
        send(&receiver.service(), event_from("198.51.100.1", id)).await;
        send(&receiver.service(), event_from("203.0.113.9", id)).await;
    }
    assert_eq!(
        (
            receiver.stats().accepted,
            receiver.stats().refused(RefusalReason::Source)
        ),
        (2, 10)
    );
    assert_eq!(
        send(&receiver.service(), event_from("203.0.113.10", 20))
            .await
            .status(),
        200
    );
    let answer = send(&receiver.service(), event_from("203.0.113.11", 21)).await;
    assert_eq!(answer.code(), "rate_exceeded");
}

#[test]
fn a_limit_that_lets_nothing_through_is_refused_by_build() {
    for builder in [
        recording().limits(Limits::new().in_flight_limit(0)),
        recording().limits(Limits::new().body_limit(0)),
        recording().limits(Limits::new().body_limit(Limits::MAX_BODY_LIMIT + 1)),
        recording().limits(Limits::new().header_limit(0)),
        recording().limits(Limits::new().header_count_limit(0)),
        recording().rate_limit(Rate::per_second(0)),
        recording().source_rate_limit(Rate::per_minute(10).burst(0)),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::BadSetting);
    }
    // More places than can be counted are as many as can.
    recording()
        .limits(Limits::new().in_flight_limit(usize::MAX))
        .build()
        .unwrap();
}
