use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use voipbin_receiver::catalog::EventType;
use voipbin_receiver::event::{BodyErrorKind, Delivery, StoredDelivery};
use voipbin_receiver::testing::delivery;

/// A body is what an independent parser says that it is, its identity follows from all of its bytes
/// and from nothing else, and an inbox gives it back as it was.
pub fn envelope(body: &[u8]) {
    let read = |body: &[u8]| delivery(body.to_vec());
    let delivery = match read(body) {
        Ok(delivery) => delivery,
        Err(error) => {
            assert_eq!(Some(error.kind()), refusal(body));
            return;
        }
    };
    assert_eq!(refusal(body), None);
    is_as_parsed(&delivery, body);
    is_told_alike(&delivery);

    let again = StoredDelivery::of(&delivery).restore().unwrap();
    assert_eq!(again.identity(), delivery.identity());
    assert_eq!(again.body(), delivery.body());
    assert_eq!(again.resource_id(), delivery.resource_id());
    assert_eq!(again.lane_id(), delivery.lane_id());

    let mut other = body.to_vec();
    let at = body.len() / 2;
    other[at] ^= 1;
    if let Ok(other) = read(&other) {
        assert_ne!(other.identity(), delivery.identity());
    }
}

/// Why these bytes are no delivery.
pub(crate) fn refusal(body: &[u8]) -> Option<BodyErrorKind> {
    if body.is_empty() {
        return Some(BodyErrorKind::Empty);
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return Some(BodyErrorKind::NotUtf8);
    };
    match serde_json::from_str::<IgnoredAny>(without_mark(text)) {
        Ok(_) => None,
        Err(_) => Some(BodyErrorKind::NotJson),
    }
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Compares with a tree of the whole body, where there can be one: it holds neither halves of
/// surrogate pairs nor numbers beyond `f64`, and is not deep.
fn is_as_parsed(delivery: &Delivery, body: &[u8]) {
    let json = without_mark(std::str::from_utf8(body).unwrap());
    if serde_json::from_str::<Value>(json).is_err() {
        return;
    }
    let fields = serde_json::from_str::<Fields>(json).ok();
    let kind = fields.as_ref().and_then(|fields| fields.only("type"));
    let data = fields.as_ref().and_then(|fields| fields.only("data"));
    let (Some(Value::String(name)), Some(data)) = (kind, data) else {
        assert!(delivery.is_custom());
        assert_eq!(delivery.payload_json(), json);
        return;
    };
    assert_eq!(delivery.received_as().map(EventType::as_str), Some(&**name));
    let payload = delivery.payload_json();
    assert_eq!(&serde_json::from_str::<Value>(payload).unwrap(), data);

    let fields = serde_json::from_str::<Fields>(payload).ok();
    let id = fields.and_then(|fields| fields.first("id").cloned());
    let id = id.as_ref().and_then(Value::as_str);
    let is_id = |id: &&str| !id.is_empty() && *id != "00000000-0000-0000-0000-000000000000";
    assert_eq!(delivery.resource_id(), id.filter(is_id));
}

/// What is told of a delivery fits together.
fn is_told_alike(delivery: &Delivery) {
    assert_eq!(
        delivery.has_own_identity(),
        delivery.resource_id().is_some()
    );
    assert_eq!(delivery.is_custom(), delivery.event_type().is_none());
    let has_lane = delivery.lane_id().is_some();
    assert!(has_lane || delivery.resource_id().is_none());
    // No more than that they come to an end.
    let _ = delivery.last_change();
    let _ = (delivery.loggable_id(), format!("{delivery:?}"));
}

/// The fields of an object in order, also those of one name.
struct Fields(Vec<(String, Value)>);

impl Fields {
    fn first(&self, name: &str) -> Option<&Value> {
        self.all(name).next()
    }

    fn only(&self, name: &str) -> Option<&Value> {
        let mut all = self.all(name);
        all.next().filter(|_| all.next().is_none())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &Value> {
        let fields = self.0.iter();
        fields
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}
