use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::candidates::{Candidate, Cursor};
use super::requests::Stop;
use super::settings::Window;
use crate::catalog::EventType;
use crate::event::Time;
use crate::platform::{PlatformError, PlatformErrorKind};

/// What a catch-up looked at and what came of it. It cannot tell what the history does not have.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CatchUpReport {
    /// The time that was looked at, with its margin.
    pub from: SystemTime,
    /// The end of that time.
    pub until: SystemTime,
    /// Requests that were made.
    pub requests: u32,
    /// Resources that may have changed.
    pub candidates: usize,
    /// Events that were kept, or would have been in a dry run.
    pub recovered: usize,
    /// Events that the inbox knew.
    pub known: usize,
    /// Events that no handler took, after all.
    pub unmatched: usize,
    /// Events that nothing confirms: states of recordings that are not their last, and what
    /// somebody may have forged.
    pub unconfirmed: usize,
    /// Resources whose history the platform refuses, as those that are deleted.
    pub refused: usize,
    /// Resources whose history the platform failed to read.
    pub unavailable: usize,
    /// Pages of timelines at whose edge events may be missing.
    pub full_pages: usize,
    /// Types of events with handlers that no history covers, or none that is confirmed.
    pub uncovered: Vec<EventType>,
    /// Where to go on, when it stopped before its end: for
    /// [`CatchUp::resume`](super::CatchUp::resume).
    pub checkpoint: Option<Checkpoint>,
    /// Why it stopped, where that was not the budget.
    pub stopped_by: Option<PlatformErrorKind>,
}

/// Where a catch-up stopped, to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub(super) since: Time,
    pub(super) until: Time,
    /// What is before this was asked about.
    pub(super) after: Cursor,
}

impl CatchUpReport {
    pub(super) fn new(window: &Window) -> Self {
        Self {
            from: window.from,
            until: window.until,
            requests: 0,
            candidates: 0,
            recovered: 0,
            known: 0,
            unmatched: 0,
            unconfirmed: 0,
            refused: 0,
            unavailable: 0,
            full_pages: 0,
            uncovered: Vec::new(),
            checkpoint: None,
            stopped_by: None,
        }
    }

    /// Counts a refusal that is about one resource. False for one that is about all.
    pub(super) fn count(&mut self, error: &PlatformError) -> bool {
        match error.kind() {
            PlatformErrorKind::Conflict
            | PlatformErrorKind::NotFound
            | PlatformErrorKind::TooLarge => self.refused += 1,
            PlatformErrorKind::Unavailable => self.unavailable += 1,
            _ => return false,
        }
        true
    }

    /// It stops before this candidate.
    pub(super) fn stopped(&mut self, stop: &Stop, candidate: &Candidate) {
        let time = |time| Time::try_from(time).unwrap_or(Time::EPOCH);
        self.checkpoint = Some(Checkpoint {
            since: time(self.from),
            until: time(self.until),
            after: candidate.cursor.clone(),
        });
        self.stopped_by = match stop {
            Stop::Budget => None,
            Stop::Failed(error) => Some(error.kind()),
        };
    }
}

impl fmt::Display for CatchUpReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            candidates,
            requests,
            recovered,
            known,
            ..
        } = self;
        write!(
            f,
            "{recovered} events recovered, {known} were known; {candidates} resources, {requests} requests"
        )?;
        for (count, what) in [
            (self.unmatched, "events that no handler took"),
            (self.unconfirmed, "events that nothing confirms"),
            (self.refused, "resources whose history is refused"),
            (self.unavailable, "resources whose history failed"),
            (
                self.full_pages,
                "full pages, at whose edge events may be missing",
            ),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        if !self.uncovered.is_empty() {
            let names: Vec<&str> = self.uncovered.iter().map(EventType::as_str).collect();
            write!(f, "; not covered: {}", names.join(", "))?;
        }
        match (&self.checkpoint, self.stopped_by) {
            (Some(_), Some(kind)) => write!(f, "; it stopped before its end: {kind:?}"),
            (Some(_), None) => f.write_str("; it stopped before its end, at its budget"),
            (None, _) => Ok(()),
        }
    }
}
