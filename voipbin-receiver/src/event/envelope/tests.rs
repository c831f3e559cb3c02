use super::*;
use crate::catalog::EventType;

fn envelope(body: &str) -> (EventType, &str, Option<String>) {
    let envelope = classify(body.as_bytes()).unwrap();
    assert!(envelope.event_type.is_some(), "custom: {body}");
    let payload = envelope.payload(body.as_bytes());
    let id = envelope.head.id;
    let id = id.map(|id| id.in_body(body.as_bytes()).to_owned());
    (envelope.event_type.unwrap(), payload, id)
}

fn is_custom(body: &str) -> bool {
    classify(body.as_bytes()).unwrap().event_type.is_none()
}

fn refused(body: &[u8]) -> BodyErrorKind {
    classify(body).err().unwrap().kind()
}

#[test]
fn an_envelope_as_the_platform_writes_it() {
    let (event_type, data, id) =
        envelope(r#"{"type":"call_hangup","data":{"id":"5371e9db","status":"hangup"}}"#);
    assert_eq!(event_type, EventType::CallHangup);
    assert_eq!(data, r#"{"id":"5371e9db","status":"hangup"}"#);
    assert_eq!(id.as_deref(), Some("5371e9db"));
}

#[test]
fn key_order_blanks_and_extra_keys_make_no_difference() {
    for body in [
        r#"{"data":{"id":"x"},"type":"call_hangup"}"#,
        r#"{"timestamp":"2026","type":"call_hangup","data":{"id":"x"},"more":[1,{"type":2}]}"#,
        " { \"type\" : \"call_hangup\" ,\n\t\"data\" : {\"id\":\"x\"} } \r\n",
        r#"{"\u0074ype":"call_hangup","d\u0061ta":{"id":"x"}}"#,
    ] {
        let (event_type, data, id) = envelope(body);
        assert_eq!(
            (event_type, data),
            (EventType::CallHangup, r#"{"id":"x"}"#),
            "{body}"
        );
        assert_eq!(id.as_deref(), Some("x"));
    }
}

#[test]
fn the_type_may_be_written_with_escapes() {
    let (event_type, ..) = envelope(r#"{"type":"call\u005fhangup","data":{}}"#);
    assert_eq!(event_type, EventType::CallHangup);
}

#[test]
fn an_unknown_type_survives_as_it_is() {
    let (event_type, ..) = envelope(r#"{"type":"brand_new_\"thing\" 한","data":{}}"#);
    assert_eq!(event_type.as_str(), "brand_new_\"thing\" 한");
    assert_eq!(envelope(r#"{"type":"","data":{}}"#).0.as_str(), "");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let (_, data, id) = envelope("\u{feff}{\"type\":\"call_hangup\",\"data\":{\"id\":\"x\"}}");
    assert_eq!((data, id.as_deref()), (r#"{"id":"x"}"#, Some("x")));
    assert!(is_custom("\u{feff}[1]"));
}

#[test]
fn the_id_is_found_wherever_and_however_it_is_written() {
    for (data, expected) in [
        (r#"{"id":"x"}"#, Some("x")),
        (r#"{"a":{"id":"no"},"id":"x"}"#, Some("x")),
        (r#"{"id":"a\"b"}"#, Some("a\"b")),
        (r#"{"id":"\u0078"}"#, Some("x")),
        (r#"{"\u0069d":"x"}"#, Some("x")),
        (r#"{ "id" : "x" }"#, Some("x")),
        (r#"{"id":"x","id":"y"}"#, Some("x")),
        (r#"{"id":""}"#, None),
        (r#"{"id":"00000000-0000-0000-0000-000000000000"}"#, None),
        (r#"{"id":null}"#, None),
        (r#"{"id":5}"#, None),
        (r#"{"a":{"id":"nested"}}"#, None),
        ("{}", None),
        ("null", None),
        ("[\"id\"]", None),
        ("\"id\"", None),
    ] {
        for name in ["call_hangup", "brand_new"] {
            let body = format!(r#"{{"type":"{name}","data":{data}}}"#);
            let (event_type, payload, id) = envelope(&body);
            assert_eq!((event_type.as_str(), payload), (name, data));
            assert_eq!(id.as_deref(), expected, "{name} {data}");
        }
    }
}

#[test]
fn json_that_is_not_exactly_an_envelope_is_a_custom_delivery() {
    for body in [
        "null",
        "true",
        "12",
        "1e999",
        "\"plain string\"",
        "[1,2]",
        "{}",
        r#"{"a":1.0e2,"a":2}"#,
        r#"{"type":"call_hangup"}"#,
        r#"{"data":{"id":"x"}}"#,
        r#"{"event_type":"call_hangup","data":{}}"#,
        r#"{"type":"call_hangup","type":"call_hangup","data":{}}"#,
        r#"{"type":"call_hangup","data":{},"data":{}}"#,
        r#"{"type":5,"data":{}}"#,
        r#"{"type":null,"data":{}}"#,
        r#"{"type":{"a":"b"},"data":{}}"#,
        r#"{"type":"half a pair \ud800","data":{}}"#,
        r#"{"\ud800":"half a pair as a key","type":"call_hangup","data":{}}"#,
        "  [ ]\n",
    ] {
        assert!(is_custom(body), "{body}");
    }
}

#[test]
fn no_depth_is_too_deep() {
    let depth = 200_000;
    let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(is_custom(&nested));
    let body = format!(r#"{{"type":"call_hangup","data":{nested}}}"#);
    assert_eq!(envelope(&body).1.len(), 2 * depth);
    let objects = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    assert_eq!(
        envelope(&format!(r#"{{"type":"t","data":{objects}}}"#)).2,
        None
    );
}

#[test]
fn what_is_not_json_is_refused_by_kind() {
    assert_eq!(refused(b""), BodyErrorKind::Empty);
    assert_eq!(refused(b"\xff{}"), BodyErrorKind::NotUtf8);
    assert_eq!(
        refused(b"{\"type\":\"\xc3\x28\",\"data\":{}}"),
        BodyErrorKind::NotUtf8
    );
    for body in [
        &b" "[..],
        b"{",
        b"{\"type\":\"call_hangup\",\"data\":{}",
        b"{\"type\":\"call_hangup\",\"data\":{}}}",
        b"{\"type\":\"call_hangup\",\"data\":{}} trailing",
        b"{'type':'call_hangup'}",
        b"a=1&b=2",
        b"nul",
        b"\"open",
        b"[1,]",
        b"01",
        b"\"\x01\"",
        b"\"\\x\"",
        "\u{feff}".as_bytes(),
    ] {
        assert_eq!(
            refused(body),
            BodyErrorKind::NotJson,
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn an_error_names_the_place_and_not_the_content() {
    let error = classify(b"{\n\"number\": +15551234567}").err().unwrap();
    assert_eq!(
        error.to_string(),
        "the body is not JSON (line 2, column 11)"
    );
}
