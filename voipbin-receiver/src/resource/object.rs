//! The macros that make payload structs and their enums from one readable list of fields each.

use serde::ser::SerializeMap;

use super::RawFields;
use super::field::{Field, Written, read};

/// What the platform writes where a field is "none".
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The nil UUID, `""`, `0`, `false`, `[]` or `{}`, whichever the type has.
    Always,
    /// `null`.
    Null,
    /// Nothing: the field is left out.
    Omit,
}

/// Takes a field from its JSON. The last of several with one name counts, as for the platform.
pub(crate) fn take<F: Field>(field: &mut F, name: &'static str, json: &str, odd: &mut RawFields) {
    if !odd.is_empty() {
        odd.remove(name);
    }
    *field = read(json).unwrap_or_else(|| {
        odd.push(name, json);
        F::default()
    });
}

/// Writes a field: as it came when it was odd, in today's form otherwise.
pub(crate) fn put<F: Field, M: SerializeMap>(
    map: &mut M,
    presence: Presence,
    name: &'static str,
    field: &F,
    odd: &RawFields,
) -> Result<(), M::Error> {
    if let Some((_, json)) = odd.entries().iter().find(|(odd, _)| &**odd == name)
        && field.is_none()
    {
        return map.serialize_entry(name, json);
    }
    match presence {
        Presence::Omit if field.is_none() => Ok(()),
        Presence::Null if field.is_none() => map.serialize_entry(name, &()),
        _ => map.serialize_entry(name, &Written(field)),
    }
}

/// Compares a field that handlers ask for with a word: no operator compares an `Option` with one.
macro_rules! compared {
    (status) => {
        /// Whether the status is this: `call.has_status("hangup")`.
        #[must_use]
        pub fn has_status(&self, status: &str) -> bool {
            self.status.as_ref().is_some_and(|word| *word == *status)
        }
    };
    (direction) => {
        /// Whether it went this way: `message.has_direction("inbound")`.
        #[must_use]
        pub fn has_direction(&self, direction: &str) -> bool {
            self.direction
                .as_ref()
                .is_some_and(|word| *word == *direction)
        }
    };
    ($field:ident) => {};
}

/// Declares an object of a payload.
///
/// A field is `name: Type = Presence;`, with `as "wire name"` where Rust's name cannot be the
/// platform's, and with `secret` at the end where it is a credential or personal although its type
/// is not hidden anyway. `from_text field` after the struct's name says that an older form of the
/// object was a string, which is that field.
macro_rules! object {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(from_text $text:ident)? {
            $(
                $(#[$field_meta:meta])*
                $field:ident $(as $wire:literal)?: $type:ty = $presence:ident $($mark:ident)?;
            )+
        }
    ) => {
        $(#[$meta])*
        ///
        /// A field that came in an unexpected shape reads as "none" and is kept in `odd`.
        #[derive(Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
            /// Fields that this struct does not know.
            pub extra: $crate::resource::RawFields,
            /// Fields of this struct that came in another shape.
            pub odd: $crate::resource::RawFields,
        }

        impl $name {
            /// The fields that are known, under their names in the payload, in the platform's
            /// order.
            pub const FIELDS: &'static [&'static str] =
                &[$($crate::resource::object::wire!($field $($wire)?)),+];

            $($crate::resource::object::compared!($field);)+

            /// The JSON must be valid.
            pub(crate) fn from_json(json: &str) -> Option<Self> {
                $(
                    if let Some(text) = $crate::resource::field::string(json) {
                        return Some(Self {
                            $text: Some(text.into_owned()),
                            ..Self::default()
                        });
                    }
                )?
                $crate::json::object(json)
            }
        }

        impl $crate::json::Object<'_> for $name {
            fn wants(&self, _: &str) -> bool {
                true
            }

            fn set(&mut self, name: &str, json: &str) {
                match name {
                    $(
                        $crate::resource::object::wire!($field $($wire)?) => {
                            $crate::resource::object::take(
                                &mut self.$field,
                                $crate::resource::object::wire!($field $($wire)?),
                                json,
                                &mut self.odd,
                            );
                        }
                    )+
                    name => self.extra.push(name, json),
                }
            }
        }

        impl $crate::resource::field::Field for $name {
            fn read(json: &str) -> Option<Self> {
                Self::from_json(json)
            }

            fn is_none(&self) -> bool {
                *self == Self::default()
            }

            fn write<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                ::serde::Serialize::serialize(self, serializer)
            }

            fn show(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(self, f)
            }
        }

        /// Of a list.
        impl $crate::resource::field::Nullable for $name {
            fn read(json: &str) -> Option<Option<Self>> {
                Self::from_json(json).map(Some)
            }

            fn show(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(self, f)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let json = Box::<::serde_json::value::RawValue>::deserialize(deserializer)?;
                Self::from_json(json.get())
                    .ok_or_else(|| ::serde::de::Error::custom("expected an object"))
            }
        }

        /// In today's form: the platform's order of fields, its ways to write "none", and unknown
        /// fields at the end.
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap;

                let mut map = serializer.serialize_map(None)?;
                $(
                    $crate::resource::object::put(
                        &mut map,
                        $crate::resource::object::Presence::$presence,
                        $crate::resource::object::wire!($field $($wire)?),
                        &self.$field,
                        &self.odd,
                    )?;
                )+
                for (name, json) in self.extra.entries() {
                    map.serialize_entry(&**name, json)?;
                }
                map.end()
            }
        }

        /// Shows what is set, and neither credentials nor personal data.
        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                let mut shown = f.debug_struct(stringify!($name));
                $(
                    if !$crate::resource::field::Field::is_none(&self.$field) {
                        shown.field(
                            stringify!($field),
                            &$crate::resource::object::shown!(&self.$field $(, $mark)?),
                        );
                    }
                )+
                if !self.extra.is_empty() {
                    shown.field("extra", &self.extra);
                }
                if !self.odd.is_empty() {
                    shown.field("odd", &self.odd);
                }
                shown.finish()
            }
        }
    };
}

/// A field's name in the payload.
macro_rules! wire {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $wire:literal) => {
        $wire
    };
}

macro_rules! shown {
    ($field:expr, secret) => {
        $crate::resource::field::RedactedField($field)
    };
    ($field:expr $(, created)? $(, updated)? $(, container)?) => {
        $crate::resource::field::DebugField($field)
    };
}

/// Declares the payload of a kind of event, as [`object`] does.
///
/// `tm_create`, `tm_update` and `sequence` tell when it changed. Where another field does, it has
/// `created` or `updated` at its end, and `container` the id of what the resource is a part of.
macro_rules! resource {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $(
                $(#[$field_meta:meta])*
                $field:ident $(as $wire:literal)?: $type:ty = $presence:ident $($mark:ident)?;
            )+
        }
    ) => {
        $crate::resource::object::object! {
            $(#[$meta])*
            pub struct $name {
                $(
                    $(#[$field_meta])*
                    $field $(as $wire)?: $type = $presence $($mark)?;
                )+
            }
        }

        impl $crate::resource::Resource for $name {
            const KIND: $crate::catalog::ResourceKind = $crate::catalog::ResourceKind::$name;
            const FIELDS: &'static [&'static str] = Self::FIELDS;

            fn read(json: &str) -> ::serde_json::Result<Self> {
                let read = Self::from_json(json);
                read.ok_or_else(|| ::serde::de::Error::custom("expected an object"))
            }

            fn id(&self) -> Option<&$crate::resource::Id> {
                self.id.as_ref()
            }

            fn customer_id(&self) -> Option<&$crate::resource::Id> {
                self.customer_id.as_ref()
            }

            fn unknown_fields(&self) -> &$crate::resource::RawFields {
                &self.extra
            }

            fn odd_fields(&self) -> &$crate::resource::RawFields {
                &self.odd
            }

            $($crate::resource::object::method!($field $($mark)?);)+
        }
    };
}

/// What a field tells of a resource.
macro_rules! method {
    (tm_create) => {
        $crate::resource::object::method!(tm_create created);
    };
    (tm_update) => {
        $crate::resource::object::method!(tm_update updated);
    };
    (sequence) => {
        fn sequence(&self) -> Option<i64> {
            Some(self.sequence)
        }
    };
    ($field:ident created) => {
        fn created_at(&self) -> Option<$crate::event::Time> {
            self.$field
        }
    };
    ($field:ident updated) => {
        fn updated_at(&self) -> Option<$crate::event::Time> {
            self.$field
        }
    };
    ($field:ident container) => {
        const CONTAINER_FIELD: Option<&'static str> = Some(stringify!($field));

        fn container_id(&self) -> Option<&$crate::resource::Id> {
            self.$field.as_ref()
        }
    };
    ($field:ident $(secret)?) => {};
}

/// Declares a set of words that the platform may extend.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A word that this crate does not know, as it came.
            Other(Box<str>),
        }

        impl $name {
            /// The word as it stands in the payload.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(other.into()),
                }
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_str() == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_str() == *other
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(
                &self,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let $crate::json::Text(word) = ::serde::Deserialize::deserialize(deserializer)?;
                Ok(Self::from(&*word))
            }
        }

        impl $crate::resource::field::Nullable for $name {
            const NONE: Option<&'static str> = Some("");

            fn read(json: &str) -> Option<Option<Self>> {
                Some(Some(Self::from(&*$crate::resource::field::string(json)?)))
            }

            fn show(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use {compared, method, object, resource, shown, wire, words};
