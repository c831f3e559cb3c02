use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::outline;
use crate::catalog::EventType;

/// The nil UUID: the platform's way to say "no id".
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// What a body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Exactly one `type`, a string, and exactly one `data`; other keys are allowed.
    Envelope {
        event_type: NamedType,
        data: Extent,
        id: Option<Id>,
    },
    /// Valid JSON of any other shape.
    Custom,
}

impl Content {
    /// The type as it came; `None` for a custom delivery.
    pub(crate) fn event_type(&self) -> Option<&EventType> {
        match self {
            Self::Envelope { event_type, .. } => Some(event_type.get()),
            Self::Custom => None,
        }
    }

    /// The payload in its body: `data` of an envelope, or all of it. It was found to be JSON.
    pub(crate) fn payload_bytes_in<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        let bytes = match self {
            Self::Envelope { data, .. } => data.bytes_in(body).unwrap_or_default(),
            Self::Custom => body,
        };
        bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
    }

    /// The same as text, which it is.
    pub(crate) fn payload_in<'a>(&self, body: &'a [u8]) -> &'a str {
        std::str::from_utf8(self.payload_bytes_in(body)).unwrap_or_default()
    }
}

/// A type of event, in two thirds of its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamedType {
    Known(&'static EventType),
    Other(Box<EventType>),
}

impl NamedType {
    fn parse(name: &str) -> Self {
        match EventType::known(name) {
            Some(known) => Self::Known(known),
            None => Self::Other(Box::new(EventType::Other(name.into()))),
        }
    }

    fn get(&self) -> &EventType {
        match self {
            Self::Known(known) => known,
            Self::Other(other) => other,
        }
    }
}

/// Where `data.id` is: a place in the body, or on its own when it was written with escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    At(Extent),
    Unescaped(Box<Box<str>>),
}

/// Where a part of a body lies in it, in half of what a range takes: many events may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    start: u32,
    end: u32,
}

impl Extent {
    /// Of a slice of the whole, which is less than 4 GiB.
    fn of(part: &str, whole: &str) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        Some(Self {
            start: u32::try_from(start).ok()?,
            end: u32::try_from(start.checked_add(part.len())?).ok()?,
        })
    }

    pub(crate) fn bytes_in(self, body: &[u8]) -> Option<&[u8]> {
        body.get(self.start as usize..self.end as usize)
    }
}

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
}

impl BodyError {
    /// What is wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> BodyErrorKind {
        self.kind
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            BodyErrorKind::Empty => "the body is empty",
            BodyErrorKind::NotUtf8 => "the body is not UTF-8",
            BodyErrorKind::NotJson => "the body is not JSON",
        })?;
        match self.position {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BodyError {}

/// Tells an envelope from a custom delivery, without building a tree.
///
/// One pass finds `type` and `data`; the id is then peeked at in `data`. A body that is valid JSON
/// is never an error, however odd, because the answer to an error is final.
pub(crate) fn classify(body: &[u8]) -> Result<Content, BodyError> {
    if body.is_empty() {
        return Err(BodyError {
            kind: BodyErrorKind::Empty,
            position: None,
        });
    }
    let text = std::str::from_utf8(body).map_err(|_| BodyError {
        kind: BodyErrorKind::NotUtf8,
        position: None,
    })?;
    // RFC 8259 lets a parser skip a byte order mark, and refusing one would lose the event.
    let json = text.strip_prefix('\u{feff}').unwrap_or(text);

    if let Some(outline) = outline::read(json) {
        return Ok(envelope(text, outline.event_type, outline.data));
    }
    match serde_json::from_str::<Outline<'_>>(json) {
        Ok(Outline {
            event_type: Field::Once(name),
            data: Field::Once(data),
        }) => Ok(match string(name.get()) {
            Some(name) => envelope(text, &name, data.get()),
            None => Content::Custom,
        }),
        Ok(_) => Ok(Content::Custom),
        // Not an object, or an object that strings cannot hold (a key with half a surrogate pair):
        // still a delivery when the grammar allows it. This check is iterative, so depth is no
        // danger.
        Err(_) => match serde_json::from_str::<IgnoredAny>(json) {
            Ok(IgnoredAny) => Ok(Content::Custom),
            Err(error) => Err(BodyError {
                kind: BodyErrorKind::NotJson,
                position: Some((error.line(), error.column())),
            }),
        },
    }
}

fn envelope(text: &str, name: &str, data: &str) -> Content {
    match Extent::of(data, text) {
        Some(extent) => Content::Envelope {
            event_type: NamedType::parse(name),
            data: extent,
            id: peek_id(text, data),
        },
        // No receiver takes bodies of 4 GiB.
        None => Content::Custom,
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

/// The string that a raw value is, if it is one.
fn string(raw: &str) -> Option<std::borrow::Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(raw).ok().map(Into::into)
    } else {
        Some(inner.into())
    }
}

/// `data.id` when it is a string that names something.
fn peek_id(text: &str, data: &str) -> Option<Id> {
    // The platform writes the id first.
    let raw = match data
        .strip_prefix(r#"{"id":"#)
        .filter(|rest| rest.starts_with('"'))
    {
        Some(rest) => {
            let inner = rest.get(1..)?;
            let end = inner.find(['"', '\\'])?;
            if inner.as_bytes().get(end) == Some(&b'"') {
                rest.get(..end + 2)?
            } else {
                find_id(data)?
            }
        }
        None => find_id(data)?,
    };
    match string(raw)? {
        id if id.is_empty() || id == NIL => None,
        std::borrow::Cow::Borrowed(id) => Extent::of(id, text).map(Id::At),
        std::borrow::Cow::Owned(id) => Some(Id::Unescaped(Box::new(id.into()))),
    }
}

/// The raw value of the first key `id` of an object.
fn find_id(data: &str) -> Option<&str> {
    struct Found<'a>(Option<&'a RawValue>);

    impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct FoundVisitor;

            impl<'de> Visitor<'de> for FoundVisitor {
                type Value = Found<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                    let mut found = None;
                    while let Some(key) = map.next_key::<IsId>()? {
                        match (key, found) {
                            (IsId(true), None) => found = Some(map.next_value()?),
                            _ => {
                                map.next_value::<IgnoredAny>()?;
                            }
                        }
                    }
                    Ok(Found(found))
                }
            }

            deserializer.deserialize_map(FoundVisitor)
        }
    }

    struct IsId(bool);

    impl<'de> Deserialize<'de> for IsId {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct IsIdVisitor;

            impl Visitor<'_> for IsIdVisitor {
                type Value = IsId;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a key")
                }

                fn visit_str<E>(self, key: &str) -> Result<IsId, E> {
                    Ok(IsId(key == "id"))
                }
            }

            deserializer.deserialize_identifier(IsIdVisitor)
        }
    }

    serde_json::from_str::<Found<'_>>(data)
        .ok()?
        .0
        .map(RawValue::get)
}

#[cfg(test)]
mod tests;
