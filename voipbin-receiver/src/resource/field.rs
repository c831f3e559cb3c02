//! How one field of a payload is read, told from "none", written and shown.
//!
//! A payload is read field by field from its raw JSON: a field of an unexpected shape is set aside
//! and does not fail the rest.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Id;
use crate::event::{NIL, Time};
pub(crate) use crate::json::string;

/// A type that a field can have. Its default is "none".
pub(crate) trait Field: Sized + Default {
    /// Reads any JSON but `null` and `""`, which are "none" in every field. `None` means that the
    /// JSON is of another shape.
    fn read(json: &str) -> Option<Self>;

    /// Whether the platform would leave the field out where it leaves out what is empty.
    fn is_none(&self) -> bool;

    /// Writes the field as the platform does where it leaves nothing out.
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;

    /// Shows what is neither a credential nor personal data.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// Reads a field; `None` when it is odd.
pub(crate) fn read<F: Field>(json: &str) -> Option<F> {
    match json {
        "null" | "\"\"" => Some(F::default()),
        _ => F::read(json),
    }
}

/// Serialises a field as [`Field::write`] does.
pub(crate) struct Written<'a, F>(pub(crate) &'a F);

impl<F: Field> Serialize for Written<'_, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

/// Shows a field as [`Field::show`] does.
pub(crate) struct DebugField<'a, F>(pub(crate) &'a F);

impl<F: Field> fmt::Debug for DebugField<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

/// What is shown of a credential or of personal data.
pub(crate) const REDACTED: &str = "[redacted]";

/// Shows only whether there is something.
pub(crate) struct RedactedField<'a, F>(pub(crate) &'a F);

impl<F: Field> fmt::Debug for RedactedField<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "none" } else { REDACTED })
    }
}

/// What a field may have or not: an `Option` of it is a [`Field`].
pub(crate) trait Nullable: Sized + Serialize {
    /// What the platform writes for "none" where it leaves nothing out; `null` where it is `None`.
    const NONE: Option<&'static str> = None;

    /// As [`Field::read`]: `Some(None)` is "none", and `None` JSON of another shape.
    fn read(json: &str) -> Option<Option<Self>>;

    /// Shows what is neither a credential nor personal data.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<T: Nullable> Field for Option<T> {
    fn read(json: &str) -> Option<Self> {
        T::read(json)
    }

    fn is_none(&self) -> bool {
        self.is_none()
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, T::NONE) {
            (None, Some(none)) => serializer.serialize_str(none),
            _ => self.serialize(serializer),
        }
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(value) => value.show(f),
            None => f.write_str("none"),
        }
    }
}

impl Nullable for Id {
    const NONE: Option<&'static str> = Some(NIL);

    fn read(json: &str) -> Option<Option<Self>> {
        let id = string(json)?;
        Some((id != NIL).then(|| Self::from(&*id)))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl Nullable for String {
    const NONE: Option<&'static str> = Some("");

    fn read(json: &str) -> Option<Option<Self>> {
        Some(Some(string(json)?.into_owned()))
    }

    /// Texts are names, numbers and messages of people, or credentials.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Nullable for Time {
    fn read(json: &str) -> Option<Option<Self>> {
        let time: Self = string(json)?.parse().ok()?;
        Some((!time.is_not_yet()).then_some(time))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A number that is told from its absence: zero is one.
impl Nullable for i64 {
    fn read(json: &str) -> Option<Option<Self>> {
        <Self as Field>::read(json).map(Some)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A free object; `{}` is "none".
impl Field for Map<String, Value> {
    fn read(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    fn is_none(&self) -> bool {
        self.is_empty()
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&RedactedField(self), f)
    }
}

macro_rules! plain {
    ($($type:ty)+) => {$(
        /// Zero is "none".
        impl Field for $type {
            fn read(json: &str) -> Option<Self> {
                serde_json::from_str(json).ok()
            }

            fn is_none(&self) -> bool {
                *self == Self::default()
            }

            fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.serialize(serializer)
            }

            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )+};
}

plain!(i64 bool);

/// A list; elements that are "none" are not in it.
impl<T: Nullable + fmt::Debug> Field for Vec<T> {
    fn read(json: &str) -> Option<Self> {
        let mut list = Self::new();
        for element in serde_json::from_str::<Vec<&RawValue>>(json).ok()? {
            list.extend(read::<Option<T>>(element.get())?);
        }
        Some(list)
    }

    fn is_none(&self) -> bool {
        self.is_empty()
    }

    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize(serializer)
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
