//! What a body or a secret may have been before somebody wrote it anew.

use std::borrow::Cow;
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::BodyChange;

/// The bodies that this one may have been made of, the least change first.
pub(super) fn originals(body: &[u8]) -> impl Iterator<Item = (BodyChange, Cow<'_, [u8]>)> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let line = body
        .strip_suffix(b"\n")
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let bare = body.strip_prefix(MARK).unwrap_or(body).trim_ascii();
    let cut = [
        line.map(|line| (BodyChange::LineEndAdded, Cow::Borrowed(line))),
        (bare.len() != body.len()).then_some((BodyChange::Padded, Cow::Borrowed(bare))),
    ];
    let ended = ["\n", "\r\n"].map(|end| {
        let whole = [body, end.as_bytes()].concat();
        (BodyChange::LineEndRemoved, Cow::Owned(whole))
    });
    let written = std::str::from_utf8(bare)
        .ok()
        .into_iter()
        .flat_map(rewritten);
    cut.into_iter().flatten().chain(ended).chain(written)
}

fn rewritten(text: &str) -> Vec<(BodyChange, Cow<'_, [u8]>)> {
    let Some(compact) = compact(text, Strings::AsTheyAre) else {
        return Vec::new();
    };
    let mut originals = Vec::new();
    let mut add = |change, text: String| originals.push((change, Cow::Owned(text.into_bytes())));
    let escaped = self::compact(&compact, Strings::Escaped);
    let reordered = reordered(&compact);
    let both = escaped.as_deref().and_then(self::reordered);
    add(BodyChange::Reformatted, compact);
    if let Some(escaped) = escaped {
        add(BodyChange::Escaped, escaped);
    }
    for text in [reordered, both].into_iter().flatten() {
        add(BodyChange::Reordered, text);
    }
    originals
}

/// Whether the platform could have written this: JSON without blanks, with its escapes, `type` first, and
/// the keys of `data` not in the order of the alphabet, in which frameworks write them.
pub(super) fn is_as_sent(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else {
        return false;
    };
    compact(text, Strings::Escaped).as_deref() == Some(text)
        && reordered(text).is_none()
        && !has_sorted_keys(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strings {
    AsTheyAre,
    /// As the platform's `encoding/json` writes them.
    Escaped,
}

/// The same JSON without blanks. `None` when it is no JSON.
fn compact(text: &str, strings: Strings) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut compact = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\n' | '\r' => {}
            '"' => {
                compact.push('"');
                match strings {
                    Strings::AsTheyAre => copy_string(&mut chars, &mut compact)?,
                    Strings::Escaped => escape_string(&mut chars, &mut compact)?,
                }
                compact.push('"');
            }
            other => compact.push(other),
        }
    }
    Some(compact)
}

fn copy_string(chars: &mut Peekable<Chars<'_>>, to: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => to.extend(['\\', chars.next()?]),
            other => to.push(other),
        }
    }
}

fn escape_string(chars: &mut Peekable<Chars<'_>>, to: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return Some(()),
            '\\' => match chars.next()? {
                'n' => escape('\n', to),
                'r' => escape('\r', to),
                't' => escape('\t', to),
                'b' => escape('\u{8}', to),
                'f' => escape('\u{c}', to),
                'u' => escape(unit(chars)?, to),
                other => escape(other, to),
            },
            other => escape(other, to),
        }
    }
}

/// What `\u` begins: one character, of one unit or of two.
fn unit(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let mut four = || {
        (0..4).try_fold(0_u32, |number, _| {
            Some(number << 4 | chars.next()?.to_digit(16)?)
        })
    };
    let first = four()?;
    if !(0xd800..0xdc00).contains(&first) {
        // A lone second half is what Go replaces too.
        return Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if chars.next_if_eq(&'\\').is_none() || chars.next_if_eq(&'u').is_none() {
        return None;
    }
    let mut four = || {
        (0..4).try_fold(0_u32, |number, _| {
            Some(number << 4 | chars.next()?.to_digit(16)?)
        })
    };
    let second = four()?.checked_sub(0xdc00)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second)
}

/// One character of a string as Go writes it.
fn escape(char: char, to: &mut String) {
    match char {
        '"' => to.push_str("\\\""),
        '\\' => to.push_str("\\\\"),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\u{8}' => to.push_str("\\b"),
        '\u{c}' => to.push_str("\\f"),
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
            // Writing to a string cannot fail.
            let _ = write!(to, "\\u{:04x}", u32::from(char));
        }
        other => to.push(other),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The envelope with `type` first, where it is not.
fn reordered(text: &str) -> Option<String> {
    let Envelope { kind, data } = serde_json::from_str(text).ok()?;
    let (kind, data) = (kind.get(), data.get());
    (data.as_ptr() < kind.as_ptr()).then(|| format!(r#"{{"type":{kind},"data":{data}}}"#))
}

/// Whether `data` has several keys, and all in the order of the alphabet.
fn has_sorted_keys(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Keys(#[serde(deserialize_with = "keys")] Vec<String>);

    let Ok(Envelope { data, .. }) = serde_json::from_str(text) else {
        return false;
    };
    serde_json::from_str(data.get()).is_ok_and(|Keys(keys)| keys.len() > 2 && keys.is_sorted())
}

fn keys<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;

    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Vec<String>, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }

    deserializer.deserialize_map(Visitor)
}

/// The bytes that hexadecimal digits of any case stand for; `None` for none and for anything else.
pub(super) fn hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    for [high, low] in pairs {
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        bytes.push(u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok()?);
    }
    (rest.is_empty() && !bytes.is_empty()).then_some(bytes)
}

/// The bytes that Base64 stands for, in either alphabet and with or without padding.
pub(super) fn base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len()));
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    // A single digit left over stands for no byte.
    (bits < 6 && !bytes.is_empty()).then_some(bytes)
}
