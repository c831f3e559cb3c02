//! Events that share a row.

use super::Keep;
use super::event::Event;

pub(super) struct Chunk {
    /// In order of their numbers. Empty once all of them are finished and none is dead.
    pub(super) events: Vec<Event>,
    pub(super) last_seq: u64,
    pub(super) generation: u64,
    /// Bytes of the bodies in the file.
    pub(super) stored: u64,
    pub(super) has_bodies: bool,
    /// When the last of them was kept: Unix time in milliseconds, as all times here.
    pub(super) newest: u64,
    pub(super) due: Option<u64>,
}

impl Chunk {
    /// When the first and the last of its bodies are over, and whether each of them ever will be.
    pub(super) fn span(&self, keep: Keep) -> Option<(u64, u64)> {
        let bodies = self.events.iter().filter(|event| event.has_body);
        let mut span: Option<(u64, u64)> = None;
        for event in bodies {
            let until = event.wanted_until(keep).unwrap_or(u64::MAX);
            let (first, last) = span.unwrap_or((until, until));
            span = Some((first.min(until), last.max(until)));
        }
        span
    }

    /// Lets go of events that are over and go together.
    pub(super) fn seal(&mut self, keep: Keep) {
        let together = self
            .span(keep)
            .is_none_or(|(first, last)| last - first <= TOGETHER);
        if together && self.events.iter().all(Event::is_over) {
            self.events = Vec::new();
        }
    }

    /// When something of it may be removed.
    pub(super) fn next_due(&self, keep: Keep) -> Option<u64> {
        if !self.has_bodies {
            return Some(self.newest.saturating_add(keep.identities));
        }
        let (first, last) = self.span(keep)?;
        let due = if last - first <= TOGETHER {
            last
        } else {
            first.saturating_add(TOGETHER)
        };
        (due < u64::MAX).then_some(due)
    }

    pub(super) fn event(&mut self, seq: u64) -> Option<&mut Event> {
        let place = self.events.binary_search_by_key(&seq, |event| event.seq);
        self.events.get_mut(place.ok()?)
    }
}

/// Bodies that are over share their row with some that are not. They go together, or at the latest
/// after this time.
const TOGETHER: u64 = 60_000;
