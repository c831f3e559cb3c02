//! Attempts that ended badly and are not stored as yet.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::Index;
use crate::handler::HandlerName;
use crate::inbox::disk::record::{AttemptEnd, AttemptId, AttemptRecord};

/// By the number of the event.
pub(super) type Notes = BTreeMap<(u64, AttemptId), Note>;

pub(super) struct Note {
    record: AttemptRecord,
    /// Whether the index counts it: then it is stored with the next commit, together with the count.
    counts: bool,
}

impl Index {
    /// An attempt has ended badly. It gets its number and is known from here on, and counts when it is
    /// [counted](Self::count). `None` when there is no such job that is open.
    pub(crate) fn note(
        &mut self,
        seq: u64,
        handler: &HandlerName,
        record: AttemptRecord,
    ) -> Option<u32> {
        let mut open = self.event(seq)?.open_jobs().into_iter();
        let (job, _, progress) = open.find(|(_, name, _)| name == handler)?;
        let of_job = |number| (seq, AttemptId { job, number });
        let noted = self.notes.range(of_job(0)..=of_job(u32::MAX)).next_back();
        let last = noted
            .map_or(0, |((_, id), _)| id.number)
            .max(progress.attempts);
        let number = last.saturating_add(1);
        let counts = false;
        self.notes.insert(of_job(number), Note { record, counts });
        Some(number)
    }

    /// The process died during this attempt.
    pub(super) fn note_interrupted(&mut self, seq: u64, job: u16, number: u32, at: u64) {
        let record = AttemptRecord {
            at,
            millis: 0,
            ended: AttemptEnd::Interrupted,
        };
        let (id, counts) = (AttemptId { job, number }, true);
        self.notes.insert((seq, id), Note { record, counts });
    }

    /// The attempt is counted, or is not and will not be.
    pub(crate) fn count(&mut self, seq: u64, handler: &HandlerName, number: u32, counts: bool) {
        let Some(id) = self.attempt_id(seq, handler, number) else {
            return;
        };
        if !counts {
            self.notes.remove(&(seq, id));
        } else if let Some(note) = self.notes.get_mut(&(seq, id)) {
            note.counts = true;
        }
    }

    fn attempt_id(&self, seq: u64, handler: &HandlerName, number: u32) -> Option<AttemptId> {
        let job = self.event(seq)?.place_of(handler)?;
        Some(AttemptId { job, number })
    }

    /// What is noted of the attempts at these events.
    pub(crate) fn noted(&self, seqs: RangeInclusive<u64>) -> Vec<(u64, AttemptId, AttemptRecord)> {
        let (first, last) = (*all(*seqs.start()).start(), *all(*seqs.end()).end());
        let notes = self.notes.range(first..=last);
        notes
            .map(|((seq, id), note)| (*seq, *id, note.record.clone()))
            .collect()
    }

    /// What is to be stored, by event.
    pub(crate) fn counted(&self) -> BTreeMap<u64, Vec<(AttemptId, AttemptRecord)>> {
        let mut counted = BTreeMap::<u64, Vec<_>>::new();
        for ((seq, id), note) in &self.notes {
            if note.counts {
                let of_event = counted.entry(*seq).or_default();
                of_event.push((*id, note.record.clone()));
            }
        }
        counted
    }

    /// These are stored.
    pub(crate) fn attempts_stored(&mut self, stored: &[(u64, AttemptId)]) {
        for note in stored {
            self.notes.remove(note);
        }
    }

    /// Nobody wants to know of this event any more.
    pub(super) fn forget_attempts(&mut self, seq: u64) {
        let of_event = self.notes.range(all(seq)).map(|(note, _)| *note);
        let of_event: Vec<_> = of_event.collect();
        self.attempts_stored(&of_event);
    }
}

fn all(seq: u64) -> RangeInclusive<(u64, AttemptId)> {
    let at = |job, number| (seq, AttemptId { job, number });
    at(0, 0)..=at(u16::MAX, u32::MAX)
}
