//! The fields of an object, the last one first: when it was changed is what the platform writes last and
//! what is asked for most.
//!
//! Strings of valid JSON can be read from their end: a quote ends one unless an odd number of backslashes
//! stands before it, and there are none between two strings.

use std::borrow::Cow;

use super::field::string;

/// The fields of an object from the last to the first, each with its name in its quotes and its value,
/// both as they were written. There are none where the JSON is no object.
///
/// The JSON must be valid. Of other JSON it gives whatever it takes for fields.
pub(super) fn fields_backwards(json: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let json = json.trim_ascii();
    let is_object = json.first() == Some(&b'{');
    Backwards {
        rest: json
            .strip_suffix(b"}")
            .filter(|_| is_object)
            .unwrap_or_default(),
    }
}

/// One field that is a string; the last one of that name. The JSON must be valid.
pub(crate) fn text_field<'a>(json: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let mut fields = fields_backwards(json);
    let (_, value) = fields.find(|(raw, _)| is_name(raw, name))?;
    text(value)
}

/// The number of a field. The JSON must be valid.
pub(crate) fn number_field(json: &[u8], name: &str) -> Option<i64> {
    let mut fields = fields_backwards(json);
    let (_, value) = fields.find(|(raw, _)| is_name(raw, name))?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The string that a value is.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, str>> {
    string(std::str::from_utf8(value).ok()?)
}

/// Whether this, in its quotes, is the name. One that is written with escapes is longer.
pub(super) fn is_name(raw: &[u8], name: &str) -> bool {
    let length = name.len() + 2;
    if raw.len() <= length {
        return raw.len() == length && raw.get(1..=name.len()) == Some(name.as_bytes());
    }
    raw.contains(&b'\\') && text(raw).is_some_and(|raw| raw == name)
}

/// What is left of an object before the fields that were read.
struct Backwards<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Backwards<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (rest, value) = split_value(self.rest.trim_ascii_end())?;
        let rest = rest.trim_ascii_end().strip_suffix(b":")?;
        let (rest, name) = split_string(rest.trim_ascii_end())?;
        // Before the first one there is no comma.
        let rest = rest.trim_ascii_end().strip_suffix(b",");
        self.rest = rest.unwrap_or_default();
        Some((name, value))
    }
}

/// What comes before the value at the end, and the value.
fn split_value(json: &[u8]) -> Option<(&[u8], &[u8])> {
    match json.last()? {
        b'"' => split_string(json),
        b'}' | b']' => {
            let (mut rest, mut depth) = (json, 0_usize);
            loop {
                let (last, before) = rest.split_last()?;
                match last {
                    b'"' => {
                        rest = split_string(rest)?.0;
                        continue;
                    }
                    b'}' | b']' => depth += 1,
                    b'{' | b'[' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                rest = before;
                if depth == 0 {
                    return json.split_at_checked(rest.len());
                }
            }
        }
        // A number or a word.
        _ => {
            let begins_after = |byte: &u8| *byte == b':' || byte.is_ascii_whitespace();
            let before = json.iter().rposition(begins_after)?;
            json.split_at_checked(before + 1)
        }
    }
}

/// What comes before the string at the end, and the string in its quotes.
fn split_string(json: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut inner = json.strip_suffix(b"\"")?;
    loop {
        let quote = inner.iter().rposition(|byte| *byte == b'"')?;
        inner = inner.get(..quote)?;
        let escapes = inner.iter().rev().take_while(|byte| **byte == b'\\');
        if escapes.count() % 2 == 0 {
            return json.split_at_checked(quote);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::any_json;
    use crate::resource::field::any_fields;

    fn forwards(json: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        any_fields(json, &mut |name, value| {
            found.push((name.to_owned(), value.to_owned()));
        })
        .unwrap();
        found
    }

    fn backwards(json: &str) -> Vec<(String, String)> {
        let own = |raw: &[u8]| String::from_utf8(raw.to_vec()).unwrap();
        let fields = fields_backwards(json.as_bytes());
        let mut found: Vec<_> = fields
            .map(|(name, value)| (text(name).unwrap().into_owned(), own(value)))
            .collect();
        found.reverse();
        found
    }

    const NAMES: &[&str] = &["tm_update", "tm_\\u0075pdate", "id", "", "\\\"", "\\\\"];

    #[test]
    fn from_the_end_an_object_has_the_fields_that_it_has_from_its_beginning() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let json = any_json::object(&mut random, 4, NAMES);
            assert!(serde_json::from_str::<Value>(&json).is_ok(), "{json}");
            let fields = forwards(&json);
            assert_eq!(backwards(&json), fields, "{json}");
            let named = |(name, _): &&(String, String)| name == "tm_update";
            let last = fields.iter().rev().find(named);
            let expected = last.and_then(|(_, value)| string(value));
            assert_eq!(text_field(json.as_bytes(), "tm_update"), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_object_has_no_fields() {
        for json in ["[{\"a\":1}]", "\"{}\"", "7", "null", "{}", " { } ", ""] {
            assert_eq!(fields_backwards(json.as_bytes()).count(), 0, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_read_to_an_end() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let length = random.usize(..40);
            let bytes: Vec<u8> = (0..length)
                .map(|_| b"{}[]\":,\\a \xff"[random.usize(..11)])
                .collect();
            let around = [b"{".as_slice(), &bytes, b"}"].concat();
            assert!(fields_backwards(&around).count() <= length);
        }
    }
}
