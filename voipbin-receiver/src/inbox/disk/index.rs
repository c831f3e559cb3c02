//! Which events the file holds and how far each of them has come: in memory, as of the last commit
//! and all that was said since.

use std::collections::{BTreeMap, BTreeSet};

use super::convert::add_record;
use super::record::{AttemptRecord, EventProgress, Head, Heads, JobProgress, JobStage, Progress};
use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::Jobs;

/// An event takes about 80 bytes while it is not finished, and next to nothing after.
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

struct Chunk {
    /// In order of their numbers. Empty once all of them are finished and none is dead.
    events: Vec<Event>,
    last_seq: u64,
    generation: u64,
    /// Bytes of the bodies in the file.
    stored: u64,
    has_bodies: bool,
    /// When the last of them was kept: Unix time in milliseconds, as all times here.
    newest: u64,
    due: Option<u64>,
}

pub(super) struct Event {
    pub(super) seq: u64,
    pub(super) identity: EventKey,
    pub(super) kept_at: u64,
    pub(super) body_len: u32,
    pub(super) marks: bool,
    /// Whether its body is still in the file.
    has_body: bool,
    pub(super) jobs: Jobs,
    stage: Stage,
}

enum Stage {
    Fresh,
    /// One for each job.
    Open(Box<[JobProgress]>),
    /// As [`Stage::Open`]; each is done or dead, and at least one is dead.
    Dead {
        jobs: Box<[JobProgress]>,
        at: u64,
    },
    Finished {
        at: u64,
    },
    Discarded {
        at: u64,
    },
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

/// What may be removed of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cleaning {
    /// Nothing as yet.
    Nothing,
    /// All bodies, while the identities are still remembered.
    Bodies,
    /// The bodies of all events but these.
    BodiesBut(Vec<u64>),
    /// Everything.
    All,
}

impl Event {
    pub(super) fn new(head: &Head, jobs: Jobs) -> Self {
        Self {
            seq: head.seq,
            identity: head.identity,
            kept_at: head.kept_at,
            body_len: head.body_len,
            marks: head.marks,
            has_body: true,
            // An event for nobody is finished as it comes: its identity is all that is kept.
            stage: if jobs.is_empty() {
                Stage::Finished { at: head.kept_at }
            } else {
                Stage::Fresh
            },
            jobs,
        }
    }

    /// Takes what is stored over. An attempt without an end was cut short by the death of the
    /// process.
    fn resume(&mut self, progress: EventProgress) {
        self.stage = match progress {
            EventProgress::Finished { at } => Stage::Finished { at },
            EventProgress::Discarded { at } => Stage::Discarded { at },
            EventProgress::Jobs(_) if self.jobs.is_empty() => return,
            EventProgress::Jobs(mut jobs) => {
                jobs.resize_with(self.jobs.len(), fresh);
                for job in &mut jobs {
                    if let JobStage::Begun { at } = job.stage {
                        job.stage = JobStage::Queued;
                        let interrupted = AttemptRecord {
                            at,
                            millis: 0,
                            ended: super::record::AttemptEnd::Interrupted,
                        };
                        add_record(job, interrupted);
                    }
                }
                Stage::of(jobs.into_boxed_slice())
            }
        };
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Fresh | Stage::Open(_))
    }

    /// Its jobs that are not done or dead, with how far each has come.
    pub(super) fn open_jobs(&self) -> Vec<(HandlerName, JobProgress)> {
        let names = self.jobs.iter().cloned();
        match &self.stage {
            Stage::Fresh => names.map(|name| (name, fresh())).collect(),
            Stage::Open(jobs) => names
                .zip(jobs.iter().cloned())
                .filter(|(_, job)| !job.has_ended())
                .collect(),
            Stage::Dead { .. } | Stage::Finished { .. } | Stage::Discarded { .. } => Vec::new(),
        }
    }

    fn dead_jobs(&self) -> usize {
        match &self.stage {
            Stage::Open(jobs) | Stage::Dead { jobs, .. } => {
                jobs.iter().filter(|job| job.is_dead()).count()
            }
            _ => 0,
        }
    }

    fn progress(&self) -> Option<EventProgress> {
        match &self.stage {
            Stage::Fresh => None,
            Stage::Open(jobs) | Stage::Dead { jobs, .. } => {
                Some(EventProgress::Jobs(jobs.to_vec()))
            }
            Stage::Finished { at } => Some(EventProgress::Finished { at: *at }),
            Stage::Discarded { at } => Some(EventProgress::Discarded { at: *at }),
        }
    }

    /// Until when its body is wanted; `None` while it is not finished.
    fn wanted_until(&self, keep: Keep) -> Option<u64> {
        match self.stage {
            Stage::Fresh | Stage::Open(_) => None,
            Stage::Dead { at, .. } => Some(at.saturating_add(keep.dead)),
            Stage::Finished { at } => Some(at.saturating_add(keep.done)),
            Stage::Discarded { at } => Some(at),
        }
    }

    /// Its body is removed. What is left is that it is finished.
    fn forget_body(&mut self) {
        self.has_body = false;
        if let Stage::Dead { at, .. } = self.stage {
            self.stage = Stage::Finished { at };
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Finished { .. } | Stage::Discarded { .. })
    }
}

impl Stage {
    fn of(jobs: Box<[JobProgress]>) -> Self {
        if jobs.iter().any(|job| !job.has_ended()) {
            return Self::Open(jobs);
        }
        let at = jobs.iter().filter_map(JobProgress::ended_at).max();
        let at = at.unwrap_or_default();
        if jobs.iter().any(JobProgress::is_dead) {
            Self::Dead { jobs, at }
        } else {
            Self::Finished { at }
        }
    }
}

pub(super) fn fresh() -> JobProgress {
    JobProgress {
        attempts: 0,
        stage: JobStage::Queued,
        history: Vec::new(),
    }
}

impl JobProgress {
    pub(super) fn has_ended(&self) -> bool {
        self.ended_at().is_some()
    }

    fn is_dead(&self) -> bool {
        matches!(self.stage, JobStage::Dead { .. })
    }

    fn ended_at(&self) -> Option<u64> {
        match self.stage {
            JobStage::Done { at } | JobStage::Dead { at } => Some(at),
            _ => None,
        }
    }
}

impl Chunk {
    /// When the first and the last of its bodies are over, and whether each of them ever will be.
    fn span(&self, keep: Keep) -> Option<(u64, u64)> {
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
    fn seal(&mut self, keep: Keep) {
        let together = self
            .span(keep)
            .is_none_or(|(first, last)| last - first <= TOGETHER);
        if together && self.events.iter().all(Event::is_over) {
            self.events = Vec::new();
        }
    }

    /// When something of it may be removed.
    fn next_due(&self, keep: Keep) -> Option<u64> {
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

    fn event(&mut self, seq: u64) -> Option<&mut Event> {
        let place = self.events.binary_search_by_key(&seq, |event| event.seq);
        self.events.get_mut(place.ok()?)
    }
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
        let interrupted = progress.as_ref().is_some_and(|progress| {
            let mut events = progress.events.iter();
            events.any(|(_, progress)| begun(progress))
        });
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
        self.schedule(key, due);
        change
    }

    /// Takes the chunks whose progress must be stored, each with it.
    pub(super) fn take_dirty(&mut self) -> Vec<(u64, Progress)> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut rows = Vec::with_capacity(dirty.len());
        for key in dirty {
            let Some(chunk) = self.chunks.get_mut(&key) else {
                continue;
            };
            chunk.generation += 1;
            let events = chunk.events.iter();
            let progress = Progress {
                generation: chunk.generation,
                events: events
                    .filter_map(|event| Some((event.seq, event.progress()?)))
                    .collect(),
            };
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

    /// The next chunk to clean whose time has come.
    pub(super) fn next_due(&mut self, now: u64) -> Option<u64> {
        let due = [&self.due, &self.forget]
            .into_iter()
            .filter_map(|due| due.first().copied());
        let (_, key) = due.min().filter(|(at, _)| *at <= now)?;
        self.unschedule(key);
        Some(key)
    }

    /// The chunk with bodies that were to go first of those that may go before their time, and what
    /// may be removed of it. To write a row anew must be worth it: a quarter of it goes at least.
    ///
    /// It looks at so many of them, and goes on from there the next time.
    pub(super) fn next_early(&mut self) -> Option<(u64, Cleaning)> {
        const LOOKS: usize = 1000;
        let mut looks = 0;
        let early = self
            .due
            .range(self.early_from..)
            .take(LOOKS)
            .find_map(|place| {
                looks += 1;
                self.early_from = *place;
                let (_, key) = place;
                let chunk = self.chunks.get(key)?;
                if self.dirty.contains(key) {
                    return None;
                }
                let bodies = chunk.events.iter().filter(|event| event.has_body);
                let (over, wanted): (Vec<_>, Vec<_>) = bodies.partition(|event| event.is_over());
                if wanted.is_empty() {
                    return Some((*key, Cleaning::Bodies));
                }
                let gone: u64 = over.iter().map(|event| u64::from(event.body_len)).sum();
                let wanted = || wanted.iter().map(|event| event.seq).collect();
                (gone > 0 && gone >= chunk.stored / 4)
                    .then(|| (*key, Cleaning::BodiesBut(wanted())))
            });
        match &early {
            Some((key, _)) => self.unschedule(*key),
            None if looks < LOOKS => self.early_from = (0, 0),
            None => {}
        }
        early
    }

    fn unschedule(&mut self, key: u64) {
        if let Some(chunk) = self.chunks.get_mut(&key)
            && let Some(at) = chunk.due.take()
        {
            self.due.remove(&(at, key));
            self.forget.remove(&(at, key));
        }
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
            let (handler, job) = jobs.find(|(name, _)| *name == handler)?;
            Some((seq, handler, job))
        };
        held.into_iter().filter_map(open).collect()
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
        event.is_some_and(|event| event.open_jobs().iter().any(|(name, _)| name == handler))
    }

    /// What may be removed of a chunk now.
    pub(super) fn cleaning(&self, key: u64, now: u64, keep: Keep) -> Cleaning {
        let Some(chunk) = self.chunks.get(&key) else {
            return Cleaning::Nothing;
        };
        if self.dirty.contains(&key) {
            return Cleaning::Nothing;
        }
        let forgotten = chunk.newest.saturating_add(keep.identities) <= now;
        if !chunk.has_bodies {
            return if forgotten {
                Cleaning::All
            } else {
                Cleaning::Nothing
            };
        }
        let bodies = chunk.events.iter().filter(|event| event.has_body);
        let (wanted, over): (Vec<_>, Vec<_>) =
            bodies.partition(|event| event.wanted_until(keep).is_none_or(|until| until > now));
        match (wanted.is_empty(), over.is_empty()) {
            (true, _) if forgotten => Cleaning::All,
            (true, _) => Cleaning::Bodies,
            (false, false) => Cleaning::BodiesBut(wanted.iter().map(|event| event.seq).collect()),
            (false, true) => Cleaning::Nothing,
        }
    }

    /// The chunk was cleaned. `left` tells the bytes of the bodies that are left.
    pub(super) fn cleaned(&mut self, key: u64, cleaning: &Cleaning, left: u64, keep: Keep) {
        self.unschedule(key);
        let Some(chunk) = self.chunks.get_mut(&key) else {
            return;
        };
        self.totals.stored = self.totals.stored.saturating_sub(chunk.stored) + left;
        chunk.stored = left;
        let mut dead_gone = |event: &Event| {
            let dead = event.dead_jobs();
            if dead > 0 {
                let bytes = u64::from(event.body_len);
                self.totals.dead = self.totals.dead.saturating_sub(dead);
                self.totals.dead_bytes = self.totals.dead_bytes.saturating_sub(bytes);
            }
        };
        match cleaning {
            Cleaning::Nothing => {}
            Cleaning::BodiesBut(wanted) => {
                for event in &mut chunk.events {
                    if event.has_body && !wanted.contains(&event.seq) {
                        dead_gone(event);
                        event.forget_body();
                    }
                }
            }
            Cleaning::Bodies | Cleaning::All => {
                chunk.has_bodies = false;
                std::mem::take(&mut chunk.events)
                    .iter()
                    .filter(|event| event.has_body)
                    .for_each(&mut dead_gone);
            }
        }
        if *cleaning == Cleaning::All {
            self.chunks.remove(&key);
        } else {
            let due = chunk.next_due(keep);
            self.schedule(key, due);
        }
    }

    /// Looks at a chunk that could not be cleaned as yet again.
    pub(super) fn postpone(&mut self, key: u64, now: u64, keep: Keep) {
        let due = self.chunks.get(&key).and_then(|chunk| chunk.next_due(keep));
        let soonest = now.saturating_add(1000);
        self.schedule(key, Some(due.unwrap_or(soonest).max(soonest)));
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

    /// The bytes of the bodies of a chunk.
    pub(super) fn stored_in(&self, key: u64) -> u64 {
        self.chunks.get(&key).map_or(0, |chunk| chunk.stored)
    }

    /// About how many bytes of the file are used.
    pub(super) fn used(&self) -> u64 {
        /// Of what is stored of an event beside its body, and of the rows of a chunk.
        const EVENT: u64 = 80;
        const ROWS: u64 = 512;
        let chunks = self.chunks.iter();
        let heads = chunks.map(|(key, chunk)| ROWS + (chunk.last_seq - key + 1) * EVENT);
        self.totals.stored + heads.sum::<u64>()
    }

    /// Looks at a chunk at this time, unless it is looked at before.
    pub(super) fn schedule(&mut self, key: u64, at: Option<u64>) {
        let (Some(at), Some(chunk)) = (at, self.chunks.get(&key)) else {
            return;
        };
        if chunk.due.is_some_and(|before| before <= at) {
            return;
        }
        self.unschedule(key);
        let Some(chunk) = self.chunks.get_mut(&key) else {
            return;
        };
        chunk.due = Some(at);
        let due = match chunk.has_bodies {
            true => &mut self.due,
            false => &mut self.forget,
        };
        due.insert((at, key));
    }
}

/// Bodies that are over share their row with some that are not. They go together, or at the latest
/// after this time.
const TOGETHER: u64 = 60_000;

/// The events of a chunk as they are stored.
pub(super) fn resumed(heads: &Heads, jobs: Vec<Jobs>, progress: Option<Progress>) -> Vec<Event> {
    let progress = progress.map(|progress| progress.events).unwrap_or_default();
    let mut stored = progress.into_iter().peekable();
    let mut events = Vec::with_capacity(heads.heads.len());
    for (head, jobs) in heads.heads.iter().zip(jobs) {
        let mut event = Event::new(head, jobs);
        while stored.next_if(|(seq, _)| *seq < head.seq).is_some() {}
        match stored.next_if(|(seq, _)| *seq == head.seq) {
            Some((_, progress)) => event.resume(progress),
            None => event.resume(EventProgress::Jobs(Vec::new())),
        }
        events.push(event);
    }
    events
}

fn begun(progress: &EventProgress) -> bool {
    match progress {
        EventProgress::Jobs(jobs) => {
            let mut jobs = jobs.iter();
            jobs.any(|job| matches!(job.stage, JobStage::Begun { .. }))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
