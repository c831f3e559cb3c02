//! One event: what came, and what became of it.

use std::time::{Duration, SystemTime};

use askama::Template;
use tokio::time::timeout;

use super::copies::Copies;
use super::events::EventRow;
use super::text::{When, span};
use super::{Answer, Call, Problem, page};
use crate::event::{Proof, RecordId};
use crate::inbox::{JobRecord, Record, Stage};
use crate::inspector::access::{Actor, Reader, Reads, Revealer};
use crate::inspector::filter::Filter;
use crate::inspector::mask::{Mask, Masked};

/// How many other events of the resource are shown.
const TIMELINE: usize = 50;

/// How long they are looked for: an inbox may hold millions of events.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "inspector/event.html")]
struct EventPage {
    root: &'static str,
    row: EventRow,
    identity: String,
    signed: bool,
    content_type: Masked,
    lane: bool,
    last_change: Option<String>,
    ended: Option<When>,
    body: Masked,
    jobs: Vec<JobRow>,
    /// Of all events of the resource, the earliest first; `None` where there were too many to look
    /// through.
    timeline: Option<Vec<TimelineEntry>>,
    /// Those that are replays of this one, as far as they are in the timeline.
    replays: Vec<u64>,
    /// All of the resource.
    more: Option<String>,
    /// For those who see the body.
    copies: Option<Copies>,
    may_reveal: bool,
    may_act: bool,
}

struct JobRow {
    handler: String,
    stage: &'static str,
    at: Option<When>,
    attempts: u32,
    /// The failed attempts that are still known.
    history: Vec<AttemptRow>,
}

struct AttemptRow {
    began: When,
    took: String,
    ended: Masked,
}

/// Something that happened to an event.
struct TimelineEntry {
    time: SystemTime,
    at: When,
    event: u64,
    event_type: String,
    handler: String,
    what: String,
}

pub(super) async fn event(call: Call<Reader>, id: RecordId) -> Answer {
    show(call, id, Mask::on()).await
}

pub(super) async fn event_revealed(call: Call<Revealer>, id: RecordId) -> Answer {
    let mask = call.site.reveal(&call.permit, Some(id));
    show(call, id, mask).await
}

async fn show<R: Reads>(call: Call<R>, id: RecordId, mask: Mask) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let now = site.now();
    let records = site.records(&permit).ok_or(Problem::NotFound)?;
    let record = records.get(id).await?.ok_or(Problem::NotFound)?;
    let delivery = &record.delivery;
    // An id that may not be shown may not stand in an address either.
    let resource = delivery.resource_id();
    let resource = resource.filter(|id| mask.resource(delivery).as_deref() == Some(*id));
    let of_resource = match delivery.resource_id() {
        Some(resource) => {
            let filter = Filter::of_resource(resource).records(now);
            let found = timeout(PATIENCE, records.latest(&filter, None, TIMELINE)).await;
            let found = found.ok().transpose()?;
            found.map(|page| page.records)
        }
        None => Some(vec![record.clone()]),
    };
    let of_this = |other: &&Record| other.replay_of == Some(id);
    let replays = of_resource.iter().flatten().filter(of_this);
    let shown = EventPage {
        root: request.root,
        identity: delivery.identity().to_string(),
        signed: delivery.proof() == Proof::Signed,
        content_type: match delivery.other_content_type() {
            Some(other) => mask.text(other),
            None => Masked::Text(delivery.content_type().to_owned()),
        },
        lane: delivery.lane_id().is_some(),
        last_change: delivery.last_change().map(|time| time.to_string()),
        ended: record.ended_at().map(|at| When::new(at, now)),
        body: mask.body(delivery),
        jobs: record
            .jobs
            .iter()
            .map(|job| JobRow::new(job, mask, now))
            .collect(),
        replays: replays.map(|replay| replay.id.get()).collect(),
        timeline: of_resource
            .as_deref()
            .map(|found| timeline(found, mask, now)),
        copies: mask.is_lifted().then(|| Copies::new(&record)),
        more: resource.map(|id| Filter::of_resource(id).query(None)),
        may_reveal: request.access.permit::<Revealer>().is_some(),
        may_act: request.access.permit::<Actor>().is_some(),
        row: EventRow::new(&record, mask, now),
    };
    page(&site, &request, &format!("Event {id}"), &shown)
}

/// What happened to these events, in the order of time.
fn timeline(records: &[Record], mask: Mask, now: SystemTime) -> Vec<TimelineEntry> {
    let mut timeline = Vec::new();
    for record in records {
        let delivery = &record.delivery;
        let mut add = |time, handler: &str, what| {
            timeline.push(TimelineEntry {
                time,
                at: When::new(time, now),
                event: record.id.get(),
                event_type: mask.event_type(delivery),
                handler: handler.to_owned(),
                what,
            });
        };
        // A replay has the time at which the original was received.
        if record.replay_of.is_none() {
            add(delivery.received_at(), "", "received".to_owned());
        }
        for job in &record.jobs {
            let name = job.handler.as_str();
            for attempt in &job.history {
                let ended = attempt.began_at.checked_add(attempt.took);
                let ended = ended.unwrap_or(attempt.began_at);
                let (took, error) = (span(attempt.took), mask.ended(&attempt.ended));
                add(ended, name, format!("failed after {took}: {error}"));
            }
            let (time, what) = match job.stage {
                Stage::Running { since } => (since, "began"),
                Stage::Delayed { until } => (until, "next attempt"),
                Stage::Done { at } => (at, "done"),
                Stage::Dead { at } => (at, "dead letter"),
                Stage::Replayed { at } => (at, "handled again, as an event of its own"),
                Stage::Queued | Stage::Held => continue,
            };
            add(time, name, what.to_owned());
        }
    }
    timeline.sort_by_key(|entry| (entry.time, entry.event));
    timeline
}

impl JobRow {
    fn new(job: &JobRecord, mask: Mask, now: SystemTime) -> Self {
        let at = match job.stage {
            Stage::Running { since: at } | Stage::Delayed { until: at } => Some(at),
            stage => stage.ended_at(),
        };
        let history = job.history.iter();
        Self {
            handler: job.handler.as_str().to_owned(),
            stage: job.stage.as_str(),
            at: at.map(|at| When::new(at, now)),
            attempts: job.attempts,
            history: history
                .map(|attempt| AttemptRow {
                    began: When::new(attempt.began_at, now),
                    took: span(attempt.took),
                    ended: mask.ended(&attempt.ended),
                })
                .collect(),
        }
    }
}
