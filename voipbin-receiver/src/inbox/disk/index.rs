//! Which events the file holds and how far each of them has come: in memory, as of the last commit
//! and all that was said since.

mod chunk;
mod cleaning;
mod event;
mod notes;
mod replay;

use std::collections::{BTreeMap, BTreeSet};

use self::chunk::Chunk;
pub(super) use self::cleaning::Cleaning;
pub(super) use self::event::{Event, fresh};
use self::event::{Stage, begun, resumed};
use self::notes::Notes;
pub(super) use self::replay::Replay;
use super::record::{Head, Heads, JobProgress, Progress};
use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::Jobs;

/// An event takes about 90 bytes while it is not finished, and some dozens more once a job of it ran;
/// next to nothing after.
#[derive(Default)]
pub(super) struct Index {
    /// By the key of the chunk, which is the number of its first event.
    chunks: BTreeMap<u64, Chunk>,
    /// Chunks whose progress is not as it is stored.
    dirty: BTreeSet<u64>,
    /// When to look at a chunk again, to remove bodies that are not wanted any more.
    due: BTreeSet<(u64, u64)>,
    /// When to forget the identities of one without bodies.
    forget: BTreeSet<(u64, u64)>,
    /// Where to look on for bodies that may go before their time.
    early_from: (u64, u64),
    next_seq: u64,
    /// Jobs for which there is no handler in this process.
    held: BTreeSet<(u64, HandlerName)>,
    /// Attempts that are not stored as yet.
    notes: Notes,
    pub(super) totals: Totals,
}

/// Sums over all events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Events that are not finished, and the bytes of their bodies.
    pub(super) events: usize,
    pub(super) bytes: u64,
    /// Jobs that are dead, and the bytes of the bodies that stay for them.
    pub(super) dead: usize,
    pub(super) dead_bytes: u64,
    /// Bytes of all bodies in the file.
    pub(super) stored: u64,
}

/// What the file holds of a chunk, the bodies aside.
pub(super) struct Row {
    pub(super) key: u64,
    pub(super) heads: Heads,
    /// The handlers of each of the heads.
    pub(super) jobs: Vec<Jobs>,
    pub(super) progress: Option<Progress>,
    pub(super) has_bodies: bool,
}

/// What a change to a job made of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// There is no such job, or it has ended already.
    None,
    /// The event has other jobs that are open, or this one.
    Open,
    /// It was the last one.
    Finished(EventKey, /* marks */ bool),
}

/// How long what is finished stays in the file, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) done: u64,
    pub(super) dead: u64,
    pub(super) identities: u64,
}

impl Index {
    /// Adds a chunk that is in the file.
    pub(super) fn add(&mut self, key: u64, events: Vec<Event>, keep: Keep) {
        self.insert(key, events, 0, true, keep);
    }

    /// Adds a chunk that is found in the file when it is opened. Gives its events to `visit`.
    pub(super) fn load(&mut self, row: Row, keep: Keep, mut visit: impl FnMut(&Event, &Head)) {
        let Row {
            key,
            heads,
            jobs,
            progress,
            has_bodies,
        } = row;
        let generation = progress.as_ref().map_or(0, |progress| progress.generation);
        let mut interrupted = false;
        for (seq, progress) in progress.iter().flat_map(|progress| &progress.events) {
            for (job, attempts, at) in begun(progress) {
                interrupted = true;
                self.note_interrupted(*seq, job, attempts.saturating_add(1), at);
            }
        }
        let events = resumed(&heads, jobs, progress);
        for (event, head) in events.iter().zip(&heads.heads) {
            visit(event, head);
        }
        // One more than is stored: a commit that never came to its end may have used the next.
        self.insert(key, events, generation.saturating_add(1), has_bodies, keep);
        if interrupted {
            self.dirty.insert(key);
        }
    }

    fn insert(
        &mut self,
        key: u64,
        mut events: Vec<Event>,
        generation: u64,
        has_bodies: bool,
        keep: Keep,
    ) {
        if !has_bodies {
            let over = events.iter_mut().filter(|event| !event.is_open());
            over.for_each(Event::forget_body);
        }
        let Some(last) = events.last() else { return };
        let stored = events.iter().map(|event| u64::from(event.body_len)).sum();
        let mut chunk = Chunk {
            last_seq: last.seq,
            generation,
            stored: if has_bodies { stored } else { 0 },
            has_bodies,
            newest: last.kept_at,
            due: None,
            events,
        };
        self.next_seq = self.next_seq.max(chunk.last_seq + 1);
        self.totals.stored += chunk.stored;
        for event in &chunk.events {
            let dead = event.dead_jobs();
            self.totals.dead += dead;
            if event.is_open() {
                self.totals.events += 1;
                self.totals.bytes += u64::from(event.body_len);
            } else if dead > 0 {
                self.totals.dead_bytes += u64::from(event.body_len);
            }
        }
        let due = chunk.next_due(keep);
        chunk.seal(keep);
        self.chunks.insert(key, chunk);
        self.schedule(key, due);
    }

    /// The number of the next event that is kept.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq.max(1)
    }

    /// The key of the chunk that holds this event.
    pub(super) fn key_of(&self, seq: u64) -> Option<u64> {
        let (key, chunk) = self.chunks.range(..=seq).next_back()?;
        (seq <= chunk.last_seq && chunk.has_bodies).then_some(*key)
    }

    /// The first chunk from this number on with events that are not finished, and the number after
    /// its last one.
    pub(super) fn next_open(&self, from: u64) -> Option<(u64, u64)> {
        let first = self
            .chunks
            .range(..=from)
            .next_back()
            .map_or(from, |(key, _)| *key);
        self.chunks
            .range(first..)
            .find(|(_, chunk)| {
                let mut events = chunk.events.iter();
                events.any(|event| event.seq >= from && event.is_open())
            })
            .map(|(key, chunk)| (*key, chunk.last_seq + 1))
    }

    /// The events of a chunk that are not sealed.
    pub(super) fn events(&self, key: u64) -> &[Event] {
        self.chunks.get(&key).map_or(&[], |chunk| &chunk.events)
    }

    /// An event whose chunk is not sealed, whether or not its body is there.
    pub(super) fn event(&self, seq: u64) -> Option<&Event> {
        let (_, chunk) = self.chunks.range(..=seq).next_back()?;
        let place = chunk.events.binary_search_by_key(&seq, |event| event.seq);
        chunk.events.get(place.ok()?)
    }

    /// Changes one job. `change` gives what becomes of it, or `None` to leave it.
    pub(super) fn change(
        &mut self,
        seq: u64,
        handler: &HandlerName,
        keep: Keep,
        change: impl FnOnce(&mut JobProgress),
    ) -> Change {
        let Some((key, chunk)) = self.chunks.range_mut(..=seq).next_back() else {
            return Change::None;
        };
        let key = *key;
        let Some(event) = chunk.event(seq) else {
            return Change::None;
        };
        let Some(place) = event.jobs.iter().position(|name| name == handler) else {
            return Change::None;
        };
        let mut jobs = match std::mem::replace(&mut event.stage, Stage::Fresh) {
            Stage::Fresh => vec![fresh(); event.jobs.len()].into_boxed_slice(),
            Stage::Open(jobs) => jobs,
            ended => {
                event.stage = ended;
                return Change::None;
            }
        };
        match jobs.get_mut(place) {
            Some(job) if !job.has_ended() => {
                change(job);
                if job.is_dead() {
                    self.totals.dead += 1;
                }
            }
            _ => {
                event.stage = Stage::Open(jobs);
                return Change::None;
            }
        }
        event.stage = Stage::of(jobs);
        self.dirty.insert(key);
        if event.is_open() {
            return Change::Open;
        }
        let (identity, marks, bytes) = (event.identity, event.marks, u64::from(event.body_len));
        self.totals.events = self.totals.events.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
        if event.dead_jobs() > 0 {
            self.totals.dead_bytes += bytes;
        }
        let due = chunk.next_due(keep);
        self.schedule(key, due);
        Change::Finished(identity, marks)
    }

    /// Gives an event up, with all of its jobs and dead letters. Nothing changes for one that was
    /// given up before, or that is finished and whose body is gone.
    pub(super) fn discard(&mut self, seq: u64, now: u64, keep: Keep) -> Change {
        let Some((key, chunk)) = self.chunks.range_mut(..=seq).next_back() else {
            return Change::None;
        };
        let key = *key;
        let has_bodies = chunk.has_bodies;
        let Some(event) = chunk.event(seq) else {
            return Change::None;
        };
        let gone = matches!(event.stage, Stage::Discarded { .. })
            || (event.is_over() && !(has_bodies && event.has_body));
        if gone {
            return Change::None;
        }
        let (bytes, dead, was_open) = (
            u64::from(event.body_len),
            event.dead_jobs(),
            event.is_open(),
        );
        let change = if was_open {
            self.totals.events = self.totals.events.saturating_sub(1);
            self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
            Change::Finished(event.identity, event.marks)
        } else {
            Change::Open
        };
        self.totals.dead = self.totals.dead.saturating_sub(dead);
        if !was_open && dead > 0 {
            self.totals.dead_bytes = self.totals.dead_bytes.saturating_sub(bytes);
        }
        event.stage = Stage::Discarded { at: now };
        self.held.retain(|(held, _)| *held != seq);
        self.dirty.insert(key);
        let due = chunk.next_due(keep);
        self.forget_attempts(seq);
        self.schedule(key, due);
        change
    }

    /// Takes the chunks whose progress must be stored, each with it: with what these replays make of
    /// it, which is not so before they are stored.
    pub(super) fn take_dirty(&mut self, replays: &[Replay], at: u64) -> Vec<(u64, Progress)> {
        for replay in replays {
            let event = self.event(replay.original);
            if event.is_some_and(|event| event.dead().next().is_some())
                && let Some(key) = self.key_of(replay.original)
            {
                self.dirty.insert(key);
            }
        }
        let dirty = std::mem::take(&mut self.dirty);
        let mut rows = Vec::with_capacity(dirty.len());
        for key in dirty {
            let Some(chunk) = self.chunks.get_mut(&key) else {
                continue;
            };
            chunk.generation += 1;
            let events = chunk.events.iter();
            let mut progress = Progress {
                generation: chunk.generation,
                events: events
                    .filter_map(|event| Some((event.seq, event.progress()?)))
                    .collect(),
            };
            for replay in replays {
                replay.apply(&chunk.events, &mut progress, at);
            }
            rows.push((key, progress));
        }
        rows
    }

    /// These are stored: what is over is let go of.
    pub(super) fn stored(&mut self, keys: impl Iterator<Item = u64>, keep: Keep) {
        for key in keys {
            // What was changed since is stored with the next commit.
            if !self.dirty.contains(&key)
                && let Some(chunk) = self.chunks.get_mut(&key)
            {
                chunk.seal(keep);
            }
        }
    }

    /// These are not stored after all.
    pub(super) fn unstored(&mut self, keys: impl Iterator<Item = u64>) {
        self.dirty.extend(keys);
    }

    /// There is no handler for this job.
    pub(super) fn hold(&mut self, seq: u64, handler: &HandlerName) {
        self.held.insert((seq, handler.clone()));
    }

    /// The jobs that were held and are still to be run, each with how far it has come. They are held
    /// no more.
    pub(super) fn take_held(&mut self) -> Vec<(u64, HandlerName, JobProgress)> {
        let held = std::mem::take(&mut self.held);
        let open = |(seq, handler): (u64, HandlerName)| {
            let mut jobs = self.event(seq)?.open_jobs().into_iter();
            let (_, handler, job) = jobs.find(|(_, name, _)| *name == handler)?;
            Some((seq, handler, job))
        };
        held.into_iter().filter_map(open).collect()
    }

    /// Whether there is no handler for this job.
    pub(super) fn is_held(&self, seq: u64, handler: &HandlerName) -> bool {
        !self.held.is_empty() && self.held.contains(&(seq, handler.clone()))
    }

    /// Whether a row with this key was committed and is not gone.
    pub(super) fn has(&self, key: u64) -> bool {
        self.chunks.contains_key(&key)
    }

    /// How many jobs there are without a handler.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether this job is still to be run.
    pub(super) fn wants(&self, seq: u64, handler: &HandlerName) -> bool {
        let key = self.key_of(seq);
        let events = key.map_or(&[][..], |key| self.events(key));
        let event = events.iter().find(|event| event.seq == seq);
        event.is_some_and(|event| event.open_jobs().iter().any(|(_, name, _)| name == handler))
    }

    /// Whether all events of this chunk are finished and it is not known any more which they are.
    pub(super) fn is_sealed(&self, key: u64) -> bool {
        let chunk = self.chunks.get(&key);
        chunk.is_some_and(|chunk| chunk.events.is_empty())
    }

    /// Takes the events of a sealed chunk back.
    pub(super) fn unseal(
        &mut self,
        key: u64,
        heads: &Heads,
        jobs: Vec<Jobs>,
        progress: Option<Progress>,
    ) {
        if let Some(chunk) = self.chunks.get_mut(&key)
            && chunk.events.is_empty()
        {
            chunk.events = resumed(heads, jobs, progress);
        }
    }
}

#[cfg(test)]
mod tests;
