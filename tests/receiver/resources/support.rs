//! The fixtures, and every resource behind one function.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;
use voipbin_receiver::catalog::{EventType, ResourceKind};
use voipbin_receiver::resource::*;

/// A body of the fixtures, split into its type and its payload.
pub(crate) struct Fixture {
    pub(crate) file: String,
    pub(crate) event_type: EventType,
    pub(crate) data: String,
}

impl Fixture {
    pub(crate) fn kind(&self) -> ResourceKind {
        self.event_type.resource().unwrap()
    }

    pub(crate) fn fields(&self) -> BTreeMap<String, Value> {
        serde_json::from_str(&self.data).unwrap()
    }

    pub(crate) fn read(&self) -> Read {
        read(self.kind(), &self.data)
    }
}

/// The bodies of one folder: `today` holds the platform's exact bytes, `documented` the shapes that
/// its documents show, and that older releases send.
pub(crate) fn fixtures(folder: &str) -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(folder);
    let mut fixtures: Vec<Fixture> = fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let path = file.unwrap().path();
            let body = fs::read_to_string(&path).unwrap();
            let parts: BTreeMap<&str, &RawValue> = serde_json::from_str(&body).unwrap();
            let name: String = serde_json::from_str(parts["type"].get()).unwrap();
            Fixture {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                event_type: EventType::parse(&name),
                data: parts["data"].get().to_owned(),
            }
        })
        .collect();
    fixtures.sort_by(|a, b| a.file.cmp(&b.file));
    fixtures
}

/// What reading a payload as its resource came to.
pub(crate) struct Read {
    /// As it is written.
    pub(crate) json: String,
    /// As `Debug` shows it.
    pub(crate) debug: String,
    pub(crate) id: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) unknown: Vec<String>,
    pub(crate) odd: Vec<String>,
    /// Whether what is written reads as an equal struct.
    pub(crate) round_trips: bool,
}

fn read_as<T: Resource>(data: &str) -> Read {
    let value: T = serde_json::from_str(data).unwrap();
    let json = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&json).unwrap();
    let names = |fields: &RawFields| fields.iter().map(|(name, _)| name.to_owned()).collect();
    Read {
        id: value.id().map(ToString::to_string),
        container: value.container_id().map(ToString::to_string),
        debug: format!("{value:#?}"),
        unknown: names(value.unknown_fields()),
        odd: names(value.odd_fields()),
        round_trips: again == value,
        json,
    }
}

macro_rules! by_kind {
    ($kind:expr, $data:expr; $($name:ident)+) => {
        match $kind {
            $(ResourceKind::$name => read_as::<$name>($data),)+
            kind => panic!("no struct for {kind:?}"),
        }
    };
}

pub(crate) fn read(kind: ResourceKind, data: &str) -> Read {
    by_kind!(kind, data;
        Call Groupcall Recording Activeflow Message Conversation ConversationMessage Account Email
        Transcribe Transcript Speech Queue Queuecall Conference Agent Number Campaign Campaigncall
        Outdial Ai Aicall AiMessage AiMessageDelta Summary Team McpServer Chat ChatMessage ChatParticipant
        WebchatMessage WebchatSession
    )
}

/// Whether a value is one of the platform's ways to say nothing.
pub(crate) fn is_none(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => {
            text.is_empty()
                || text == "00000000-0000-0000-0000-000000000000"
                || text.starts_with("9999-01-01")
        }
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
