//! The one way in which objects are read whose fields stay raw JSON.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// What is made of the fields of an object, each as it was written.
pub(crate) trait Object<'a>: Default {
    /// Whether a field is to be set; the others are only checked.
    fn wants(&self, name: &str) -> bool;

    /// Takes a field. Called for each in their order, those that come twice included.
    fn set(&mut self, name: &str, json: &'a str);
}

/// Reads an object; `None` when the JSON is none. Nesting costs no stack.
pub(crate) fn object<'a, T: Object<'a>>(json: &'a str) -> Option<T> {
    fn read<'a, T: Object<'a>, N: Name<'a>>(json: &'a str) -> serde_json::Result<T> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        ObjectSeed::<N, T>::new().deserialize(&mut deserializer)
    }
    read::<T, Text<'_>>(json)
        .or_else(|_| read::<T, RawName<'_>>(json))
        .ok()
}

/// The name of a field.
pub(crate) trait Name<'a>: Deserialize<'a> {
    fn into_text(self) -> Cow<'a, str>;
}

/// A string, borrowed where it has no escapes: a `Cow` by itself never is. So are the names of all
/// but any field.
#[derive(Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Any name. One with half a surrogate pair is no string, and is taken as it was written.
#[derive(Deserialize)]
pub(crate) struct RawName<'a>(#[serde(borrow)] &'a RawValue);

impl<'a> Name<'a> for Text<'a> {
    fn into_text(self) -> Cow<'a, str> {
        self.0
    }
}

impl<'a> Name<'a> for RawName<'a> {
    fn into_text(self) -> Cow<'a, str> {
        let name = self.0.get();
        string(name).unwrap_or_else(|| Cow::Borrowed(name.trim_matches('"')))
    }
}

/// Reads an object as a part of something else, with names of the kind `N`.
pub(crate) struct ObjectSeed<N, T>(PhantomData<fn() -> (N, T)>);

impl<N, T> ObjectSeed<N, T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, N: Name<'de>, T: Object<'de>> DeserializeSeed<'de> for ObjectSeed<N, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, N: Name<'de>, T: Object<'de>> Visitor<'de> for ObjectSeed<N, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<T, M::Error> {
        let mut object = T::default();
        while let Some(name) = map.next_key::<N>()? {
            let name = name.into_text();
            if object.wants(&name) {
                object.set(&name, map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

/// The string that some JSON is.
pub(crate) fn string(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}
