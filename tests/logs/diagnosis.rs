//! Why a signature does not fit is for the log, and not for the sender.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use support::{ManualClock, Recorder, call_hangup, logged, record_logs, send};
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::testing::Signer;

const SECRET: &str = "a secret that no other test here has";

#[tokio::test]
async fn the_log_says_why_once_a_second_and_the_answer_never() {
    record_logs();
    let clock = Arc::new(ManualClock::default());
    let receiver = Receiver::builder()
        .clock(clock.clone())
        .secret(Secret::from(SECRET).with_label("the label of this test"))
        .on(Any, Recorder::new())
        .build()
        .unwrap();
    let body = call_hangup(1);
    let signature = Signer::new(SECRET).sign(body.as_bytes());
    let told = || {
        let mut told = logged();
        told.retain(|record| record.field("diagnosis").contains("the label of this test"));
        told
    };
    let refused = async || {
        let request = Request::post("/")
            .header("x-voipbin-signature", &signature)
            .body(Full::new(Bytes::from(format!("{body}\n"))))
            .unwrap();
        let answer = send(&receiver.service(), request).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.code(), "signature_mismatch");
        let shown = answer.json.to_string();
        assert!(!shown.contains("label of this test") && !shown.contains("line end was"));
    };
    for _ in 0..5 {
        refused().await;
    }
    let lines = told();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0].level.as_str(), lines[0].field("cause")),
        ("DEBUG", "body_changed")
    );
    clock.advance(Duration::from_secs(1));
    refused().await;
    refused().await;
    assert_eq!(told().len(), 2);
    let shown = format!("{:?}", told());
    assert!(
        !shown.contains(SECRET) && !shown.contains(&signature[7..23]) && !shown.contains("hangup")
    );
}
