//! A record as JSON.

use serde::{Serialize, Serializer};

use super::{JobRecord, Record, Stage};
use crate::catalog::EventType;
use crate::event::{Delivery, Proof, Time};
use crate::inbox::Attempt;

#[derive(Serialize)]
struct RecordJson<'a> {
    id: u64,
    state: &'static str,
    event: Option<String>,
    resource_id: Option<String>,
    identity: String,
    received_at: Option<Time>,
    signed: bool,
    content_type: &'a str,
    bytes: usize,
    replay_of: Option<u64>,
    failed_attempts: u32,
    last_error: Option<String>,
    jobs: Vec<JobJson<'a>>,
    body: &'a str,
}

#[derive(Serialize)]
struct JobJson<'a> {
    handler: &'a str,
    stage: &'static str,
    at: Option<Time>,
    failed_attempts: u32,
    history: Vec<AttemptJson>,
}

#[derive(Serialize)]
struct AttemptJson {
    began_at: Option<Time>,
    took_ms: u64,
    error: String,
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let delivery = &self.delivery;
        let attempts = self.jobs.iter().flat_map(|job| &job.history);
        let last = attempts.max_by_key(|attempt| attempt.began_at);
        RecordJson {
            id: self.id.get(),
            state: self.state.as_str(),
            event: delivery.received_as().map(ToString::to_string),
            resource_id: resource_id(delivery),
            identity: delivery.identity().to_string(),
            received_at: Time::try_from(delivery.received_at()).ok(),
            signed: delivery.proof() == Proof::Signed,
            content_type: delivery.content_type(),
            bytes: delivery.body().len(),
            replay_of: self.replay_of.map(|original| original.get()),
            failed_attempts: self.jobs.iter().map(|job| job.attempts).sum(),
            last_error: last.map(|attempt| attempt.ended.to_string()),
            jobs: self.jobs.iter().map(JobJson::of).collect(),
            // A delivery is JSON, and so text.
            body: std::str::from_utf8(delivery.body()).unwrap_or_default(),
        }
        .serialize(serializer)
    }
}

/// The id as it came, except where it lets its holder act.
fn resource_id(delivery: &Delivery) -> Option<String> {
    let event = delivery.received_as();
    if event.is_some_and(EventType::id_is_credential) {
        delivery.loggable_id().map(|id| id.to_string())
    } else {
        delivery.resource_id().map(str::to_owned)
    }
}

impl<'a> JobJson<'a> {
    fn of(job: &'a JobRecord) -> Self {
        let at = match job.stage {
            Stage::Running { since: at } | Stage::Delayed { until: at } => Some(at),
            stage => stage.ended_at(),
        };
        Self {
            handler: job.handler.as_str(),
            stage: job.stage.as_str(),
            at: at.and_then(|at| Time::try_from(at).ok()),
            failed_attempts: job.attempts,
            history: job.history.iter().map(AttemptJson::of).collect(),
        }
    }
}

impl AttemptJson {
    fn of(attempt: &Attempt) -> Self {
        Self {
            began_at: Time::try_from(attempt.began_at).ok(),
            took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            error: attempt.ended.to_string(),
        }
    }
}
