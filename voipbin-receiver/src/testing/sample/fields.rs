//! What the data of a sample holds.

use serde_json::{Map, Value, json};

use super::SampleEvent;
use crate::catalog::{CATALOG, EventType, ResourceKind, Status};

const CREATED: &str = "2026-09-01T08:00:00Z";
const CHANGED: &str = "2026-09-01T08:01:00Z";
const DELETED: &str = "2026-09-01T09:00:00Z";

/// The id of what a resource is a part of.
const CONTAINER_ID: &str = "8b2f6e0c-14b5-4cb2-9c0f-6a7d4f6f2a01";

/// What tells the events of one resource from each other, by the name under which they are sent.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("call_created", "status=ringing direction=incoming"),
    ("call_dialing", "status=dialing direction=outgoing"),
    ("call_ringing", "status=ringing direction=outgoing"),
    (
        "call_progressing",
        "status=progressing tm_progressing=2026-09-01T08:01:00Z",
    ),
    ("call_updated", "status=progressing"),
    ("call_terminating", "status=terminating"),
    ("call_canceling", "status=canceling"),
    (
        "call_hangup",
        "status=hangup hangup_by=remote hangup_reason=normal tm_hangup=2026-09-01T08:01:00Z",
    ),
    (
        "call_deleted",
        "status=hangup hangup_by=remote hangup_reason=normal tm_hangup=2026-09-01T08:01:00Z",
    ),
    ("groupcall_created", "status=progressing"),
    ("groupcall_progressing", "status=progressing"),
    ("groupcall_hangup", "status=hangup"),
    ("groupcall_deleted", "status=hangup"),
    (
        "recording_started",
        "status=recording reference_type=call format=wav",
    ),
    (
        "recording_finished",
        "status=ended reference_type=call format=wav",
    ),
    ("message_created", "type=sms direction=inbound"),
    ("message_updated", "type=sms direction=outbound"),
    ("message_deleted", "type=sms direction=outbound"),
    ("email_created", "status=initiated"),
    ("email_updated", "status=delivered"),
    ("email_deleted", "status=delivered"),
    ("conversation_created", "type=message"),
    ("conversation_updated", "type=message"),
    (
        "conversation_message_created",
        "status=done direction=incoming",
    ),
    (
        "conversation_message_updated",
        "status=done direction=outgoing",
    ),
    (
        "conversation_message_deleted",
        "status=done direction=outgoing",
    ),
    ("account_created", "type=sms"),
    ("account_updated", "type=sms"),
    ("account_deleted", "type=sms"),
    ("activeflow_created", "status=running reference_type=call"),
    ("activeflow_updated", "status=running reference_type=call"),
    ("activeflow_deleted", "status=ended reference_type=call"),
    (
        "transcribe_created",
        "status=progressing reference_type=call",
    ),
    (
        "transcribe_progressing",
        "status=progressing reference_type=call",
    ),
    ("transcribe_done", "status=done reference_type=call"),
    ("transcribe_speech_started", "direction=in"),
    ("transcribe_speech_interim", "direction=in"),
    ("transcribe_speech_ended", "direction=in"),
    ("transcript_created", "direction=in offset_ms=5120"),
    ("queuecall_created", "status=initiating"),
    ("queuecall_waiting", "status=waiting"),
    ("queuecall_connecting", "status=connecting"),
    ("queuecall_serviced", "status=service"),
    ("queuecall_done", "status=done"),
    ("queuecall_abandoned", "status=abandoned"),
    ("queuecall_deleted", "status=done"),
    ("conference_created", "status=progressing type=conference"),
    ("conference_updated", "status=progressing type=conference"),
    ("conference_deleted", "status=terminated type=conference"),
    ("agent_created", "status=offline"),
    ("agent_updated", "status=available"),
    ("agent_status_updated", "status=available"),
    ("agent_deleted", "status=offline"),
    ("number_created", "status=active type=normal"),
    ("number_updated", "status=active type=normal"),
    ("number_deleted", "status=deleted type=normal"),
    ("campaign_created", "status=stop type=call"),
    ("campaign_updated", "status=stop type=call"),
    ("campaign_status_run", "status=run type=call"),
    ("campaign_status_stopping", "status=stopping type=call"),
    ("campaign_status_stop", "status=stop type=call"),
    ("campaign_deleted", "status=stop type=call"),
    ("campaigncall_created", "status=dialing"),
    ("campaigncall_updated", "status=progressing"),
    ("campaigncall_deleted", "status=done"),
    ("ai_created", "type=normal"),
    ("ai_updated", "type=normal"),
    ("ai_deleted", "type=normal"),
    ("aicall_status_initializing", "status=initiating"),
    ("aicall_status_progressing", "status=progressing"),
    ("aicall_status_pausing", "status=pausing"),
    ("aicall_status_resuming", "status=resuming"),
    ("aicall_status_terminating", "status=terminating"),
    ("aicall_status_terminated", "status=terminated"),
    ("aimessage_created", "role=assistant"),
    ("aimessage_intermediate", "role=assistant"),
    ("summary_created", "status=progressing"),
    ("summary_updated", "status=done"),
    ("summary_deleted", "status=done"),
    ("mcp_server_created", "status=active auth_type=bearer"),
    ("mcp_server_updated", "status=active auth_type=bearer"),
    ("mcp_server_deleted", "status=disabled auth_type=bearer"),
    ("chat_created", "type=group"),
    ("chat_updated", "type=group"),
    ("chat_deleted", "type=group"),
    ("chatmessage_created", "type=normal"),
    ("chatmessage_reaction_updated", "type=normal"),
    ("chatmessage_deleted", "type=normal"),
    ("webchat_message_created", "status=sent direction=inbound"),
    ("webchat_session_ended", "status=ended"),
];

/// The fields of one row.
pub(super) fn fields(row: &str) -> impl Iterator<Item = (&str, &str)> {
    row.split(' ').filter_map(|field| field.split_once('='))
}

/// The data of an event: what the platform always writes, and what makes it this event.
pub(super) fn data(event_type: &EventType) -> Map<String, Value> {
    let mut data = match event_type.resource().map(ResourceKind::blank) {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    let known = event_type
        .resource()
        .map_or(&["id"][..], ResourceKind::fields);
    let mut set = |field: &str, value: &str| {
        if known.contains(&field) {
            let number = value.parse::<i64>().map(Value::from);
            data.insert(field.to_owned(), number.unwrap_or_else(|_| value.into()));
        }
    };
    set("id", SampleEvent::ID);
    set("customer_id", SampleEvent::CUSTOMER_ID);
    if let Some(container) = event_type
        .resource()
        .and_then(ResourceKind::container_field)
    {
        set(container, CONTAINER_ID);
    }
    let (name, condition) = sent_as(event_type);
    set("tm_create", CREATED);
    if !["_created", "_started", "_initializing"]
        .iter()
        .any(|first| name.ends_with(first))
    {
        set("tm_update", CHANGED);
    }
    if name.ends_with("_deleted") {
        set("tm_delete", DELETED);
    }
    let row = FIELDS.iter().find(|(sent, _)| *sent == name);
    for (field, value) in fields(row.map_or("", |(_, row)| row)) {
        set(field, value);
    }
    if let Some((field, value)) = condition {
        set(field, value);
    }
    data
}

/// What a typical event has beside that.
pub(super) fn add_typical(event_type: &EventType, data: &mut Map<String, Value>) {
    let Some(kind) = event_type.resource() else {
        return;
    };
    let (name, _) = sent_as(event_type);
    let number = |target| json!({ "type": "tel", "target": target });
    let ended = ["_finished", "_hangup", "_done", "_ended"]
        .iter()
        .any(|end| name.ends_with(end));
    let direction = match kind {
        ResourceKind::Call => Some("incoming"),
        _ => None,
    };
    let fields = [
        ("source", Some(number(SampleEvent::FROM))),
        ("destination", Some(number(SampleEvent::TO))),
        (
            "targets",
            (kind == ResourceKind::Message)
                .then(|| json!([{ "destination": number(SampleEvent::TO) }])),
        ),
        ("text", Some("Are you open on Sunday?".into())),
        ("reference_id", Some(CONTAINER_ID.into())),
        ("tm_start", Some(CREATED.into())),
        ("tm_end", ended.then(|| CHANGED.into())),
    ];
    for (field, value) in fields {
        if let Some(value) = value.filter(|_| kind.fields().contains(&field)) {
            data.insert(field.to_owned(), value);
        }
    }
    if let Some(direction) = direction {
        data.entry("direction").or_insert_with(|| direction.into());
    }
}

/// The name under which the platform sends an event, and what it must hold to be meant by its own.
fn sent_as(event_type: &EventType) -> (&str, Option<(&'static str, &'static str)>) {
    let name = event_type.as_str();
    let entry = CATALOG.iter().find(|entry| entry.name == name);
    match entry.map(|entry| entry.status) {
        Some(Status::AliasOf(sent)) => (sent, None),
        Some(Status::AliasWhen { name, field, value }) => (name, Some((field, value))),
        Some(Status::Pattern(sent)) => (sent.last().copied().unwrap_or(name), None),
        _ => (name, None),
    }
}
