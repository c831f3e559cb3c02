//! What happened to a resource in a time.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::CandidateKind;
use super::candidates::Candidate;
use super::report::CatchUpReport;
use super::requests::{Requests, Stop};
use super::settings::Window;
use crate::catalog::EventType;
use crate::event::Time;
use crate::platform::{PlatformError, PlatformErrorKind, in_query};

/// One event of the history.
pub(super) struct Row {
    pub(super) at: Time,
    event_type: String,
    data: Box<RawValue>,
}

impl Row {
    /// The body of the webhook: `data` byte for byte, never written anew.
    pub(super) fn body(&self) -> Bytes {
        let (name, data) = (json!(self.event_type), self.data.get());
        format!(r#"{{"type":{name},"data":{data}}}"#).into()
    }

    /// Of its resource.
    fn id(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Data {
            id: String,
        }
        let data: Option<Data> = serde_json::from_str(self.data.get()).ok();
        data.map(|data| data.id)
    }

    fn is_copy_of(&self, other: &Self) -> bool {
        (self.at, &self.event_type, self.data.get())
            == (other.at, &other.event_type, other.data.get())
    }
}

#[derive(Deserialize)]
struct Page {
    result: Vec<WireRow>,
    #[serde(default)]
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct WireRow {
    timestamp: Time,
    event_type: String,
    data: Box<RawValue>,
}

/// Types of which the history has something, and the others.
pub(super) fn split(events: Vec<EventType>) -> (Vec<EventType>, Vec<EventType>) {
    events
        .into_iter()
        .partition(|event| CandidateKind::of(event).is_some())
}

/// The events of a candidate that are of these types and happened in the window, the oldest first.
pub(super) async fn read(
    requests: &mut Requests,
    candidate: &Candidate,
    covered: &[EventType],
    window: &Window,
    report: &mut CatchUpReport,
) -> Result<Vec<Row>, Stop> {
    let first = match &candidate.recording {
        None => format!(
            "/v1.0/timelines/{}s/{}/events?page_size=1000",
            candidate.kind.segment(),
            candidate.cursor.id
        ),
        Some((by, _)) => format!("/v1.0/aggregated-events?{by}&page_size=1000"),
    };
    let mut path = first.clone();
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page: Page = match requests.get(&path).await {
            Ok(page) => page,
            Err(Stop::Failed(error)) if report.count(&error) => break,
            Err(stop) => return Err(stop),
        };
        let oldest = page.result.last().map(|row| row.timestamp);
        for row in page.result {
            let row = Row {
                at: row.timestamp,
                event_type: row.event_type,
                data: row.data,
            };
            let event_type = EventType::parse(&row.event_type);
            if !is_within(row.at, window)
                || !covered.contains(&event_type)
                || CandidateKind::of(&event_type) != Some(candidate.kind)
            {
                continue;
            }
            // Rows are aggregated twice, those of others too, and a flow's author may have written
            // some.
            match &candidate.recording {
                None => rows.push(row),
                Some(_) if row.id().as_ref() != Some(&candidate.cursor.id) => {}
                Some((_, today)) if today.get() != row.data.get() => report.unconfirmed += 1,
                Some(_) if rows.iter().any(|other| row.is_copy_of(other)) => {}
                Some(_) => rows.push(row),
            }
        }
        // The oldest is the last one.
        let goes_on = oldest.is_some_and(|oldest| !is_before(oldest, window.from));
        let Some(token) = page.next_page_token.filter(|_| goes_on) else {
            break;
        };
        // Those of the millisecond at its edge may be on no page.
        report.full_pages += 1;
        if in_query(&token).is_none() {
            let error = PlatformError::new(PlatformErrorKind::Unreadable, "a page of the history");
            return Err(Stop::Failed(error));
        }
        path = format!("{first}&page_token={token}");
    }
    rows.reverse();
    Ok(rows)
}

fn is_within(at: Time, window: &Window) -> bool {
    !is_before(at, window.from) && at.to_system_time().is_none_or(|at| at <= window.until)
}

fn is_before(at: Time, time: SystemTime) -> bool {
    at.to_system_time().is_none_or(|at| at < time)
}
