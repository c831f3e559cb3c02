//! What holds for any input.

use http::{HeaderValue, Request, StatusCode};
use proptest::prelude::*;
use serde_json::Value;
use support::{Frames, Recorder, builder, deliver, fixtures, send, signed, signer};
use tokio::runtime::{Builder, Runtime};
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::{Any, Custom};

fn receiver() -> (Receiver, Recorder) {
    let recorder = Recorder::new();
    (
        builder()
            .on((Any, Custom), recorder.clone())
            .build()
            .unwrap(),
        recorder,
    )
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("type".to_owned()),
        Just("data".to_owned()),
        Just("id".to_owned()),
        ".{0,8}"
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn signed_json_of_any_shape_is_never_refused_and_comes_out_as_it_went_in(json in json()) {
        let (receiver, recorder) = receiver();
        let body = json.to_string();
        runtime().block_on(async {
            let answer = deliver(&receiver.service(), body.clone()).await;
            prop_assert_eq!(answer.word(), "received");
            let context = recorder.next().await;
            prop_assert_eq!(&context.delivery().body()[..], body.as_bytes());
            let envelope = json.get("type").is_some_and(Value::is_string) && json.get("data").is_some();
            prop_assert_eq!(context.delivery().is_custom(), !envelope);
            let payload: Value = serde_json::from_str(context.delivery().payload_json()).unwrap();
            prop_assert_eq!(&payload, if envelope { &json["data"] } else { &json });
            if envelope {
                let id = json["data"]["id"].as_str().filter(|id| !id.is_empty());
                prop_assert_eq!(context.delivery().resource_id(), id);
                let name = context.delivery().received_as().map(ToString::to_string);
                prop_assert_eq!(name.as_deref(), json["type"].as_str());
            }
            Ok(())
        })?;
    }

    #[test]
    fn signed_bytes_of_any_kind_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let (receiver, _) = receiver();
        let status = runtime().block_on(deliver(&receiver.service(), body.clone())).status();
        let is_json = std::str::from_utf8(&body).is_ok()
            && serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok();
        let expected = match (body.as_slice(), is_json) {
            // A redirect made a GET of it.
            ([], _) => StatusCode::SERVICE_UNAVAILABLE,
            (_, true) => StatusCode::OK,
            (_, false) => StatusCode::BAD_REQUEST,
        };
        prop_assert_eq!(status, expected);
    }

    #[test]
    fn a_signature_header_of_any_kind_is_answered(value in prop::collection::vec(any::<u8>(), 0..100)) {
        let (receiver, _) = receiver();
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut request = signed(support::call_hangup(1));
            request.headers_mut().insert("x-voipbin-signature", value);
            let answer = runtime().block_on(send(&receiver.service(), request));
            prop_assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        }
    }

    #[test]
    fn frames_make_no_difference(cuts in prop::collection::vec(0_usize..1000, 0..12), which in any::<prop::sample::Index>()) {
        let fixtures = fixtures();
        let (_, body) = which.get(&fixtures);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % body.len()).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let frames: Vec<Vec<u8>> = cuts.windows(2).map(|cut| body[cut[0]..cut[1]].to_vec()).collect();
        let (receiver, recorder) = receiver();
        let request = Request::post("/")
            .header("x-voipbin-signature", signer().sign(body))
            .body(Frames::ending(frames))
            .unwrap();
        runtime().block_on(async {
            let answer = send(&receiver.service(), request).await;
            prop_assert_eq!(answer.word(), "received");
            let context = recorder.next().await;
            prop_assert_eq!(&context.delivery().body()[..], &body[..]);
            Ok(())
        })?;
    }
}

#[test]
fn every_sample_is_received_and_comes_out_as_it_went_in() {
    let (receiver, recorder) = receiver();
    runtime().block_on(async {
        for (name, body) in fixtures() {
            assert_eq!(
                deliver(&receiver.service(), body.clone()).await.word(),
                "received",
                "{name}"
            );
            assert_eq!(recorder.next().await.delivery().body()[..], body, "{name}");
        }
    });
}

#[test]
fn a_sample_with_any_one_bit_changed_in_body_or_signature_is_refused() {
    let (receiver, _) = receiver();
    let service = receiver.service();
    runtime().block_on(async {
        for (name, body) in fixtures() {
            let signature = signer().sign(&body);
            let attempt = async |body: Vec<u8>, signature: HeaderValue| {
                let request = Request::post("/").header("x-voipbin-signature", signature);
                let request = request.body(Frames::ending([body])).unwrap();
                assert_eq!(
                    send(&service, request).await.status(),
                    StatusCode::UNAUTHORIZED,
                    "{name}"
                );
            };
            for bit in 0..body.len() * 8 {
                let mut changed = body.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                attempt(changed, signature.parse().unwrap()).await;
            }
            for bit in 0..signature.len() * 8 {
                let mut changed = signature.clone().into_bytes();
                changed[bit / 8] ^= 1 << (bit % 8);
                // Some are no header value at all.
                if let Ok(changed) = HeaderValue::from_bytes(&changed) {
                    attempt(body.clone(), changed).await;
                }
            }
        }
    });
    assert_eq!(receiver.stats().accepted, 0);
}
