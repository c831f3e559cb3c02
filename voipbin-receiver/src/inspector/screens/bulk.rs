//! All dead letters that a filter takes: looked at, and then handled again or discarded together.

use std::time::{Duration, SystemTime};

use askama::Template;

use super::events::EventRow;
use super::text::When;
use super::{Answer, Call, Problem, page};
use crate::event::RecordId;
use crate::inbox::RecordsError;
use crate::inspector::access::{Actor, Revealer};
use crate::inspector::bulk::{
    self, Action, BulkError, Confirmed, End, Found, MOST_RATE, RATE, Status,
};
use crate::inspector::filter::Filter;
use crate::inspector::mask::Mask;
use crate::inspector::response::PageResponse;
use crate::inspector::site::Site;

/// How long they are counted.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "inspector/bulk.html")]
struct BulkPage {
    root: &'static str,
    status: Option<StatusRow>,
    /// Whether the inbox keeps one that this version cannot read.
    is_unreadable: bool,
    filter: String,
    preview: Option<DryRun>,
}

/// The one that is under way, or was the last one.
pub(super) struct StatusRow {
    pub(super) status: Status,
    pub(super) filter: String,
    pub(super) began: When,
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
pub(super) async fn status(site: &Site, mask: Mask) -> Result<Option<StatusRow>, Problem> {
    let status = site.bulk.status(site.receiver.records()).await?;
    Ok(status.map(|status| StatusRow {
        filter: mask.text(&status.filter).to_string(),
        began: When::new(status.began, site.now()),
        status,
    }))
}

impl StatusRow {
    pub(super) fn is_running(&self) -> bool {
        self.status.end.is_none()
    }

    fn end(&self) -> Option<&'static str> {
        self.status.end.map(|end| match end {
            End::Done => "is done",
            End::Cancelled => "was cancelled",
            End::TakenOver => "went on in another process",
            End::Shutdown => "ended with the receiver: the next process goes on with it",
        })
    }
}

fn filter(text: &str, site: &Site) -> Result<Filter, Problem> {
    let filter = text.parse::<Filter>();
    let filter = filter.map_err(|error| Problem::Bad(error.to_string()))?;
    Ok(filter.dead(site.now()))
}

pub(super) async fn preview(call: Call<Actor>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let records = site.records_to_change(&permit);
    let records = records.ok_or_else(RecordsError::unsupported)?;
    let reveal = request.access.permit::<Revealer>();
    let reveal = reveal.ok_or(Problem::NotAllowed)?;
    let (filter, preview) = match request.query("action").map(Action::parse) {
        None => (Filter::default(), None),
        Some(None) => return Err(Problem::Bad("action is retry or discard.".into())),
        Some(Some(action)) => {
            let filter = filter(request.query("q").unwrap_or_default(), &site)?;
            if filter.looks_into_bodies() {
                site.reveal(&reveal, None);
            }
            let wanted = filter.all_records(site.now(), &reveal);
            let found = bulk::find(records, &wanted, action, None, LIMIT).await?;
            (filter, Some(DryRun::new(action, found, site.now())))
        }
    };
    let status = status(&site, Mask::lifted(&reveal)).await?;
    let shown = BulkPage {
        root: request.root,
        is_unreadable: status.is_none() && records.note().await?.is_some(),
        status,
        filter: filter.to_string(),
        preview,
    };
    page(&site, &request, "Retry or discard", &shown)
}

impl DryRun {
    fn new(action: Action, found: Found, now: SystemTime) -> Self {
        let handlers = found.handlers.into_iter();
        let rows = found.sample.iter();
        Self {
            action,
            count: found.ids.len(),
            is_part: found.is_part,
            upto: found.ids.last().map_or(0, |last| last.get()),
            handlers: handlers
                .map(|(name, count)| (name.as_str().to_owned(), count))
                .collect(),
            rows: rows
                .map(|record| EventRow::new(record, Mask::on(), now))
                .collect(),
            rate: RATE,
            most_rate: MOST_RATE,
        }
    }
}

pub(super) async fn start(call: Call<Actor>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let bad = |what: &str| Problem::Bad(format!("The form has no {what}."));
    let number = |name: &str| request.form(name)?.parse::<u64>().ok();
    let action = request.form("action").and_then(Action::parse);
    let rate = number("rate").ok_or_else(|| bad("rate"))?;
    let upto = number("upto").ok_or_else(|| bad("upto"))?;
    let confirmed = Confirmed {
        action: action.ok_or_else(|| bad("action"))?,
        filter: filter(request.form("q").unwrap_or_default(), &site)?,
        upto: RecordId::new(upto),
        rate: u32::try_from(rate).unwrap_or(MOST_RATE),
    };
    // It begins although whoever has confirmed it hangs up.
    let started = tokio::spawn(async move {
        let bulk = &site.bulk;
        bulk.start(&site.receiver, &confirmed, site.now(), &permit)
            .await?;
        let told = match confirmed.action {
            Action::Retry => "retry all",
            Action::Discard => "discard all",
        };
        site.acted(&permit, told, None);
        Ok::<(), BulkError>(())
    });
    match started.await {
        Ok(started) => started?,
        Err(_) => return Err(Problem::Busy("It has not begun.")),
    }
    Ok(PageResponse::see_other(format!("{}bulk", request.root)))
}

pub(super) async fn cancel(call: Call<Actor>) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    site.bulk.cancel(&site.receiver, &permit).await?;
    site.acted(&permit, "cancel", None);
    Ok(PageResponse::see_other(format!("{}bulk", request.root)))
}

impl From<BulkError> for Problem {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Busy => Self::Conflict(
                "Dead letters are being retried or discarded already: wait for that, or cancel it.",
            ),
            BulkError::Empty => Self::Conflict("None of these is a dead letter any more."),
            BulkError::Records(error) => Self::Records(error),
        }
    }
}
