use super::selector::{Condition, Matcher};
use super::{EventSet, EventType, Selector, events, named};
use crate::event::classify;

const INBOUND: Condition = Condition {
    direction: "inbound",
};

#[test]
fn a_plain_name_selects_itself() {
    assert_eq!(
        events::CallHungup.selectors(),
        [Selector::from(Matcher::Type(EventType::CallHungup))],
        "the router compares canonical names"
    );
}

#[test]
fn a_conditional_name_selects_itself_and_what_meets_the_condition() {
    let expected = [Selector::new(
        Matcher::Type(EventType::MessageReceived),
        vec![Matcher::When(EventType::MessageCreated, INBOUND)],
    )];
    assert_eq!(events::MessageReceived.selectors(), expected);
    assert_eq!(named("message.received").selectors(), expected);
}

#[test]
fn a_pattern_selects_itself_and_all_its_names() {
    let selectors = events::AnyCallStatus.selectors();
    let names: Vec<String> = selectors
        .iter()
        .flat_map(Selector::matchers)
        .map(|matcher| Selector::from(matcher.clone()).to_string())
        .collect();
    assert_eq!(
        names,
        [
            "call.status",
            "call_dialing",
            "call_ringing",
            "call_progressing",
            "call_terminating",
            "call_canceling",
            "call_hangup",
        ]
    );
}

#[test]
fn a_condition_reads_the_field_of_the_payload_and_no_other() {
    for (data, holds) in [
        (r#"{"id":"a","direction":"inbound"}"#, true),
        (r#"{"id":"a","dir\u0065ction":"in\u0062ound"}"#, true),
        (r#"{"direction":"outbound","direction":"inbound"}"#, true),
        (r#"{"direction":"outbound"}"#, false),
        (
            r#"{"nested":{"direction":"inbound"},"direction":"outbound"}"#,
            false,
        ),
        (r#"{"nested":{"direction":"inbound"}}"#, false),
        (r#"{"direction":["inbound"]}"#, false),
        (r#"{}"#, false),
        ("null", false),
        (r#""inbound""#, false),
    ] {
        let body = format!(r#"{{"type":"message_created","data":{data}}}"#);
        let envelope = classify(body.as_bytes()).unwrap();
        let direction = envelope.direction(body.as_bytes());
        assert_eq!(INBOUND.matches(direction), holds, "{data}");
    }
}

#[test]
fn an_unknown_name_is_logged_when_it_looks_like_one() {
    for (name, shown) in [
        ("call_hangup", true),
        ("call.status", true),
        ("brand-new_event.2", true),
        ("", false),
        ("+15551234567", false),
        ("15551234567", false),
        ("two words", false),
        ("line\nbreak", false),
        (&"x".repeat(65), false),
    ] {
        let expected = if shown { name } else { "[not a name]" };
        assert_eq!(EventType::parse(name).loggable(), expected);
    }
}
