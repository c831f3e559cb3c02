use super::*;

fn call(json: &str) -> Option<Call> {
    serde_json::from_str(json).ok()
}

fn target(address: Option<Address>) -> Option<String> {
    address.and_then(|address| address.target)
}

#[test]
fn every_way_to_say_nothing_is_none() {
    for json in [
        "{}",
        r#"{"id":null,"status":null,"source":null,"recording_ids":null,"tm_hangup":null}"#,
        r#"{"id":"","status":"","source":"","recording_ids":"","tm_hangup":"","metadata":""}"#,
        r#"{"id":"00000000-0000-0000-0000-000000000000","source":{},"recording_ids":[],
            "metadata":{},"tm_hangup":"9999-01-01 00:00:00.000000"}"#,
        r#"{"tm_hangup":"9999-01-01T00:00:00.000000Z","source":{"target":"","type":""}}"#,
    ] {
        assert_eq!(call(json), Some(Call::default()), "{json}");
    }
}

#[test]
fn the_last_of_several_fields_with_one_name_counts() {
    let read = call(
        r#"{"status":5,"status":"ringing","tm_hangup":"2026-09-01T08:00:00Z","tm_hangup":[]}"#,
    );
    let read = read.unwrap_or_default();
    assert_eq!(read.status, Some(CallStatus::Ringing));
    assert_eq!(read.tm_hangup, None);
    assert_eq!(read.odd.iter().collect::<Vec<_>>(), [("tm_hangup", "[]")]);
}

#[test]
fn ids_in_a_list_that_are_none_are_left_out() {
    let read =
        call(r#"{"recording_ids":["a",null,"","00000000-0000-0000-0000-000000000000","b"]}"#);
    assert_eq!(
        read.map(|call| call.recording_ids),
        Some(vec![Id::from("a"), Id::from("b")])
    );
}

#[test]
fn one_odd_element_sets_its_list_aside() {
    let read = call(r#"{"recording_ids":["a",1]}"#).unwrap_or_default();
    assert!(read.recording_ids.is_empty());
    assert_eq!(read.odd.get("recording_ids"), Some(r#"["a",1]"#));
}

#[test]
fn an_odd_field_of_a_nested_object_is_kept_in_that_object() {
    let read =
        call(r#"{"action":{"type":"talk","option":"loud","mood":"calm"}}"#).unwrap_or_default();
    assert!(read.odd.is_empty() && read.extra.is_empty());
    assert_eq!(read.action.kind, Some(ActionType::Talk));
    assert_eq!(read.action.odd.get("option"), Some(r#""loud""#));
    assert_eq!(
        read.action
            .extra
            .read::<String>("mood")
            .map(|mood| mood.ok()),
        Some(Some("calm".into()))
    );
}

#[test]
fn json_that_strings_cannot_hold_does_not_fail_the_payload() {
    let read = call(r#"{"id":"\ud800","half\ud800":1,"status":"hangup"}"#).unwrap_or_default();
    assert_eq!(read.status, Some(CallStatus::Hangup));
    assert_eq!(read.odd.get("id"), Some(r#""\ud800""#));
    assert_eq!(read.extra.len(), 1);
    let written = serde_json::to_string(&read).unwrap_or_default();
    assert_eq!(call(&written), Some(read));
}

#[test]
fn every_source_of_serde_json_can_be_read_from() -> Result<(), serde_json::Error> {
    let json = r#"{"type":"tel","target":"+1 \u0026 more","new":[1]}"#;
    let address: Address = serde_json::from_str(json)?;
    assert_eq!(address.target.as_deref(), Some("+1 & more"));
    assert_eq!(serde_json::from_slice::<Address>(json.as_bytes())?, address);
    assert_eq!(
        serde_json::from_reader::<_, Address>(json.as_bytes())?,
        address
    );
    let value = serde_json::to_value(&address)?;
    assert_eq!(serde_json::from_value::<Address>(value)?, address);
    Ok(())
}

#[test]
fn what_is_no_object_is_an_error_that_does_not_quote_it() {
    for json in ["[]", "5", "\"secret words\"", "true"] {
        let error = serde_json::from_str::<Call>(json)
            .err()
            .map(|error| error.to_string());
        assert!(
            error.is_some_and(|error| error.starts_with("expected an object")),
            "{json}"
        );
    }
}

#[test]
fn an_address_may_be_a_string() {
    assert_eq!(
        target(serde_json::from_str("\"+15550100\"").ok()).as_deref(),
        Some("+15550100")
    );
    let message: Option<Message> =
        serde_json::from_str(r#"{"targets":[{"destination":"+15550100"}]}"#).ok();
    let first = message.and_then(|message| message.targets.into_iter().next());
    assert_eq!(
        target(first.map(|first| first.destination)).as_deref(),
        Some("+15550100")
    );
}

#[test]
fn deep_json_is_kept_where_it_is_not_known_and_odd_where_it_is() {
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let read = call(&format!(
        r#"{{"id":"a","tower":{deep},"metadata":{{"x":{deep}}}}}"#
    ));
    let read = read.unwrap_or_default();
    assert_eq!(read.id.as_deref(), Some("a"));
    assert_eq!(read.extra.get("tower"), Some(deep.as_str()));
    assert!(read.odd.get("metadata").is_some());
}

#[test]
fn a_number_in_a_free_object_is_written_as_it_came() {
    let json = r#"{"action":{"option":{"gain":-3.2018538491034057e-28}}}"#;
    let written = serde_json::to_string(&call(json).unwrap_or_default()).unwrap_or_default();
    assert!(written.contains("-3.2018538491034057e-28"), "{written}");
}

/// Such an object is read by serde_json, from its beginning, when some of its fields were read
/// already.
#[test]
fn what_is_nested_deep_is_read_as_anything_else_and_once() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let json = format!(
        r#"{{"mood":"calm","id":"x","source":{{"target":7,"deep":{deep}}},"muted":{deep},"addresses":[1,{deep}]}}"#
    );
    let call: Call = serde_json::from_str(&json).unwrap();
    assert_eq!(call.id.as_deref(), Some("x"));
    let extra: Vec<_> = call.extra.iter().collect();
    let expected = [
        ("mood", r#""calm""#),
        ("muted", &*deep),
        ("addresses", &*format!("[1,{deep}]")),
    ];
    assert_eq!(extra, expected);
    let source = call.source.extra;
    assert_eq!(source.iter().collect::<Vec<_>>(), [("deep", &*deep)]);
    assert_eq!((source.len(), call.source.odd.len()), (1, 1));
}
