//! What waits to be handed out, and what was: all that is known of pending events in memory.
//!
//! Events that were just kept stand in line with their bodies, up to a number of bytes. What comes
//! after that is read back from the file when its turn comes; from then on everything is, until the
//! line has caught up, so that the order is kept. Nothing is known here of an event that waits in
//! the file and never ran.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::error::{DiskInboxError, Result};
use super::names::HandlerList;
use super::row::{AttemptRow, EventRow, FixedSum, JobRow, JobStage};
use crate::event::{HandlerName, Identity};
use crate::inbox::delays::DelayQueue;
use crate::inbox::{self, JobHistory, KeptEvent, Prefetch};
use crate::sync::time::Instant;

#[derive(Default)]
pub(super) struct JobQueue {
    /// Jobs that were handed out before and may run again: before all others. Each with its event
    /// once that is read.
    retries: VecDeque<(JobId, Option<Arc<LoadedEvent>>)>,
    line: VecDeque<QueuedEvent>,
    /// Events of which a job was handed out or ran before, until their end is committed.
    active: HashMap<i64, ActiveEvent>,
    delayed: DelayQueue<JobId>,
    /// The number of the first event that is in the file alone.
    in_file: Option<i64>,
    /// The number after the last event that was read in its turn.
    read_to: i64,
    /// The number after the last event that was left to the file.
    left_to: i64,
    /// Events whose end was committed while the file was being read.
    ended: Option<HashSet<i64>>,
    /// Events that are damaged, until that is committed.
    damaged: BTreeSet<i64>,
    /// Bytes of the bodies in the line.
    bytes: usize,
    max_bytes: usize,
    pub(super) closed: bool,
    /// Whether a receiver takes from it.
    pub(super) attached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId {
    seq: i64,
    /// Among the handlers of the event.
    place: usize,
}

/// An event as it was read from the file.
pub(super) struct LoadedEvent {
    pub(super) event: Arc<KeptEvent>,
    pub(super) attempts: Vec<AttemptRow>,
}

impl LoadedEvent {
    fn seq(&self) -> i64 {
        self.event.id().cast_signed()
    }

    pub(super) fn bytes(&self) -> usize {
        self.event.delivery().body().len()
    }
}

/// An event that stands in line with its body.
struct QueuedEvent {
    loaded: LoadedEvent,
    meta: EventMeta,
    /// So many of its jobs were handed out.
    next: usize,
}

/// What settling an event takes.
#[derive(Clone)]
pub(super) struct EventMeta {
    pub(super) fixed_sum: FixedSum,
    pub(super) body_len: i64,
    pub(super) identity: Identity,
    /// Whether other events may have the identity.
    pub(super) shares_identity: bool,
    handlers: Arc<HandlerList>,
}

pub(super) struct ActiveEvent {
    pub(super) meta: EventMeta,
    pub(super) jobs: Box<[Job]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) row: JobRow,
    pub(super) position: Position,
}

/// Where a job is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// It comes with its event.
    InLine,
    /// It waits for its time or to be handed out again.
    Delayed,
    HandedOut,
    /// There is no handler for it here.
    Held,
    Ended,
}

/// What comes next.
pub(super) enum Next {
    Jobs(Vec<inbox::Job>),
    /// These events must be read first.
    Read(Vec<i64>),
    /// The file must be read from this number on.
    ReadFrom(i64),
    /// Nothing as yet; perhaps at this time.
    Wait(Option<Instant>),
    Closed,
}

impl EventMeta {
    pub(super) fn of(event: &EventRow, handlers: Arc<HandlerList>) -> Result<Self> {
        Ok(Self {
            fixed_sum: event.fixed_sum()?,
            body_len: event.body_len.ok_or_else(DiskInboxError::damaged)?,
            identity: event.identity,
            shares_identity: event.shares_identity(),
            handlers,
        })
    }
}

impl ActiveEvent {
    /// An event of which these jobs ran before.
    pub(super) fn new(seq: i64, meta: EventMeta, rows: &[JobRow]) -> Self {
        let job = |handler: &i64| {
            let row = rows.iter().find(|row| row.handler == *handler);
            let row = row.copied().unwrap_or_else(|| JobRow::new(seq, *handler));
            let position = match row.stage {
                JobStage::Delayed => Position::Delayed,
                stage if stage.has_ended() => Position::Ended,
                _ => Position::InLine,
            };
            Job { row, position }
        };
        Self {
            jobs: meta.handlers.ids.iter().map(job).collect(),
            meta,
        }
    }

    fn hand_out(&mut self, place: usize, loaded: &LoadedEvent, now: i64) -> Option<inbox::Job> {
        let handler = self.meta.handlers.jobs.get(place)?.clone();
        let Job { row, position } = self.jobs.get_mut(place)?;
        *position = Position::HandedOut;
        let own = loaded.attempts.iter();
        let own = own.filter(|attempt| attempt.handler == row.handler);
        let history = JobHistory {
            attempts: row.attempts,
            interrupted: row.interrupted,
            history: own.map(|attempt| attempt.attempt.clone()).collect(),
            delay: (row.stage == JobStage::DelayedInLane).then(|| row.left(now)),
        };
        let (event, token) = (Arc::clone(&loaded.event), loaded.event.id());
        Some(inbox::Job::new(event, handler, token).after(history))
    }
}

impl JobQueue {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }

    /// The file has an event of this number.
    pub(super) fn push_in_file(&mut self, seq: i64) {
        self.in_file = Some(self.in_file.map_or(seq, |from| from.min(seq)));
        self.left_to = self.left_to.max(seq + 1);
    }

    /// An event that ran before the file was opened. Its jobs that wait for their time come then.
    pub(super) fn push_active(
        &mut self,
        seq: i64,
        event: ActiveEvent,
        delay: impl Fn(&JobRow) -> Duration,
    ) {
        for (place, job) in event.jobs.iter().enumerate() {
            if job.position == Position::Delayed {
                self.delay(JobId { seq, place }, delay(&job.row));
            }
        }
        self.active.insert(seq, event);
    }

    /// An event that is in the file as of now.
    pub(super) fn push_kept(&mut self, event: KeptEvent, meta: EventMeta) {
        let seq = event.id().cast_signed();
        // It may have been read back before the writer got here.
        if seq < self.read_to {
            return;
        }
        let bytes = event.delivery().body().len();
        if self.in_file.is_none() && self.bytes > 0 && self.bytes + bytes > self.max_bytes {
            self.in_file = Some(seq);
        }
        if self.in_file.is_some() {
            self.left_to = seq + 1;
            return;
        }
        let (event, attempts) = (Arc::new(event), Vec::new());
        self.push_line(LoadedEvent { event, attempts }, meta);
    }

    fn push_line(&mut self, loaded: LoadedEvent, meta: EventMeta) {
        self.bytes += loaded.bytes();
        self.line.push_back(QueuedEvent {
            loaded,
            meta,
            next: 0,
        });
    }

    /// Whether a job of this event comes in its place: not when all of them wait, run or have
    /// ended.
    pub(super) fn is_in_line(&self, seq: i64) -> bool {
        let is_in_line = |job: &Job| job.position == Position::InLine;
        let active = self.active.get(&seq);
        !self.is_damaged(seq) && active.is_none_or(|event| event.jobs.iter().any(is_in_line))
    }

    pub(super) fn is_damaged(&self, seq: i64) -> bool {
        self.damaged.contains(&seq)
    }

    /// Whether it ran before, so that there may be attempts to tell of.
    pub(super) fn has_run(&self, seq: i64) -> bool {
        let active = self.active.get(&seq);
        active.is_some_and(|event| event.jobs.iter().any(|job| job.row.attempts > 0))
    }

    /// The file is about to be read in its turn from this number on, as of this moment: up to the
    /// number that is given. `None` when that was done: who asked for it is gone, and somebody else
    /// asked too.
    pub(super) fn begin_read(&mut self, from: i64) -> Option<i64> {
        let begins = self.in_file == Some(from);
        self.ended = begins.then(HashSet::new);
        begins.then_some(self.left_to)
    }

    /// What the file has in its turn, read up to this number; what of it is damaged; whether there
    /// is more.
    pub(super) fn push_found(
        &mut self,
        found: Vec<(LoadedEvent, EventMeta)>,
        damaged: &[i64],
        to: i64,
        more: bool,
    ) {
        let ended = self.ended.take().unwrap_or_default();
        for seq in damaged {
            if !ended.contains(seq) {
                self.lose(*seq);
            }
        }
        for (loaded, meta) in found {
            if !ended.contains(&loaded.seq()) {
                self.push_line(loaded, meta);
            }
        }
        self.read_to = self.read_to.max(to);
        self.in_file = (more || to < self.left_to).then_some(to);
    }

    /// The event of jobs that come again was read; `None` when it is gone.
    pub(super) fn fill(&mut self, seq: i64, loaded: Option<LoadedEvent>) {
        let Some(loaded) = loaded.map(Arc::new) else {
            return self.retries.retain(|(job, _)| job.seq != seq);
        };
        let jobs = self.retries.iter_mut().filter(|(job, _)| job.seq == seq);
        jobs.for_each(|(_, filled)| *filled = Some(Arc::clone(&loaded)));
    }

    /// At this time of the inbox's clock.
    pub(super) fn next(&mut self, mut room: Prefetch, now: i64) -> Next {
        if self.closed {
            return Next::Closed;
        }
        let instant = Instant::now();
        while let Some(job) = self.delayed.pop_due(instant) {
            self.retry(job);
        }
        let most = room.jobs;
        let mut jobs = Vec::new();
        let mut has_room = true;
        while has_room {
            match self.next_job(most, now) {
                Ok(job) => {
                    has_room = room.add(job.delivery().body().len());
                    jobs.push(job);
                }
                Err(next) if jobs.is_empty() => return next,
                Err(_) => break,
            }
        }
        Next::Jobs(jobs)
    }

    /// The next job, or what comes before there is one.
    fn next_job(&mut self, most: usize, now: i64) -> Result<inbox::Job, Next> {
        while let Some((id, loaded)) = self.retries.front() {
            let id = *id;
            let mut loaded = loaded.clone();
            let active = self.active.get_mut(&id.seq);
            let waits = |event: &&mut ActiveEvent| {
                let job = event.jobs.get(id.place);
                job.is_some_and(|job| job.position == Position::Delayed)
            };
            if let Some(event) = active.filter(waits) {
                let Some(loaded) = loaded.take() else {
                    return Err(Next::Read(self.unread(most)));
                };
                self.retries.pop_front();
                if let Some(job) = event.hand_out(id.place, &loaded, now) {
                    return Ok(job);
                }
            } else {
                self.retries.pop_front();
            }
        }
        while let Some(QueuedEvent { loaded, meta, next }) = self.line.front_mut() {
            let (seq, place) = (loaded.seq(), *next);
            if place >= meta.handlers.ids.len() {
                self.pop_line();
                continue;
            }
            *next += 1;
            if place > 0 && !self.active.contains_key(&seq) {
                // What was left of it ended otherwise.
                continue;
            }
            let new = || ActiveEvent::new(seq, meta.clone(), &[]);
            let event = self.active.entry(seq).or_insert_with(new);
            let job = event.jobs.get(place);
            if job.is_some_and(|job| job.position == Position::InLine)
                && let Some(job) = event.hand_out(place, loaded, now)
            {
                return Ok(job);
            }
        }
        Err(match self.in_file {
            Some(from) => Next::ReadFrom(from),
            None => Next::Wait(self.delayed.next_due()),
        })
    }

    /// Whether somebody else who waits should look again.
    pub(super) fn has_more(&self) -> bool {
        !self.retries.is_empty() || !self.line.is_empty() || self.in_file.is_some()
    }

    /// The first events of jobs that come again, no more than are read at once.
    fn unread(&self, most: usize) -> Vec<i64> {
        const AT_ONCE: usize = 64;
        let jobs = self.retries.iter().take(most.min(AT_ONCE));
        let unread = jobs.filter(|(_, loaded)| loaded.is_none());
        let mut seqs: Vec<i64> = unread.map(|(job, _)| job.seq).collect();
        seqs.dedup();
        seqs
    }

    fn pop_line(&mut self) {
        if let Some(queued) = self.line.pop_front() {
            self.bytes = self.bytes.saturating_sub(queued.loaded.bytes());
        }
        if self.line.is_empty() && self.line.capacity() > 4096 {
            self.line = VecDeque::new();
        }
    }

    /// A job that was handed out and has not ended.
    pub(super) fn taken_job(
        &mut self,
        seq: i64,
        handler: &HandlerName,
    ) -> Option<(JobId, &mut Job)> {
        let event = self.active.get_mut(&seq)?;
        let place = event.meta.handlers.place(handler)?;
        let job = event.jobs.get_mut(place)?;
        let is_taken = job.position == Position::HandedOut;
        is_taken.then_some((JobId { seq, place }, job))
    }

    pub(super) fn active(&self, seq: i64) -> Option<&ActiveEvent> {
        self.active.get(&seq)
    }

    /// A job comes again as soon as may be.
    pub(super) fn retry(&mut self, job: JobId) {
        self.retries.push_back((job, None));
    }

    /// A job comes again after this time.
    pub(super) fn delay(&mut self, job: JobId, after: Duration) {
        self.delayed.push(Instant::now(), after, job);
    }

    /// Jobs of these handlers that gave up were replayed.
    pub(super) fn replayed(&mut self, seq: i64, handlers: &[i64]) {
        let event = self.active.get_mut(&seq);
        for Job { row, .. } in event.into_iter().flat_map(|event| &mut event.jobs) {
            if row.stage == JobStage::Dead && handlers.contains(&row.handler) {
                row.stage = JobStage::Replayed;
            }
        }
    }

    /// The file has an event as ended or no more.
    pub(super) fn close(&mut self, seq: i64) {
        self.active.remove(&seq);
        self.damaged.remove(&seq);
        if let Some(ended) = &mut self.ended {
            ended.insert(seq);
        }
        if self.active.is_empty() && self.active.capacity() > 4096 {
            self.active = HashMap::new();
        }
    }

    /// These events are gone, wherever they stand.
    pub(super) fn forget(&mut self, seqs: &HashSet<i64>) {
        for seq in seqs {
            self.close(*seq);
        }
        self.line
            .retain(|queued| !seqs.contains(&queued.loaded.seq()));
        self.bytes = self.line.iter().map(|queued| queued.loaded.bytes()).sum();
    }

    /// An event is damaged: no job of it is handed out. It counts as pending until the file says
    /// otherwise.
    pub(super) fn lose(&mut self, seq: i64) {
        self.active.remove(&seq);
        self.retries.retain(|(job, _)| job.seq != seq);
        self.damaged.insert(seq);
    }

    /// Jobs in this position, in the order of their events.
    fn jobs_at(&self, position: Position) -> Vec<(JobId, &HandlerName)> {
        let mut found = Vec::new();
        for (seq, event) in &self.active {
            let jobs = event.jobs.iter().zip(&event.meta.handlers.jobs);
            for (place, (job, handler)) in jobs.enumerate() {
                if job.position == position {
                    found.push((JobId { seq: *seq, place }, handler));
                }
            }
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        found
    }

    /// Jobs that were handed out and are not settled, in the order of their events.
    pub(super) fn taken(&self) -> Vec<(i64, HandlerName)> {
        let taken = self.jobs_at(Position::HandedOut).into_iter();
        taken.map(|(id, name)| (id.seq, name.clone())).collect()
    }

    /// What no handler was there for is handed out again.
    pub(super) fn release_held(&mut self) {
        let held = self.jobs_at(Position::Held).into_iter();
        for id in held.map(|(id, _)| id).collect::<Vec<_>>() {
            let event = self.active.get_mut(&id.seq);
            if let Some(job) = event.and_then(|event| event.jobs.get_mut(id.place)) {
                job.position = Position::Delayed;
                self.retry(id);
            }
        }
    }

    /// How many jobs wait for their time.
    pub(super) fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// Whether there is no handler for a job here.
    pub(super) fn is_held(&self, seq: i64, handler: &HandlerName) -> bool {
        let job = self.active.get(&seq).and_then(|event| {
            let place = event.meta.handlers.place(handler)?;
            event.jobs.get(place)
        });
        job.is_some_and(|job| job.position == Position::Held)
    }

    /// The handlers that there are none of here.
    pub(super) fn held_by(&self) -> BTreeSet<HandlerName> {
        let held = self.jobs_at(Position::Held).into_iter();
        held.map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn held(&self) -> usize {
        let jobs = self.active.values().flat_map(|event| &event.jobs);
        jobs.filter(|job| job.position == Position::Held).count()
    }

    /// No event before this number is pending, where the next one that is kept has this one.
    pub(super) fn first_pending(&self, next: i64) -> i64 {
        let line = self.line.front().map(|queued| queued.loaded.seq());
        let active = self.active.keys().min().copied();
        let damaged = self.damaged.first().copied();
        [line, active, damaged, self.in_file]
            .into_iter()
            .flatten()
            .fold(next, i64::min)
    }
}
