use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Deserializer};

use super::*;

fn delivery(body: &str) -> Delivery {
    Delivery::unsigned(
        Bytes::copy_from_slice(body.as_bytes()),
        SystemTime::UNIX_EPOCH,
    )
    .unwrap()
}

#[test]
fn an_id_that_is_a_credential_is_logged_as_a_hash() {
    for name in ["webchat_session_ended", "webchat_session_of_the_future"] {
        let delivery = delivery(&format!(
            r#"{{"type":"{name}","data":{{"id":"visitor-1"}}}}"#
        ));
        assert_eq!(delivery.resource_id(), Some("visitor-1"));
        let shown = format!("{} {delivery:?}", delivery.loggable_id().unwrap());
        assert!(
            shown.starts_with("hash:") && !shown.contains("visitor-1"),
            "{shown}"
        );
    }
    let call = |id: &str| {
        let delivery = delivery(&format!(
            r#"{{"type":"call_hangup","data":{{"id":"{id}"}}}}"#
        ));
        delivery.loggable_id().unwrap().to_string()
    };
    let uuid = "5371e9db-d035-4db6-a8d6-0994d33e744e";
    assert_eq!(call(uuid), uuid);
    for id in [
        "+15551234567",
        "15551234567",
        r"a line\nand another",
        "secret",
        &uuid[1..],
    ] {
        assert!(call(id).starts_with("hash:"), "{id}");
    }
}

#[test]
fn an_identity_function_that_keeps_the_delivery_has_its_effect_all_the_same() {
    let seen = delivery("[1]");
    let kept = seen.clone();
    let chosen = Identity::of_chosen(b"order 1");
    assert_eq!(seen.identified(chosen).identity(), chosen);
    assert_ne!(kept.identity(), chosen);
}

#[test]
fn a_body_in_the_connections_buffer_is_copied_out_and_one_of_its_own_is_not() {
    let body = Bytes::from_static(b"null");
    for owned in [true, false] {
        let identity = Identity::of_unsigned(&body);
        let verified = VerifiedBody {
            bytes: body.clone(),
            owned,
            proof: Proof::Unsigned,
            identity,
        };
        let delivery = Delivery::new(
            verified,
            classify(&body).unwrap(),
            SystemTime::UNIX_EPOCH,
            None,
            Origin::Webhook,
        );
        assert_eq!(delivery.body().as_ptr() == body.as_ptr(), owned);
    }
}

/// Counts how often it is read.
#[derive(Debug)]
struct Counted;

static READ: AtomicUsize = AtomicUsize::new(0);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        READ.fetch_add(1, Ordering::SeqCst);
        serde::de::IgnoredAny::deserialize(deserializer)?;
        Ok(Self)
    }
}

#[test]
fn a_payload_is_read_once_however_many_ask_at_the_same_time() {
    let delivery = delivery(r#"{"type":"call_hangup","data":{"id":"1"}}"#);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| delivery.payload::<Counted>().unwrap());
        }
    });
    assert_eq!(READ.load(Ordering::SeqCst), 1);
    assert_eq!(
        delivery.payload::<serde_json::Value>().unwrap()["id"],
        "1",
        "of another type"
    );
}

#[test]
fn a_payload_that_does_not_fit_one_type_can_fit_another() {
    let delivery = delivery(r#"{"type":"x","data":{"id":"1"}}"#);
    for _ in 0..2 {
        assert!(delivery.payload::<u8>().is_err());
        assert!(delivery.payload::<serde_json::Value>().is_ok());
    }
}
