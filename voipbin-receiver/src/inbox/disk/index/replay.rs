//! Dead letters that are handled again.

use super::event::Event;
use super::{Index, Keep};
use crate::inbox::Jobs;
use crate::inbox::disk::record::{EventProgress, JobStage, Progress};

/// Dead letters that are handled again.
#[derive(Clone, Debug)]
pub(crate) struct Replay {
    pub(crate) original: u64,
    pub(crate) handlers: Jobs,
}

impl Replay {
    pub(super) fn apply(&self, events: &[Event], progress: &mut Progress, at: u64) {
        let seq = self.original;
        let event = events.binary_search_by_key(&seq, |event| event.seq);
        let stored = progress.events.binary_search_by_key(&seq, |(seq, _)| *seq);
        let (Ok(event), Ok(stored)) = (event, stored) else {
            return;
        };
        let names = events.get(event).into_iter().flat_map(|event| &event.jobs);
        if let Some((_, EventProgress::Jobs(jobs))) = progress.events.get_mut(stored) {
            for (name, job) in names.zip(jobs) {
                if job.is_dead() && self.handlers.iter().any(|handler| handler == name) {
                    job.stage = JobStage::Replayed { at };
                }
            }
        }
    }
}

impl Index {
    /// What is known of an event is no dead letter any more for these handlers: it was replayed.
    pub(crate) fn replayed(&mut self, replay: &Replay, at: u64, keep: Keep) {
        let found = self.chunks.range_mut(..=replay.original).next_back();
        let Some((key, chunk)) = found else { return };
        let key = *key;
        let Some(event) = chunk.event(replay.original) else {
            return;
        };
        let replayed = event.replay(&replay.handlers, at);
        let resolved = replayed > 0 && !event.is_open() && event.dead_jobs() == 0;
        let bytes = u64::from(event.body_len);
        let due = chunk.next_due(keep);
        self.totals.dead = self.totals.dead.saturating_sub(replayed);
        if resolved {
            self.totals.dead_bytes = self.totals.dead_bytes.saturating_sub(bytes);
            self.schedule(key, due);
        }
    }
}
