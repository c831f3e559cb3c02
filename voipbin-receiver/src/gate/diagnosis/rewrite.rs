//! What a body or a secret may have been before somebody changed it.

use std::borrow::Cow;

use serde::Deserialize;
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
    cut.into_iter().flatten().chain(ended)
}

/// Whether the platform could have written this: an envelope with `type` first, without blanks,
/// with the escapes of Go's `encoding/json`, and the keys of `data` not in the order of the
/// alphabet, in which frameworks write them.
pub(super) fn is_as_sent(body: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(body) else {
        return false;
    };
    let Ok(Envelope { kind, data }) = serde_json::from_str(text) else {
        return false;
    };
    let written = format!(r#"{{"type":{kind},"data":{data}}}"#);
    written == text && !has_blanks(text) && !text.contains(['<', '>', '&']) && !is_sorted(data)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// Whether there are blanks outside of the strings of this JSON.
fn has_blanks(json: &str) -> bool {
    let (mut in_string, mut is_escaped) = (false, false);
    json.bytes().any(|byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            b'"' if !was_escaped => in_string = !in_string,
            b'\\' if in_string => is_escaped = !was_escaped,
            _ => {}
        }
        !in_string && byte.is_ascii_whitespace()
    })
}

/// Whether these are several keys, and all in the order of the alphabet.
fn is_sorted(data: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Keys(#[serde(deserialize_with = "keys")] Vec<String>);

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
            while let Some((key, serde::de::IgnoredAny)) = map.next_entry()? {
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
