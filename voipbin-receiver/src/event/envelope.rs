use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::content::{Content, Extent, Id};
use super::outline;

/// The nil UUID: the platform's way to say "no id".
const NIL: &str = "00000000-0000-0000-0000-000000000000";

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

impl BodyErrorKind {
    /// The stable code of the answer.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Empty => "body_empty",
            Self::NotUtf8 => "body_not_utf8",
            Self::NotJson => "body_not_json",
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
        }
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
            None => Content::CUSTOM,
        }),
        Ok(_) => Ok(Content::CUSTOM),
        // Not an object, or an object that strings cannot hold (a key with half a surrogate pair):
        // still a delivery when the grammar allows it. This check is iterative, so depth is no
        // danger.
        Err(_) => match serde_json::from_str::<IgnoredAny>(json) {
            Ok(IgnoredAny) => Ok(Content::CUSTOM),
            Err(error) => Err(BodyError {
                kind: BodyErrorKind::NotJson,
                position: Some((error.line(), error.column())),
            }),
        },
    }
}

fn envelope(text: &str, name: &str, data: &str) -> Content {
    match Extent::of(data, text) {
        Some(extent) => Content::envelope(name, extent, peek_id(text, data)),
        // No receiver takes bodies of 4 GiB.
        None => Content::CUSTOM,
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
        std::borrow::Cow::Owned(id) => Some(Id::Unescaped(id.into())),
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
