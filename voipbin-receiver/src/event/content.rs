use std::num::NonZeroU32;

use crate::catalog::EventType;

/// What a body is. Many may wait: this is as small as can be, and what few have lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Exactly one `type`, a string, and exactly one `data`; other keys are allowed. Its type is in the
    /// catalogue and its id is written without escapes.
    Envelope {
        event_type: &'static EventType,
        data: Extent,
        id: Option<Extent>,
    },
    /// Any other envelope, or none: valid JSON of any other shape.
    Other(Option<Box<OtherEnvelope>>),
}

const _: () = assert!(size_of::<Content>() <= 24);

/// An envelope with any type and any id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OtherEnvelope {
    event_type: EventType,
    data: Extent,
    id: Option<Id>,
}

/// Where `data.id` is: a place in the body, or on its own when it was written with escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Id {
    At(Extent),
    Unescaped(Box<str>),
}

impl Content {
    pub(crate) const CUSTOM: Self = Self::Other(None);

    pub(super) fn envelope(name: &str, data: Extent, id: Option<Id>) -> Self {
        let known = EventType::known(name);
        let (event_type, id) = match (known, id) {
            (Some(event_type), None) => (event_type, None),
            (Some(event_type), Some(Id::At(extent))) => (event_type, Some(extent)),
            (_, id) => {
                let other = || EventType::Other(name.into());
                return Self::Other(Some(Box::new(OtherEnvelope {
                    event_type: known.cloned().unwrap_or_else(other),
                    data,
                    id,
                })));
            }
        };
        Self::Envelope {
            event_type,
            data,
            id,
        }
    }

    pub(crate) fn is_custom(&self) -> bool {
        matches!(self, Self::Other(None))
    }

    /// The type as it came; `None` for a custom delivery.
    pub(crate) fn event_type(&self) -> Option<&EventType> {
        match self {
            Self::Envelope { event_type, .. } => Some(event_type),
            Self::Other(other) => other.as_ref().map(|other| &other.event_type),
        }
    }

    /// The id in its body, when it names something. It is text.
    pub(crate) fn id_in<'a>(&'a self, body: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Envelope { id, .. } => id.and_then(|extent| extent.bytes_in(body)),
            Self::Other(other) => match other.as_ref()?.id.as_ref()? {
                Id::At(extent) => extent.bytes_in(body),
                Id::Unescaped(id) => Some(id.as_bytes()),
            },
        }
    }

    /// The payload in its body: `data` of an envelope, or all of it. It was found to be JSON.
    pub(crate) fn payload_bytes_in<'a>(&self, body: &'a [u8]) -> &'a [u8] {
        let bytes = match self {
            Self::Envelope { data, .. } => data.bytes_in(body).unwrap_or_default(),
            Self::Other(Some(other)) => other.data.bytes_in(body).unwrap_or_default(),
            Self::Other(None) => body,
        };
        bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
    }

    /// The same as text, which it is.
    pub(crate) fn payload_in<'a>(&self, body: &'a [u8]) -> &'a str {
        std::str::from_utf8(self.payload_bytes_in(body)).unwrap_or_default()
    }
}

/// Where a part of a body lies in it, in half of what a range takes. It is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    start: u32,
    end: NonZeroU32,
}

impl Extent {
    /// Of a slice of the whole, which is less than 4 GiB.
    pub(super) fn of(part: &str, whole: &str) -> Option<Self> {
        let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
        let end = u32::try_from(start.checked_add(part.len())?).ok()?;
        Some(Self {
            start: u32::try_from(start).ok()?,
            end: NonZeroU32::new(end)?,
        })
    }

    fn bytes_in(self, body: &[u8]) -> Option<&[u8]> {
        body.get(self.start as usize..self.end.get() as usize)
    }
}
