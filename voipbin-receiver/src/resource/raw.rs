use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::field::{Nullable, REDACTED};

/// Some JSON as it was written, for a field whose shape depends on a third party. `Debug` does not
/// show it.
#[derive(Clone)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// The JSON.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// The JSON read as a `T`.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

/// Equal when the text is.
impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for RawJson {}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Nullable for RawJson {
    fn read(json: &str) -> Option<Option<Self>> {
        let json = RawValue::from_string(json.to_owned()).ok();
        json.map(|json| Some(Self(json)))
    }

    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Fields of a payload kept as raw JSON, in the order in which they came.
///
/// Every payload struct has two of these: `extra`, the fields that it does not know, and `odd`, the
/// fields that it knows but that came in another shape. `Debug` shows the names only.
#[derive(Clone, Default)]
pub struct RawFields(Vec<(Box<str>, Box<RawValue>)>);

impl RawFields {
    /// The JSON of a field as it was written.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .filter(|(field, _)| *field == name)
            .map(|(_, json)| json)
            .last()
    }

    /// A field read as a `T`; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// When the field does not fit.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Option<Result<T, serde_json::Error>> {
        self.get(name).map(serde_json::from_str)
    }

    /// Every field's name and JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, json)| (&**name, json.get()))
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The JSON must be valid.
    pub(crate) fn push(&mut self, name: &str, json: &str) {
        let json = RawValue::from_string(json.to_owned());
        self.0.extend(json.map(|json| (name.into(), json)));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(field, _)| &**field != name);
    }

    fn sorted(&self) -> Vec<(&str, &str)> {
        let mut sorted: Vec<_> = self.iter().collect();
        sorted.sort_unstable();
        sorted
    }

    pub(crate) fn entries(&self) -> &[(Box<str>, Box<RawValue>)] {
        &self.0
    }
}

/// Equal when the names and the texts are, in any order.
impl PartialEq for RawFields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter()) || self.sorted() == other.sorted()
    }
}

impl Eq for RawFields {}

impl fmt::Debug for RawFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}
