//! All dead letters that a filter takes: looked at, and then handled again or discarded together.

use std::time::Duration;

use askama::Template;

use super::events::EventRow;
use super::text::When;
use super::{Endpoint, Problem, page};
use crate::inspector::access::{Actor, Permit, Revealer};
use crate::inspector::bulk::{self, Action, BulkError, Confirmed, End, MOST_RATE, RATE};
use crate::inspector::filter::Filter;
use crate::inspector::mask::Mask;
use crate::inspector::request::Request;
use crate::inspector::response::PageResponse;
use crate::inspector::site::Site;

pub(super) struct Preview;
pub(super) struct Start;
pub(super) struct Cancel;

/// How long they are counted.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "inspector/bulk.html")]
struct BulkPage {
    root: &'static str,
    status: Option<StatusRow>,
    /// Whether one is under way that this process knows nothing of.
    is_elsewhere: bool,
    filter: String,
    preview: Option<DryRun>,
}

/// The one that is under way, or was the last one.
pub(super) struct StatusRow {
    pub(super) action: &'static str,
    pub(super) filter: String,
    pub(super) rate: u32,
    pub(super) began: When,
    pub(super) total: usize,
    pub(super) passed: usize,
    pub(super) done: usize,
    pub(super) trouble: Option<String>,
    pub(super) end: Option<&'static str>,
}

/// What would be done.
struct DryRun {
    action: Action,
    count: usize,
    is_part: bool,
    /// The last event of them.
    upto: u64,
    handlers: Vec<(String, usize)>,
    rows: Vec<EventRow>,
    rate: u32,
    most_rate: u32,
}

/// How far the last one has come, without the filter where it may not be seen.
pub(super) fn status(site: &Site, mask: Mask) -> Option<StatusRow> {
    let status = site.bulk.status()?;
    Some(StatusRow {
        action: status.action.as_str(),
        filter: mask.text(&status.filter).to_string(),
        rate: status.rate,
        began: When::new(status.began, site.now()),
        total: status.total,
        passed: status.passed,
        done: status.done,
        trouble: status.trouble,
        end: status.end.map(|end| match end {
            End::Done => "is done",
            End::Cancelled => "was cancelled",
            End::Shutdown => "ended with the receiver: the next process goes on with it",
        }),
    })
}

fn filter(text: &str, site: &Site) -> Result<Filter, Problem> {
    let filter = text.parse::<Filter>();
    let filter = filter.map_err(|error| Problem::Bad(error.to_string()))?;
    Ok(filter.dead(site.now()))
}

impl Endpoint for Preview {
    type Needs = Actor;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Actor>,
    ) -> Result<PageResponse, Problem> {
        let now = site.now();
        let records = site.records_to_change(&permit);
        let records = records.ok_or(Problem::Conflict(UNSUPPORTED))?;
        let reveal = asked.access.permit::<Revealer>();
        let reveal = reveal.ok_or(Problem::NotAllowed)?;
        let action = asked.query("action").map(Action::parse);
        let (filter, preview) = match action {
            None => (Filter::default(), None),
            Some(None) => return Err(Problem::Bad("action is retry or discard.".into())),
            Some(Some(action)) => {
                let filter = filter(asked.query("q").unwrap_or_default(), site)?;
                if filter.looks_into_bodies() {
                    site.reveal(&reveal, None);
                }
                let wanted = filter.all_records(now, &reveal);
                let found = bulk::find(records, &wanted, action, None, PATIENCE).await?;
                let rows = found.sample.iter();
                let dry_run = DryRun {
                    action,
                    count: found.ids.len(),
                    is_part: found.is_part,
                    upto: found.ids.last().map_or(0, |last| last.get()),
                    handlers: found
                        .handlers
                        .into_iter()
                        .map(|(name, count)| (name.as_str().to_owned(), count))
                        .collect(),
                    rows: rows
                        .map(|record| EventRow::new(record, Mask::on(), now))
                        .collect(),
                    rate: RATE,
                    most_rate: MOST_RATE,
                };
                (filter, Some(dry_run))
            }
        };
        let shown = BulkPage {
            root: asked.root,
            status: status(site, Mask::lifted(&reveal)),
            is_elsewhere: !site.bulk.is_running() && records.note().await?.is_some(),
            filter: filter.to_string(),
            preview,
        };
        page(site, asked, "Retry or discard", &shown)
    }
}

impl Endpoint for Start {
    type Needs = Actor;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Actor>,
    ) -> Result<PageResponse, Problem> {
        let bad = |what: &str| Problem::Bad(format!("The form has no {what}."));
        let number = |name: &str| asked.form(name).and_then(|text| text.parse::<u64>().ok());
        let action = asked.form("action").and_then(Action::parse);
        let rate = number("rate").ok_or_else(|| bad("rate"))?;
        let confirmed = Confirmed {
            action: action.ok_or_else(|| bad("action"))?,
            filter: filter(asked.form("q").unwrap_or_default(), site)?,
            upto: number("upto")
                .map(crate::event::RecordId::new)
                .ok_or_else(|| bad("upto"))?,
            rate: u32::try_from(rate).unwrap_or(MOST_RATE),
        };
        let started = site
            .bulk
            .start(&site.receiver, &confirmed, site.now(), &permit);
        started.await?;
        let told = match confirmed.action {
            Action::Retry => "retry all",
            Action::Discard => "discard all",
        };
        site.acted(&permit, told, None);
        Ok(PageResponse::see_other(format!("{}bulk", asked.root)))
    }
}

impl Endpoint for Cancel {
    type Needs = Actor;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Actor>,
    ) -> Result<PageResponse, Problem> {
        site.bulk.cancel(&site.receiver, &permit).await?;
        site.acted(&permit, "cancel", None);
        Ok(PageResponse::see_other(format!("{}bulk", asked.root)))
    }
}

const UNSUPPORTED: &str = "This inbox cannot keep what is to be done with many events.";

impl From<BulkError> for Problem {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Busy => Self::Conflict(
                "Dead letters are being retried or discarded already: wait for that, or cancel it.",
            ),
            BulkError::Empty => Self::Conflict("None of these is a dead letter any more."),
            BulkError::Unsupported => Self::Conflict(UNSUPPORTED),
            BulkError::Records(error) => Self::Records(error),
        }
    }
}
