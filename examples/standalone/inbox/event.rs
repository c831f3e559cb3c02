//! Events as the tools print them in JSON.

use serde::{Deserialize, Serialize};
use voipbin_receiver::event::Time;
use voipbin_receiver::inbox::Record;

/// How much of an event is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    Brief,
    Attempts,
    Body,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) state: String,
    /// The type as it came; null for a custom delivery.
    pub(crate) event: Option<String>,
    /// Hashed where the id itself is a credential.
    pub(crate) resource_id: Option<String>,
    pub(crate) identity: String,
    pub(crate) received_at: Option<Time>,
    pub(crate) signed: bool,
    pub(crate) content_type: String,
    pub(crate) bytes: usize,
    pub(crate) replay_of: Option<u64>,
    /// Those that ended badly, of all handlers together.
    pub(crate) failed_attempts: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) jobs: Vec<Job>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) handler: String,
    pub(crate) stage: String,
    /// Since when; of a delayed one, until when.
    pub(crate) at: Option<Time>,
    /// How many ended badly. The latest of them are in `history`.
    pub(crate) failed_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<Vec<Try>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Try {
    pub(crate) began_at: Option<Time>,
    pub(crate) took_ms: u64,
    pub(crate) error: String,
}

impl Event {
    pub(crate) fn of(record: &Record, detail: Detail) -> Result<Self, serde_json::Error> {
        let mut event: Self = serde_json::from_value(serde_json::to_value(record)?)?;
        if detail < Detail::Body {
            event.body = None;
        }
        if detail < Detail::Attempts {
            event.jobs.iter_mut().for_each(|job| job.history = None);
        }
        Ok(event)
    }
}
