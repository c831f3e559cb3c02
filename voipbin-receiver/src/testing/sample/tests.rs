use super::*;
use crate::catalog::{CATALOG, ResourceKind, Status, events};
use crate::event::Delivery;
use crate::testing::delivery;

fn sample(name: &str) -> Delivery {
    delivery(event(name)).unwrap()
}

/// The data as the struct of its kind reads and writes it, and how much of it that does not know.
fn read(kind: ResourceKind, data: &str) -> (Value, usize) {
    macro_rules! read {
        ($($kind:ident)+) => {
            match kind {
                $(ResourceKind::$kind => {
                    let read: crate::resource::$kind = serde_json::from_str(data).unwrap();
                    let unknown = read.extra.iter().count() + read.odd.iter().count();
                    (serde_json::to_value(&read).unwrap(), unknown)
                })+
            }
        };
    }
    read!(Call Groupcall Recording Activeflow Message Conversation ConversationMessage Account Email
        Transcribe Transcript Speech Queue Queuecall Conference Agent Number Campaign Campaigncall
        Outdial Ai Aicall AiMessage AiMessageDelta Summary Team McpServer Chat ChatMessage ChatParticipant
        WebchatMessage WebchatSession)
}

#[test]
fn every_event_of_the_catalogue_has_a_sample_that_its_resource_reads_whole() {
    for entry in CATALOG {
        let sample = sample(entry.name);
        assert_eq!(sample.received_as().unwrap().as_str(), entry.name);
        assert_eq!(
            sample.resource_id(),
            Some(SampleEvent::ID),
            "{}",
            entry.name
        );
        assert!(sample.lane_id().is_some(), "{}", entry.name);
        let Some(kind) = entry.resource else { continue };
        let (written, unknown) = read(kind, sample.payload_json());
        assert_eq!(unknown, 0, "{}", entry.name);
        let data: Value = serde_json::from_str(sample.payload_json()).unwrap();
        assert_eq!(data, written, "{}", entry.name);
    }
}

#[test]
fn no_sample_has_a_word_that_its_resource_does_not_know() {
    for entry in CATALOG {
        let Some(kind) = entry.resource else { continue };
        let sample = sample(entry.name);
        macro_rules! shown {
            ($($kind:ident)+) => {
                match kind {
                    $(ResourceKind::$kind => {
                        format!("{:?}", sample.payload::<crate::resource::$kind>().unwrap())
                    })+
                    _ => continue,
                }
            };
        }
        let shown = shown!(Call Groupcall Recording Activeflow Message Conversation
            ConversationMessage Account Email Transcribe Transcript Speech Queuecall Conference Agent
            Number Campaign Campaigncall Ai Aicall AiMessage AiMessageDelta Summary McpServer Chat ChatMessage
            WebchatMessage WebchatSession);
        assert!(!shown.contains("Other("), "{}: {shown}", entry.name);
    }
}

#[test]
fn every_row_is_about_an_event_that_the_platform_has_and_fields_that_it_has() {
    for (name, row) in fields::FIELDS {
        let entry = CATALOG.iter().find(|entry| entry.name == *name).unwrap();
        assert!(
            matches!(entry.status, Status::Sent | Status::Unreachable),
            "{name}"
        );
        assert_eq!(
            fields::fields(row).count(),
            row.split(' ').count(),
            "{name}"
        );
        for (field, _) in fields::fields(row) {
            assert!(
                entry.resource.unwrap().fields().contains(&field),
                "{name}.{field}"
            );
        }
    }
}

#[test]
fn an_alias_shows_what_it_stands_for() {
    let call = |name| {
        let sample = sample(name);
        let call = sample.payload::<crate::resource::Call>().unwrap();
        call.status.clone().unwrap()
    };
    assert_eq!(call("call_hungup").as_str(), "hangup");
    assert_eq!(call("call_answered").as_str(), "progressing");
    let inbound = sample("message.received");
    let inbound = inbound.payload::<crate::resource::Message>().unwrap();
    assert_eq!(inbound.direction.as_ref().unwrap().as_str(), "inbound");
}

#[test]
fn the_bytes_are_those_of_an_envelope_with_the_id_first() {
    let body = Bytes::from(
        event("not_in_the_catalogue")
            .set("b", 1)
            .id("x")
            .set("a", "2"),
    );
    assert_eq!(
        body,
        r#"{"type":"not_in_the_catalogue","data":{"id":"x","a":"2","b":1}}"#
    );
    let hangup = Bytes::from(event(events::CallHangup).set("mood", "calm"));
    let hangup = std::str::from_utf8(&hangup).unwrap();
    assert!(hangup.starts_with(r#"{"type":"call_hangup","data":{"id":"c7c1e226-"#));
    assert!(hangup.ends_with(r#","mood":"calm"}}"#));
}

#[test]
fn data_is_replaced_by_an_object_and_by_nothing_else() {
    let replaced = event(events::CallHangup)
        .data(serde_json::json!({"id": "1"}))
        .unwrap();
    let body = Bytes::from(replaced.without("id"));
    assert_eq!(body, r#"{"type":"call_hangup","data":{}}"#);
    assert!(event(events::CallHangup).data("text").is_err());
}

#[test]
fn debug_shows_no_content() {
    let shown = format!("{:?}", event(events::MessageCreated).set("text", "call me"));
    assert!(shown.contains("message_created") && shown.contains("text"));
    assert!(!shown.contains("call me") && !shown.contains(SampleEvent::ID));
}

#[test]
fn a_typical_event_is_read_whole_too_and_has_what_the_tutorials_handlers_read() {
    for entry in CATALOG {
        let typical = delivery(event(entry.name).typical()).unwrap();
        if let Some(kind) = entry.resource {
            let (_, unknown) = read(kind, typical.payload_json());
            assert_eq!(unknown, 0, "{}", entry.name);
        }
    }
    let data = |name: &str| -> Value {
        serde_json::from_str(delivery(event(name).typical()).unwrap().payload_json()).unwrap()
    };
    let call = data("call_hungup");
    assert_eq!(call["source"]["target"], SampleEvent::FROM);
    assert_eq!(call["destination"]["target"], SampleEvent::TO);
    assert!(call["hangup_reason"].is_string() && call["tm_hangup"].is_string());
    let message = data("message_created");
    assert_eq!(message["source"]["target"], SampleEvent::FROM);
    assert!(message["text"].is_string());
    let recording = data("recording_updated");
    assert!(recording["status"].is_string() && recording["tm_end"].is_string());
}
