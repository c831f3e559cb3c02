use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Deserializer};

use super::*;

fn delivery(body: &str) -> Delivery {
    let bytes = Bytes::copy_from_slice(body.as_bytes());
    let key = EventKey::of_unsigned(&bytes);
    let verified = VerifiedBody {
        bytes,
        owned: true,
        proof: Proof::Unsigned,
        key,
    };
    Delivery::read(verified, SystemTime::UNIX_EPOCH).unwrap()
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
    let call = delivery(r#"{"type":"call_hangup","data":{"id":"call-1"}}"#);
    assert_eq!(call.loggable_id().unwrap().to_string(), "call-1");
}

#[test]
fn a_body_in_the_connections_buffer_is_copied_out_and_one_of_its_own_is_not() {
    let body = Bytes::from_static(b"null");
    for owned in [true, false] {
        let key = EventKey::of_unsigned(&body);
        let verified = VerifiedBody {
            bytes: body.clone(),
            owned,
            proof: Proof::Unsigned,
            key,
        };
        let delivery = Delivery::read(verified, SystemTime::UNIX_EPOCH).unwrap();
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
