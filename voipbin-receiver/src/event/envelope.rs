use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::Deserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

#[cfg(test)]
use super::head::text_at;
use super::head::{Head, HeadFields, Text, range_in};
use crate::catalog::EventType;
use crate::json::{self, Name, ObjectSeed, RawName, string};

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
    fn new(body: &[u8], event_type: &str, data: Data<'_>) -> Self {
        let event_type = EventType::parse(event_type);
        let (head, direction) = data.fields.read(body, event_type.resource());
        Self {
            event_type: Some(event_type),
            payload: range_in(body, data.json),
            head,
            direction,
        }
    }

    /// Its `id` is not that of a resource.
    fn custom(body: &[u8], payload: &str) -> Self {
        let (head, direction) = HeadFields::of(payload).read(body, None);
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
/// A body that is valid JSON is never an error, however odd, because the answer to an error is
/// final.
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

    match Outline::of(json) {
        Ok(Outline {
            event_type: Occurrence::Once(name),
            data: Occurrence::Once(data),
        }) => Ok(match string(name) {
            Some(name) => Envelope::new(body, &name, data),
            None => Envelope::custom(body, json),
        }),
        Ok(_) => Ok(Envelope::custom(body, json)),
        // Not an object, or one with half a surrogate pair in a name: still a delivery when the
        // grammar allows it. This check is iterative, so depth is no danger.
        Err(_) => match serde_json::from_str::<IgnoredAny>(json) {
            Ok(IgnoredAny) => Ok(Envelope::custom(body, json)),
            Err(error) => Err(BodyError {
                kind: BodyErrorKind::NotJson,
                position: Some((error.line(), error.column())),
            }),
        },
    }
}

/// The two fields of an envelope, and what is read of `data`, in one pass.
struct Outline<'a> {
    event_type: Occurrence<&'a str>,
    data: Occurrence<Data<'a>>,
}

/// How often a field comes.
enum Occurrence<T> {
    Absent,
    Once(T),
    Repeated,
}

impl<T> Occurrence<T> {
    fn add(&mut self, value: T) {
        *self = match self {
            Self::Absent => Self::Once(value),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }
}

struct Data<'a> {
    json: &'a str,
    fields: HeadFields<'a>,
}

impl<'a> Outline<'a> {
    fn of(json: &'a str) -> serde_json::Result<Self> {
        Self::with_names::<json::Text<'_>>(json).or_else(|_| Self::with_names::<RawName<'_>>(json))
    }

    fn with_names<N: Name<'a>>(json: &'a str) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let names = PhantomData::<fn() -> N>;
        let outline = deserializer.deserialize_map(OutlineVisitor { json, names })?;
        deserializer.end()?;
        Ok(outline)
    }
}

/// Has the text that is read too: serde tells what a value is, not where it lies.
struct OutlineVisitor<'a, N> {
    json: &'a str,
    /// How the names of fields in `data` are read.
    names: PhantomData<fn() -> N>,
}

impl<'de, N: Name<'de>> Visitor<'de> for OutlineVisitor<'de, N> {
    type Value = Outline<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut outline = Outline {
            event_type: Occurrence::Absent,
            data: Occurrence::Absent,
        };
        // Of `data` that was read: where its name ends, and its fields.
        let mut read: Option<(usize, HeadFields<'_>)> = None;
        loop {
            let name = map.next_key::<&RawValue>()?;
            let place = name.map(|name| range_in(self.json.as_bytes(), name.get()));
            if let Some((start, fields)) = read.take() {
                let end = place
                    .as_ref()
                    .map_or(self.json.len(), |at| at.start as usize);
                let json = value_between(&self.json[start..end])
                    .ok_or_else(|| M::Error::custom("a field without a value"))?;
                outline.data.add(Data { json, fields });
            }
            let (Some(name), Some(place)) = (name, place) else {
                return Ok(outline);
            };
            let name = string(name.get());
            match &*name.ok_or_else(|| M::Error::custom("half a surrogate pair"))? {
                "type" => outline.event_type.add(map.next_value::<&RawValue>()?.get()),
                "data" if begins_object(&self.json[place.end as usize..]) => {
                    let data = ObjectSeed::<N, _>::new();
                    read = Some((place.end as usize, map.next_value_seed(data)?));
                }
                "data" => outline.data.add(Data {
                    json: map.next_value::<&RawValue>()?.get(),
                    fields: HeadFields::default(),
                }),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
    }
}

/// The blanks of JSON.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];

/// Whether the value after a name is an object.
fn begins_object(after_name: &str) -> bool {
    let value = after_name.trim_start_matches(BLANKS).strip_prefix(':');
    value.is_some_and(|value| value.trim_start_matches(BLANKS).starts_with('{'))
}

/// The value of a field: all between its name and the next name, or the end of the object, but what
/// separates them.
fn value_between(names: &str) -> Option<&str> {
    let value = names.trim_matches(BLANKS).strip_prefix(':')?;
    Some(value.strip_suffix([',', '}'])?.trim_matches(BLANKS))
}

#[cfg(test)]
mod tests;
