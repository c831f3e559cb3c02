use std::collections::HashMap;

use serde_json::value::RawValue;

use super::*;
use crate::any_json;

const NAMES: &[&str] = &["type", "data", "data", "type", "other", "t\\u0079pe"];

/// What serde_json finds. Of a key that comes twice it keeps the last one.
fn by_serde(json: &str) -> Option<HashMap<String, &RawValue>> {
    serde_json::from_str(json).ok()
}

fn check(json: &str) -> bool {
    let Some(Outline { event_type, data }) = read(json) else {
        return false;
    };
    let fields = by_serde(json).unwrap_or_else(|| panic!("this is no JSON object: {json}"));
    assert_eq!(fields["type"].get(), format!("\"{event_type}\""), "{json}");
    assert!(std::ptr::eq(fields["data"].get(), data), "{json}");
    true
}

#[test]
fn what_it_takes_is_json_and_the_parts_are_those_that_serde_finds() {
    let mut random = fastrand::Rng::with_seed(7);
    let mut taken = 0;
    for _ in 0..40_000 {
        let mut json = any_json::object(&mut random, 4, NAMES);
        taken += usize::from(check(&json));
        // Not quite JSON, most of it.
        let place = random.usize(..json.len());
        if json.is_char_boundary(place) {
            const OTHERS: &[&str] = &[
                "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "\n", "\u{1}", "u",
                "é",
            ];
            let other = OTHERS[random.usize(..OTHERS.len())];
            let mut changed = json.clone();
            changed.insert_str(place, other);
            check(&changed);
            json.truncate(place);
            check(&json);
        }
    }
    assert!(taken > 100, "{taken}");
}

#[test]
fn what_it_takes_has_each_part_once() {
    let twice = [
        r#"{"type":"a","data":{},"type":"a"}"#,
        r#"{"type":"a","data":{},"data":{}}"#,
        r#"{"type":"a","data":{},"t\u0079pe":"a"}"#,
        r#"{"type":"a"}"#,
        r#"{"type":7,"data":{}}"#,
        r#"{"type":"\u0061","data":{}}"#,
    ];
    for json in twice {
        assert_eq!(read(json), None, "{json}");
    }
}

#[test]
fn what_the_platform_sends_is_taken() {
    assert!(check(
        r#"{"type":"call_hangup","data":{"id":"cfda08cd-ba8e-5c29-a927-67156793afc4","source":{"detail":"9 \u0026 5"},"rtp_debug":true,"chained_call_ids":["6aef63dc"],"duration":-1.5e3,"tm_delete":null}}"#
    ));
    let nested = |depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"a","data":{open}{close}}}"#)
    };
    assert!(check(&nested(64)));
    assert!(!check(&nested(65)));
}

#[test]
fn numbers_are_taken_as_json_writes_them() {
    for number in ["0", "-0", "10", "1.0", "1e5", "1E-05", "-1.25e+10"] {
        assert!(
            check(&format!(r#"{{"type":"a","data":{number}}}"#)),
            "{number}"
        );
    }
    for number in [
        "00", "01", "-", "+1", ".5", "1.", "1e", "1e+", "- 1", "1 0", "NaN",
    ] {
        let json = format!(r#"{{"type":"a","data":{number}}}"#);
        assert_eq!(read(&json), None, "{number}");
    }
}
