//! The events that a filter takes, the latest first.

use std::time::Duration;

use askama::Template;
use tokio::time::timeout;

use super::text::{When, bytes};
use super::{Answer, Call, Problem, before, page};
use crate::inbox::{Durability, Record};
use crate::inspector::access::{Actor, Reader, Revealer};
use crate::inspector::filter::Filter;
use crate::inspector::mask::Mask;

/// How many are on a page.
const MOST: usize = 50;

/// How long they are looked for.
const LIMIT: Duration = Duration::from_secs(20);

const TOO_MANY: &str = "There are more events than can be looked through in 20 seconds: say which \
                        by since:, type:, state: or handler: too.";

#[derive(Template)]
#[template(path = "inspector/events.html")]
struct EventsPage {
    root: &'static str,
    filter: String,
    told: Option<String>,
    can_list: bool,
    in_memory: bool,
    rows: Vec<EventRow>,
    /// Where these are not the latest.
    latest: Option<String>,
    older: Option<String>,
    /// For those who may reveal.
    export: Option<String>,
    /// For those who may act, where the filter takes dead letters.
    bulk: Option<String>,
}

/// An event in a list.
pub(super) struct EventRow {
    pub(super) id: u64,
    pub(super) received: When,
    pub(super) event_type: String,
    pub(super) resource: Option<String>,
    pub(super) state: &'static str,
    pub(super) origin: &'static str,
    pub(super) replay_of: Option<u64>,
    pub(super) size: String,
    /// Each handler, and how far it has come.
    pub(super) jobs: Vec<(String, &'static str)>,
}

impl EventRow {
    pub(super) fn new(record: &Record, mask: Mask, now: std::time::SystemTime) -> Self {
        let delivery = &record.delivery;
        let jobs = record.jobs.iter();
        Self {
            id: record.id.get(),
            received: When::new(delivery.received_at(), now),
            event_type: mask.event_type(delivery),
            resource: mask.resource(delivery),
            state: record.state.as_str(),
            origin: delivery.origin().as_str(),
            replay_of: record.replay_of.map(|original| original.get()),
            size: bytes(delivery.body().len() as u64),
            jobs: jobs
                .map(|job| (job.handler.as_str().to_owned(), job.stage.as_str()))
                .collect(),
        }
    }
}

pub(super) async fn events(call: Call<Reader>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let now = site.now();
    let before = before(&request)?;
    let text = request.query("q").unwrap_or_default();
    let (filter, told) = match text.parse::<Filter>() {
        Ok(filter) => (filter, None),
        Err(error) => (Filter::default(), Some(error.to_string())),
    };
    let wanted = if filter.looks_into_bodies() {
        let permit = request.access.permit::<Revealer>();
        let permit = permit.ok_or(Problem::NotAllowed)?;
        site.reveal(&permit, None);
        filter.all_records(now, &permit)
    } else {
        filter.records(now)
    };
    let records = site.records(&permit);
    let found = match records {
        Some(records) if told.is_none() => {
            let found = timeout(LIMIT, records.latest(&wanted, before, MOST)).await;
            Some(found.map_err(|_| Problem::Busy(TOO_MANY))??)
        }
        _ => None,
    };
    let next = found.as_ref().and_then(|page| page.next);
    let found = found.map(|page| page.records).unwrap_or_default();
    let guarantees = site.receiver.dispatch().inbox.guarantees();
    let events = EventsPage {
        root: request.root,
        filter: match told {
            Some(_) => text.to_owned(),
            None => filter.to_string(),
        },
        told,
        can_list: records.is_some(),
        in_memory: guarantees.durability == Durability::Process,
        rows: found
            .iter()
            .map(|record| EventRow::new(record, Mask::on(), now))
            .collect(),
        export: (request.access.permit::<Revealer>().is_some() && !found.is_empty())
            .then(|| filter.query(None)),
        bulk: (request.access.permit::<Actor>().is_some() && filter.is_of_dead())
            .then(|| filter.query(None)),
        latest: before.map(|_| filter.query(None)),
        older: next.map(|next| filter.query(Some(next.get()))),
    };
    page(&site, &request, "Events", &events)
}
