//! The one way in which fields of an object are read where they stay raw JSON.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `each` for every field of an object, in order; `None` when the JSON is no object. Nesting costs
/// no stack.
pub(crate) fn fields<'a>(json: &'a str, mut each: impl FnMut(&str, &'a str)) -> Option<()> {
    struct Fields<'f, 'a>(&'f mut dyn FnMut(&str, &'a str));

    impl<'de: 'a, 'a> Visitor<'de> for Fields<'_, 'a> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
            // As a string, a name with half a surrogate pair would fail the whole object.
            while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                match string(name.get()) {
                    Some(name) => (self.0)(&name, value.get()),
                    None => (self.0)(name.get().trim_matches('"'), value.get()),
                }
            }
            Ok(())
        }
    }

    serde_json::Deserializer::from_str(json)
        .deserialize_map(Fields(&mut each))
        .ok()
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
