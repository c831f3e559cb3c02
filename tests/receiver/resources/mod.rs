//! Every resource against the fixtures: read, written, shown.

mod leniency;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use support::{Fixture, fixtures, is_none};
use voipbin_receiver::catalog::{CATALOG, ResourceKind, Status};
use voipbin_receiver::resource::{
    Action, Address, Ai, Attachment, Call, CallStatus, ChatMedia, ChatMetadata, McpServer,
    McpServerAuthType, Media, Message, NumberMetadata, Reaction, Recording, Resource, Target,
    TeamMember, TeamTransition, ToolCall, ToolFunction, Transcript, last_change,
};

fn all() -> Vec<Fixture> {
    let mut all = fixtures("today");
    all.extend(fixtures("documented"));
    all
}

fn documented<T: Resource>(file: &str) -> T {
    named("documented", file)
}

fn today<T: Resource>(file: &str) -> T {
    named("today", file)
}

fn named<T: Resource>(folder: &str, file: &str) -> T {
    let fixture = fixtures(folder)
        .into_iter()
        .find(|fixture| fixture.file == file)
        .unwrap();
    serde_json::from_str(&fixture.data).unwrap()
}

#[test]
fn todays_bytes_are_written_as_they_came() {
    for fixture in fixtures("today") {
        // The platform escapes these; serde_json need not.
        let expected = fixture
            .data
            .replace("\\u003c", "<")
            .replace("\\u003e", ">")
            .replace("\\u0026", "&")
            .replace("\\u2028", "\u{2028}");
        assert_eq!(fixture.read().json, expected, "{}", fixture.file);
    }
}

#[test]
fn what_is_written_reads_as_an_equal_struct() {
    for fixture in all() {
        assert!(fixture.read().round_trips, "{}", fixture.file);
    }
}

#[test]
fn every_field_of_a_fixture_is_accounted_for() {
    for fixture in all() {
        let read = fixture.read();
        let written: BTreeMap<String, Value> = serde_json::from_str(&read.json).unwrap();
        for (name, value) in fixture.fields() {
            let known = fixture.kind().fields().contains(&name.as_str());
            let kept = read.unknown.contains(&name);
            assert_ne!(known, kept, "{} {name}", fixture.file);
            let written = written.get(&name);
            assert!(
                is_none(&value) || written.is_some_and(|written| !is_none(written)),
                "{} {name}",
                fixture.file
            );
        }
        let odd = fixture.file.ends_with("-odd.json");
        assert_eq!(!read.odd.is_empty(), odd, "{} {:?}", fixture.file, read.odd);
    }
}

#[test]
fn every_field_of_a_struct_is_in_a_fixture() {
    let fixtures = all();
    for kind in ResourceKind::ALL {
        let mut seen = BTreeSet::new();
        for fixture in fixtures.iter().filter(|fixture| fixture.kind() == *kind) {
            let odd = fixture.read().odd;
            let fields = fixture.fields().into_iter();
            seen.extend(
                fields
                    .filter(|(name, v)| !is_none(v) && !odd.contains(name))
                    .map(|f| f.0),
            );
        }
        for field in kind.fields() {
            assert!(seen.contains(*field), "{} {field}", kind.as_str());
        }
    }
}

#[test]
fn every_field_of_a_nested_object_is_in_a_fixture() {
    let nested: &[(&str, &[&str])] = &[
        ("source", Address::FIELDS),
        ("action", Action::FIELDS),
        ("targets", Target::FIELDS),
        ("attachments", Attachment::FIELDS),
        ("metadata", NumberMetadata::FIELDS),
        ("tool_calls", ToolCall::FIELDS),
        ("function", ToolFunction::FIELDS),
        ("members", TeamMember::FIELDS),
        ("transitions", TeamTransition::FIELDS),
        ("metadata", ChatMetadata::FIELDS),
        ("reactions", Reaction::FIELDS),
        ("medias", ChatMedia::FIELDS),
        ("medias", Media::FIELDS),
    ];
    let mut seen = BTreeSet::new();
    for fixture in all() {
        collect("", &serde_json::from_str(&fixture.data).unwrap(), &mut seen);
    }
    for (parent, fields) in nested {
        for field in *fields {
            assert!(
                seen.contains(&(parent.to_string(), field.to_string())),
                "{parent} {field}"
            );
        }
    }
}

/// Every key that holds something, with the key that its object is under.
fn collect(parent: &str, value: &Value, seen: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if !is_none(value) {
                    seen.insert((parent.to_owned(), name.clone()));
                }
                collect(name, value, seen);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect(parent, value, seen)),
        _ => {}
    }
}

#[test]
fn a_resource_knows_its_id_and_what_it_is_a_part_of() {
    for fixture in all() {
        let (read, fields) = (fixture.read(), fixture.fields());
        let text = |name: &str| {
            let value = fields.get(name).filter(|value| !is_none(value))?;
            value.as_str().map(str::to_owned)
        };
        assert_eq!(read.id, text("id"), "{}", fixture.file);
        let container = fixture.kind().container_field().and_then(text);
        assert_eq!(read.container, container, "{}", fixture.file);
    }
}

#[test]
fn todays_fixtures_are_of_events_that_are_sent_and_cover_every_resource() {
    let today = fixtures("today");
    for fixture in &today {
        let name = fixture.event_type.as_str();
        let entry = CATALOG.iter().find(|entry| entry.name == name).unwrap();
        assert_eq!(entry.status, Status::Sent, "{}", fixture.file);
    }
    for kind in ResourceKind::ALL {
        let sent = CATALOG
            .iter()
            .any(|e| e.resource == Some(*kind) && e.status == Status::Sent);
        assert_eq!(
            today.iter().any(|fixture| fixture.kind() == *kind),
            sent,
            "{kind:?}"
        );
    }
}

#[test]
fn debug_shows_neither_credentials_nor_personal_data() {
    let harmless = [
        "type",
        "status",
        "direction",
        "role",
        "provider",
        "format",
        "result",
    ];
    for fixture in all() {
        let debug = fixture.read().debug;
        let mut texts = Vec::new();
        leaves(
            "",
            &serde_json::from_str(&fixture.data).unwrap(),
            &mut texts,
        );
        for (name, text) in texts {
            let shown = name.ends_with("_id")
                || name.ends_with("_ids")
                || name.ends_with("_type")
                || name.ends_with("_by")
                || name.ends_with("_reason")
                || name.ends_with("_method")
                || name.ends_with("_direction")
                || name.ends_with("_handle")
                || name.starts_with("tm_")
                || name == "id"
                || harmless.contains(&name.as_str());
            let secret = fixture.kind() == ResourceKind::WebchatSession && name == "id"
                || name == "session_id";
            if (!shown || secret) && text.len() > 2 {
                assert!(!debug.contains(&text), "{} {name}: {debug}", fixture.file);
            }
        }
    }
}

fn leaves(name: &str, value: &Value, texts: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => texts.push((name.to_owned(), text.clone())),
        Value::Array(list) => list.iter().for_each(|value| leaves(name, value, texts)),
        Value::Object(map) => map
            .iter()
            .for_each(|(name, value)| leaves(name, value, texts)),
        _ => {}
    }
}

#[test]
fn an_odd_field_reads_as_none_and_stays_readable() {
    let call: Call = documented("call_updated-odd.json");
    let odd: Vec<_> = call.odd.iter().collect();
    assert_eq!(
        odd,
        [
            ("source", "15550111"),
            ("status", r#"["hangup"]"#),
            ("recording_ids", r#""none yet""#),
            ("metadata", "[]"),
            ("tm_update", r#""yesterday""#),
        ]
    );
    assert_eq!(call.extra.get("hold_music"), Some(r#"{"name":"waltz"}"#));
    assert!(call.status.is_none() && call.recording_ids.is_empty() && call.tm_update.is_none());
    assert!(call.tm_create.is_some());
}

#[test]
fn an_address_that_is_a_string_is_its_target() {
    let call: Call = documented("call_hangup-flat.json");
    assert_eq!(call.source.target.as_deref(), Some("+15550111"));
    assert_eq!(call.id.as_deref(), Some("call-uuid"));
    assert_eq!(call.status, Some(CallStatus::Other("completed".into())));
    assert_eq!(call.duration(), Some(Duration::from_secs(90)));
    assert!(call.odd.is_empty() && call.is_finished());
}

#[test]
fn a_finished_call_has_a_duration() {
    let call: Call = today("call_hangup.json");
    assert!(call.is_finished() && call.was_answered());
    assert_eq!(call.duration(), Some(Duration::from_millis(42_250)));
    assert_eq!(call.ringing_time(), Some(Duration::from_millis(3_500)));
    assert!(documented::<Call>("call_hungup.json").is_finished());

    let begun: Call = today("call_created.json");
    assert!(!begun.is_finished());
    assert_eq!(begun.duration(), None);
}

#[test]
fn fields_that_handlers_ask_for_are_compared_with_words() {
    let call: Call = today("call_hangup.json");
    assert!(call.has_status("hangup") && !call.has_status("progressing"));
    assert!(call.has_direction("incoming") && !call.has_direction("outgoing"));
    let empty: Call = serde_json::from_str("{}").unwrap();
    assert!(!empty.has_status("hangup") && !empty.has_direction("incoming"));
}

#[test]
fn a_recording_is_ready_when_it_ended_or_is_done() {
    let done: Recording = documented("recording_updated.json");
    assert!(done.is_ready());
    assert_eq!(done.duration(), Some(Duration::from_millis(30_500)));
    let ended: Recording = serde_json::from_str(r#"{"status":"ended"}"#).unwrap();
    assert!(ended.is_ready());
    assert!(!today::<Recording>("recording_started.json").is_ready());
}

#[test]
fn only_an_inbound_message_has_a_reply_and_it_goes_back() {
    let inbound: Message = today("message_created-inbound.json");
    let reply = inbound.reply().unwrap();
    assert_eq!(reply.source.target.as_deref(), Some("+15550100"));
    assert_eq!(reply.destination.target.as_deref(), Some("+15550111"));

    let own: Message = today("message_updated.json");
    assert!(!own.is_inbound() && own.reply().is_none());

    let mut to_itself = inbound.clone();
    to_itself.source = inbound.targets[0].destination.clone();
    assert!(to_itself.reply().is_none());

    let mut nobody = inbound;
    nobody.targets.clear();
    assert!(nobody.reply().is_none());
}

#[test]
fn a_transcript_knows_where_in_the_session_it_was_said() {
    let transcript: Transcript = today("transcript_created.json");
    assert_eq!(transcript.offset(), Some(Duration::from_millis(68_500)));
    let before: Transcript = documented("transcript_created-2026-08.json");
    assert_eq!(
        (before.offset(), before.offset_ms),
        (transcript.offset(), None)
    );
    let read = |json| serde_json::from_str::<Transcript>(json).unwrap().offset();
    assert_eq!(read(r#"{"offset_ms":0}"#), Some(Duration::ZERO));
    assert_eq!(read(r#"{"offset_ms":-1}"#), None);
    assert_eq!(read(r#"{"tm_transcript":null}"#), None);
    let old: Transcript = documented("transcript_created.json");
    assert_eq!(old.offset(), Some(Duration::from_millis(5_123)));
    assert_eq!(old.lane_id().map(|id| id.as_str()), Some("transcribe-1"));
    let wall_clock: Transcript = documented("transcript_created-wall-clock.json");
    assert_eq!(wall_clock.offset(), None);
}

#[test]
fn an_ai_names_the_servers_of_its_tools_and_each_tells_how_it_is_called() {
    let ai: Ai = today("ai_updated.json");
    let servers = ["created", "updated", "deleted"]
        .map(|end| today::<McpServer>(&format!("mcp_server_{end}.json")));
    assert!(ai.mcp_server_ids.contains(servers[0].id.as_ref().unwrap()));
    let auth = servers.each_ref().map(|server| server.auth_type.clone());
    assert_eq!(
        auth,
        [
            None,
            Some(McpServerAuthType::ApiKey),
            Some(McpServerAuthType::Oauth)
        ]
    );
    // The first revision left it out.
    let first: McpServer = serde_json::from_str(r#"{"id":"a","has_secret":true}"#).unwrap();
    assert!(first.auth_type.is_none() && first.has_secret);
}

#[test]
fn a_state_is_older_than_a_later_one_of_the_same_resource_only() {
    let call = |json: &str| serde_json::from_str::<Call>(json).unwrap();
    let created = call(r#"{"id":"a","tm_create":"2026-09-01T08:00:01Z"}"#);
    let first = call(r#"{"id":"a","tm_update":"2026-09-01T08:00:00Z"}"#);
    let later = call(r#"{"id":"a","tm_update":"2026-09-01 08:00:00.000001"}"#);
    let other = call(r#"{"id":"b","tm_update":"2026-09-01T09:00:00Z"}"#);

    assert!(created.is_older_than(&first) && !first.is_older_than(&created));
    assert!(first.is_older_than(&later) && !later.is_older_than(&first));
    assert!(!first.is_older_than(&first) && !created.is_older_than(&created));
    assert!(!first.is_older_than(&other));
    assert!(first.changed_before(later.last_change().unwrap()));
}

#[test]
fn the_last_change_is_found_without_the_rest() {
    for fixture in all() {
        let change = last_change(&fixture.data);
        let update = fixture
            .fields()
            .get("tm_update")
            .cloned()
            .unwrap_or_default();
        if !is_none(&update) && !fixture.file.ends_with("-odd.json") {
            assert_eq!(change, update.as_str().and_then(|text| text.parse().ok()));
        }
    }
}
