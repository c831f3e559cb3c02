use std::fmt;
use std::ops::Range;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[cfg(test)]
use super::head::text_at;
use super::head::{Head, Text, range_in};
use crate::catalog::EventType;
use crate::json::string;

/// Why a body with a valid signature is not a delivery at all. Answered 400, which the sender takes
/// as final.
#[derive(Debug)]
pub struct BodyError {
    kind: BodyErrorKind,
    position: Option<(usize, usize)>,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyErrorKind {
    /// There are no bytes. A redirect from http to https or to another path does this to the
    /// sender's request: it becomes a GET without a body.
    Empty,
    /// The bytes are not UTF-8, and so not JSON.
    NotUtf8,
    /// The bytes are not one JSON value.
    NotJson,
    /// There are 4 GiB or more.
    TooLong,
}

impl BodyError {
    /// What is wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> BodyErrorKind {
        self.kind
    }
}

impl BodyErrorKind {
    /// The stable code of the answer.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Empty => "body_empty",
            Self::NotUtf8 => "body_not_utf8",
            Self::NotJson => "body_not_json",
            Self::TooLong => "body_too_long",
        }
    }

    /// What the sender is told to do.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Empty => {
                "the request has no body; a redirect from http to https or to another path drops it, so give VoIPBIN the final URL"
            }
            Self::NotUtf8 => "send the event as JSON in UTF-8",
            Self::NotJson => "send the event as one JSON value",
            Self::TooLong => "no event is that long",
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            BodyErrorKind::Empty => "the body is empty",
            BodyErrorKind::NotUtf8 => "the body is not UTF-8",
            BodyErrorKind::NotJson => "the body is not JSON",
            BodyErrorKind::TooLong => "the body has 4 GiB or more",
        })?;
        match self.position {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BodyError {}

/// A body that is JSON, and what is read of it before it is kept.
pub(crate) struct Envelope {
    /// The type as it came; `None` for a custom delivery, which is valid JSON of any other shape.
    pub(crate) event_type: Option<EventType>,
    /// Where `data` of an envelope is, or all of a custom delivery.
    pub(super) payload: Range<u32>,
    pub(super) head: Head,
    direction: Option<Text>,
}

impl Envelope {
    fn new(body: &[u8], event_type: &str, payload: &str) -> Self {
        let event_type = EventType::parse(event_type);
        let (head, direction) = Head::read(body, payload, event_type.resource());
        Self {
            event_type: Some(event_type),
            payload: range_in(body, payload),
            head,
            direction,
        }
    }

    /// Its `id` is not that of a resource.
    fn custom(body: &[u8], payload: &str) -> Self {
        let (head, direction) = Head::read(body, payload, None);
        Self {
            event_type: None,
            payload: range_in(body, payload),
            head: Head { id: None, ..head },
            direction,
        }
    }

    /// The payload's `direction`, of the body that was read.
    pub(crate) fn direction<'a>(&'a self, body: &'a [u8]) -> Option<&'a str> {
        self.direction.as_ref().map(|text| text.in_body(body))
    }

    #[cfg(test)]
    fn payload<'a>(&self, body: &'a [u8]) -> &'a str {
        text_at(body, &self.payload)
    }
}

/// Tells an envelope from a custom delivery, without building a tree: an envelope has exactly one
/// `type`, a string, and exactly one `data`; other keys are allowed.
///
/// A body that is valid JSON is never an error, however odd, because the answer to an error is final.
pub(crate) fn classify(body: &[u8]) -> Result<Envelope, BodyError> {
    if body.is_empty() {
        return Err(BodyError {
            kind: BodyErrorKind::Empty,
            position: None,
        });
    }
    if u32::try_from(body.len()).is_err() {
        return Err(BodyError {
            kind: BodyErrorKind::TooLong,
            position: None,
        });
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError {
        kind: BodyErrorKind::NotUtf8,
        position: None,
    })?;
    // RFC 8259 lets a parser skip a byte order mark, and refusing one would lose the event.
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);

    match serde_json::from_str::<Outline<'_>>(json) {
        Ok(Outline {
            event_type: Field::Once(name),
            data: Field::Once(data),
        }) => Ok(match string(name.get()) {
            Some(name) => Envelope::new(body, &name, data.get()),
            None => Envelope::custom(body, json),
        }),
        Ok(_) => Ok(Envelope::custom(body, json)),
        // Not an object, or an object that strings cannot hold (a key with half a surrogate pair):
        // still a delivery when the grammar allows it. This check is iterative, so depth is no
        // danger.
        Err(_) => match serde_json::from_str::<IgnoredAny>(json) {
            Ok(IgnoredAny) => Ok(Envelope::custom(body, json)),
            Err(error) => Err(BodyError {
                kind: BodyErrorKind::NotJson,
                position: Some((error.line(), error.column())),
            }),
        },
    }
}

/// The two keys of an envelope, each still raw.
#[derive(Default)]
struct Outline<'a> {
    event_type: Field<'a>,
    data: Field<'a>,
}

#[derive(Default)]
enum Field<'a> {
    #[default]
    Absent,
    Once(&'a RawValue),
    Repeated,
}

impl<'a> Field<'a> {
    fn put(&mut self, value: &'a RawValue) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

enum Key {
    Type,
    Data,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "type" => Key::Type,
                    "data" => Key::Data,
                    _ => Key::Other,
                })
            }
        }

        deserializer.deserialize_identifier(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Outline<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OutlineVisitor;

        impl<'de> Visitor<'de> for OutlineVisitor {
            type Value = Outline<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut outline = Outline::default();
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Type => outline.event_type.put(map.next_value()?),
                        Key::Data => outline.data.put(map.next_value()?),
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(outline)
            }
        }

        deserializer.deserialize_map(OutlineVisitor)
    }
}

#[cfg(test)]
mod tests;
