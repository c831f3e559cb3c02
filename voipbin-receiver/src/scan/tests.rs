use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::*;
use crate::any_json;
use crate::resource::any_fields;

const NAMES: &[&str] = &["id", "", "i\\u0064", "\\\"", "\\\\", "\\ud800", "é"];

fn by_serde(json: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    any_fields(json, &mut |name, value| {
        found.push((name.to_owned(), value.to_owned()));
    })?;
    Some(found)
}

/// Whether it is taken; then it is JSON, and its members and elements are those that serde_json finds.
fn check(json: &str) -> bool {
    let mut found = Vec::new();
    let of_object = members(json, |name, value| {
        assert_eq!(name.escaped, name.text.contains('\\'));
        let quoted = format!("\"{}\"", name.text);
        let unescaped = serde_json::from_str::<String>(&quoted);
        found.push((unescaped.unwrap_or(name.text.into()), value.to_owned()));
        Some(())
    });
    if of_object.is_some() {
        assert_eq!(by_serde(json).as_ref(), Some(&found), "{json}");
    }
    let mut found = Vec::new();
    let of_list = elements(json, |element| {
        found.push(element);
        Some(())
    });
    if of_list.is_some() {
        let expected: Vec<&RawValue> = serde_json::from_str(json).unwrap();
        let expected: Vec<&str> = expected.into_iter().map(RawValue::get).collect();
        assert_eq!(found, expected, "{json}");
    }
    let taken = of_object.or(of_list).is_some();
    if taken {
        serde_json::from_str::<IgnoredAny>(json).unwrap();
    }
    taken
}

#[test]
fn what_it_takes_is_json_and_has_the_parts_that_serde_finds() {
    const OTHERS: &[&str] = &[
        "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "\n", "\u{1}", "u", "é",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..40_000 {
        let mut json = match random.bool() {
            true => any_json::object(&mut random, 4, NAMES),
            false => any_json::value(&mut random, 5),
        };
        let is_object_or_list = json.starts_with(['{', '[']);
        assert_eq!(check(&json), is_object_or_list, "{json}");
        // Not quite JSON, most of it.
        let place = random.usize(..json.len());
        if json.is_char_boundary(place) {
            let mut changed = json.clone();
            changed.insert_str(place, OTHERS[random.usize(..OTHERS.len())]);
            check(&changed);
            json.truncate(place);
            check(&json);
        }
    }
}

#[test]
fn what_is_nested_too_deep_is_not_taken() {
    let nested = |depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"a":{open}{close}}}"#)
    };
    assert!(check(&nested(64)));
    assert!(!check(&nested(65)));
}

#[test]
fn whoever_wants_no_more_is_given_no_more() {
    let mut given = Vec::new();
    let wants_no_more = elements("[1,2,3]", |element| {
        given.push(element);
        (given.len() < 2).then_some(())
    });
    assert_eq!((wants_no_more, &*given), (None, &["1", "2"][..]));
    let mut given = Vec::new();
    let wants_no_more = members(r#"{"a":1,"b":2}"#, |name, _| {
        given.push(name.text);
        None
    });
    assert_eq!((wants_no_more, &*given), (None, &["a"][..]));
}

#[test]
fn a_special_byte_is_found_at_each_place_and_nothing_else_is_one() {
    for byte in 0..=u8::MAX {
        for place in 0..BLOCK {
            let mut bytes = [b'a'; BLOCK];
            bytes[place] = byte;
            let is_special = matches!(byte, b'"' | b'\\' | 0..0x20);
            assert_eq!(special(&bytes), u64::from(is_special) << place, "{byte}");
            let part = &bytes[..=place];
            assert_eq!(special_in_part(part), u64::from(is_special) << place);
        }
    }
}
