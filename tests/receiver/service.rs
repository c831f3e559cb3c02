//! The HTTP edge: what is answered to which request.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{Empty, Full, StreamBody};
use serde_json::json;
use support::{Frames, Recorder, builder, call_hangup, deliver, send, signed, unsigned};
use tower::{Service, ServiceExt};
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::gate::Limits;
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{Receiver, ReceiverService};

fn receiver() -> Receiver {
    builder()
        .on((Any, Custom), Recorder::new())
        .build()
        .unwrap()
}

fn service() -> ReceiverService {
    receiver().service()
}

#[tokio::test]
async fn a_signed_event_is_received_and_its_copy_is_a_duplicate() {
    let service = service();
    let first = deliver(&service, call_hangup(1)).await;
    assert_eq!(
        (first.status(), &first.json),
        (StatusCode::OK, &json!({"status": "received"}))
    );
    let second = deliver(&service, call_hangup(1)).await;
    assert_eq!(
        (second.status(), &second.json),
        (StatusCode::OK, &json!({"status": "duplicate"}))
    );
}

#[tokio::test]
async fn other_methods_get_a_405_that_names_the_allowed_ones() {
    let service = service();
    for method in [
        "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND", "POSTS",
    ] {
        let mut request = signed(call_hangup(method));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = send(&service, request).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(answer.header("allow"), "POST, PUT, GET, DELETE");
        assert_eq!(answer.code(), "method_not_allowed");
    }
}

#[tokio::test]
async fn every_answer_is_json_that_nobody_may_cache() {
    let service = service();
    let mut refused = signed("{}");
    *refused.method_mut() = Method::PATCH;
    for request in [
        signed(call_hangup(1)),
        unsigned(call_hangup(1)),
        signed("no json"),
        refused,
    ] {
        let answer = send(&service, request).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(answer.header("location").is_empty());
        if answer.status() != StatusCode::OK {
            assert_eq!(answer.word(), "refused");
            assert!(answer.json["message"].as_str().unwrap().len() > 20);
        }
    }
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_the_body_is_read() {
    // The body would never come: only the head can have been looked at.
    let request = Request::post("/")
        .header("content-length", "1048577")
        .body(Frames::hanging([""; 0]))
        .unwrap();
    let answer = send(&service(), request).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn a_body_that_grows_over_the_limit_is_refused_while_it_comes() {
    let receiver = builder()
        .on(Any, Recorder::new())
        .limits(Limits::new().body_limit(1000))
        .build()
        .unwrap();
    let request = Request::post("/")
        .body(Frames::hanging(std::iter::repeat_n("x".repeat(100), 11)))
        .unwrap();
    let answer = send(&receiver.service(), request).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_gets_a_503_and_the_connection_is_closed() {
    let receiver = builder()
        .on(Any, Recorder::new())
        .limits(Limits::new().read_timeout(Duration::from_secs(7)))
        .build()
        .unwrap();
    let begun = tokio::time::Instant::now();
    let request = Request::post("/")
        .body(Frames::hanging(["{\"type\":"]))
        .unwrap();
    let answer = send(&receiver.service(), request).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "body_timeout");
    assert_eq!(answer.header("connection"), "close");
    assert_eq!(begun.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_body_that_breaks_off_gets_a_503() {
    let frames = StreamBody::new(futures_util::stream::iter([
        Ok(http_body::Frame::data(Bytes::from("{\"type\":"))),
        Err(std::io::Error::other("reset")),
    ]));
    let answer = send(&service(), Request::post("/").body(frames).unwrap()).await;
    assert_eq!(
        (answer.status(), answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "body_incomplete")
    );
}

#[tokio::test]
async fn closing_is_not_said_where_http_2_has_no_word_for_it() {
    let mut request = Request::post("/")
        .body(Full::new(Bytes::from(vec![b'x'; 2 << 20])))
        .unwrap();
    *request.version_mut() = http::Version::HTTP_2;
    let answer = send(&service(), request).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.header("connection").is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_signature_is_said_by_code() {
    let service = service();
    let body = call_hangup(1);
    let with = |value: &str| {
        let mut request = unsigned(body.clone());
        request
            .headers_mut()
            .insert("x-voipbin-signature", value.parse().unwrap());
        request
    };
    let mut twice = signed(body.clone());
    twice.headers_mut().append(
        "x-voipbin-signature",
        Signer::new("x").sign(b"").parse().unwrap(),
    );
    for (request, code) in [
        (unsigned(body.clone()), "signature_missing"),
        (with("sha256=00"), "signature_malformed"),
        (with(&"0".repeat(64)), "signature_malformed"),
        (twice, "signature_malformed"),
        (
            with(&Signer::new("another").sign(body.as_bytes())),
            "signature_mismatch",
        ),
    ] {
        let answer = send(&service, request).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (StatusCode::UNAUTHORIZED, code)
        );
        assert!(!answer.json.to_string().contains(&signer_hex(&body)));
    }
}

fn signer_hex(body: &str) -> String {
    support::signer()
        .sign(body.as_bytes())
        .replace("sha256=", "")
}

#[tokio::test]
async fn the_header_can_have_another_name() {
    let receiver = builder()
        .on(Any, Recorder::new())
        .signature_header(http::HeaderName::from_static("x-signature"))
        .build()
        .unwrap();
    let body = call_hangup(1);
    assert_eq!(
        deliver(&receiver.service(), body.clone()).await.code(),
        "signature_missing"
    );
    let mut request = unsigned(body.clone());
    let signature = support::signer().sign(body.as_bytes());
    request
        .headers_mut()
        .insert("x-signature", signature.parse().unwrap());
    assert_eq!(send(&receiver.service(), request).await.word(), "received");
}

#[tokio::test]
async fn a_signed_body_that_is_empty_gets_a_503_for_a_redirect_took_it() {
    let answer = deliver(&service(), "").await;
    assert_eq!(
        (answer.status(), answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "body_empty")
    );
}

#[tokio::test]
async fn a_signed_body_that_is_not_json_gets_a_400_by_its_kind() {
    let service = service();
    for (body, code) in [
        (&b"\xff"[..], "body_not_utf8"),
        (b"a=1", "body_not_json"),
        (b"{} {}", "body_not_json"),
    ] {
        let answer = deliver(&service, body).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (StatusCode::BAD_REQUEST, code)
        );
    }
}

#[tokio::test]
async fn an_unknown_type_is_received_and_counted() {
    let receiver = receiver();
    let answer = deliver(
        &receiver.service(),
        r#"{"type":"brand_new","data":{"id":"1"}}"#,
    )
    .await;
    assert_eq!(
        (answer.status(), answer.word()),
        (StatusCode::OK, "received")
    );
    assert_eq!(receiver.stats().unknown_types, 1);
}

#[tokio::test]
async fn the_unsigned_curl_of_the_tutorial_works_where_unsigned_is_allowed() {
    let body = r#"{"type":"call_hungup","data":{"id":"test-call-id","hangup_reason":"normal","source":{"type":"tel","target":"+15551234567"},"destination":{"type":"tel","target":"+15559876543"}}}"#;
    assert_eq!(
        send(&service(), unsigned(body)).await.status(),
        StatusCode::UNAUTHORIZED
    );
    let recorder = Recorder::new();
    let open = Receiver::builder()
        .allow_unsigned()
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    assert_eq!(
        send(&open.service(), unsigned(body)).await.word(),
        "received"
    );
    assert_eq!(
        recorder.next().await.delivery().resource_id(),
        Some("test-call-id")
    );
}

#[tokio::test]
async fn it_is_always_ready_and_a_clone_needs_no_readiness_of_its_own() {
    let mut service = service();
    let waker = futures_util::task::noop_waker();
    let mut cx = std::task::Context::from_waker(&waker);
    for _ in 0..1000 {
        let ready = Service::<Request<Empty<Bytes>>>::poll_ready(&mut service, &mut cx);
        assert!(ready.is_ready());
    }
    let answer = service.clone().call(signed(call_hangup(1))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_future_is_send_when_the_body_is_and_the_body_need_not_be() {
    fn is_send(_: &impl Send) {}
    fn is_static(_: &impl Clone, _: &(impl Send + Sync + 'static)) {}
    let mut service = service();
    is_static(&service, &service);
    is_send(&service.call(signed(call_hangup(1))));

    let body = call_hangup(2);
    let signature = support::signer().sign(body.as_bytes());
    let request = Request::post("/")
        .header("x-voipbin-signature", signature)
        .body(Frames::ending([body]))
        .unwrap();
    assert_eq!(send(&service, request).await.word(), "received");
}

#[tokio::test]
async fn a_request_that_is_dropped_while_its_body_comes_leaves_nothing() {
    let receiver = receiver();
    let body = call_hangup(1);
    for cut in 0..body.len() {
        let request = Request::post("/")
            .header(
                "x-voipbin-signature",
                support::signer().sign(body.as_bytes()),
            )
            .body(Frames::hanging([body.as_bytes()[..cut].to_vec()]))
            .unwrap();
        let mut future = Box::pin(receiver.service().oneshot(request));
        assert!(futures_util::poll!(&mut future).is_pending());
    }
    let stats = receiver.stats();
    assert_eq!(
        (stats.accepted, stats.inbox.events, stats.inbox.identities),
        (0, 0, 0)
    );
    assert_eq!(deliver(&receiver.service(), body).await.word(), "received");
}

#[tokio::test]
async fn frames_without_data_are_no_part_of_a_body_and_no_end_of_it() {
    let body = call_hangup(1);
    let (first, second) = body.split_at(20);
    let nothing = std::iter::repeat_n("", 500);
    let frames = nothing
        .clone()
        .chain([first])
        .chain(nothing)
        .chain([second]);
    let request = Request::post("/")
        .header(
            "x-voipbin-signature",
            support::signer().sign(body.as_bytes()),
        )
        .body(Frames::ending(
            frames.map(str::to_owned).collect::<Vec<_>>(),
        ))
        .unwrap();
    assert_eq!(send(&service(), request).await.word(), "received");
}

#[tokio::test]
async fn a_receiver_is_a_service_itself() {
    let receiver = builder().on(Any, || async {}).build().unwrap();
    let request = signed(call_hangup(1));
    let response = receiver.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(receiver.stats().accepted, 1);
}
