//! Which resources may have changed in a time.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::CandidateKind;
use super::known::Known;
use super::requests::{Requests, Stop};
use super::settings::Window;
use crate::catalog::EventType;
use crate::event::Time;
use crate::platform::in_path;

/// A resource that may have changed.
pub(super) struct Candidate {
    pub(super) kind: CandidateKind,
    pub(super) cursor: Cursor,
    /// What its history is asked by, and what it is today, where the history alone is not to be
    /// believed.
    pub(super) recording: Option<(String, Box<RawValue>)>,
}

impl Candidate {
    /// When it can have an event at the earliest.
    pub(super) fn earliest(&self) -> Time {
        /// Lists and timelines are written by different parts of the platform.
        const SLACK: Duration = Duration::from_secs(60);
        let made = self.cursor.created.as_unix_nanos();
        let earliest = Time::from_unix_nanos(made.saturating_sub_unsigned(SLACK.as_nanos()));
        earliest.unwrap_or(Time::EPOCH)
    }
}

/// Where a candidate comes among others: by when it was made, those last that no list has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Cursor {
    unlisted: bool,
    created: Time,
    pub(super) id: String,
}

#[derive(Deserialize)]
struct Page {
    result: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    tm_create: Time,
    #[serde(default)]
    activeflow_id: String,
    #[serde(default)]
    reference_type: String,
    #[serde(default)]
    reference_id: String,
}

impl Item {
    /// By what the events of a recording are asked for.
    fn aggregate(&self) -> Option<String> {
        let (by, id) = match &*self.reference_type {
            "call" => ("call_id", &self.reference_id),
            _ => ("activeflow_id", &self.activeflow_id),
        };
        Some(format!("{by}={}", in_path(id).ok()?))
    }
}

/// The candidates, those that were made first before others.
pub(super) async fn find(
    requests: &mut Requests,
    covered: &[EventType],
    known: &Known,
    window: &Window,
) -> Result<Vec<Candidate>, Stop> {
    let mut candidates = Vec::new();
    for kind in CandidateKind::ALL {
        if covered
            .iter()
            .any(|event| CandidateKind::of(event) == Some(kind))
        {
            list(requests, kind, window, &mut candidates).await?;
        }
    }
    let listed: HashSet<&str> = candidates.iter().map(|found| &*found.cursor.id).collect();
    let unlisted = known.resources().filter(|(_, id)| !listed.contains(id));
    // Without its list, a recording is confirmed by nothing.
    let unlisted = unlisted.filter(|(kind, _)| *kind != CandidateKind::Recording);
    let unlisted = unlisted.map(|(kind, id)| Candidate {
        kind,
        cursor: Cursor {
            unlisted: true,
            created: Time::EPOCH,
            id: id.to_owned(),
        },
        recording: None,
    });
    let unlisted: Vec<Candidate> = unlisted.collect();
    candidates.extend(unlisted);
    candidates.retain(|candidate| in_path(&candidate.cursor.id).is_ok());
    candidates.sort_by(|one, other| one.cursor.cmp(&other.cursor));
    if let Some(after) = &window.after {
        candidates.retain(|candidate| candidate.cursor >= *after);
    }
    Ok(candidates)
}

/// The list of a kind from the end of the window back, newest first.
async fn list(
    requests: &mut Requests,
    kind: CandidateKind,
    window: &Window,
    found: &mut Vec<Candidate>,
) -> Result<(), Stop> {
    let first = window.from.checked_sub(kind.look_back());
    let first = time(first.unwrap_or(SystemTime::UNIX_EPOCH));
    let mut token = time(window.until);
    let mut seen = HashSet::new();
    loop {
        let path = format!("/v1.0/{}s?page_size=100&page_token={token}", kind.segment());
        let page: Page = requests.get(&path).await?;
        let mut last = None;
        for raw in page.result {
            // What has no id or no time cannot be asked about.
            let Ok(item) = serde_json::from_str::<Item>(raw.get()) else {
                continue;
            };
            last = Some(item.tm_create);
            if item.tm_create < first {
                return Ok(());
            }
            if !seen.insert(item.id.clone()) {
                continue;
            }
            let recording = match kind {
                CandidateKind::Recording => match item.aggregate() {
                    Some(by) => Some((by, raw)),
                    None => continue,
                },
                _ => None,
            };
            found.push(Candidate {
                kind,
                cursor: Cursor {
                    unlisted: false,
                    created: item.tm_create,
                    id: item.id,
                },
                recording,
            });
        }
        // Of several that were made at one time, those beyond the page come with the next one.
        match last {
            Some(last) if after(last) < token => token = after(last),
            Some(last) if last < token => token = last,
            _ => return Ok(()),
        }
    }
}

/// The least time after this one that a token tells.
fn after(time: Time) -> Time {
    Time::from_unix_nanos(time.as_unix_nanos() + 1_000).unwrap_or(time)
}

fn time(time: SystemTime) -> Time {
    Time::try_from(time).unwrap_or(Time::EPOCH)
}
