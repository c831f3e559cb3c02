//! What waits to be handed out, and what was: all that is known of pending events in memory.
//!
//! Events that were just kept stand in line with their bodies, up to a number of bytes. What comes
//! after that is read back from the file when its turn comes; from then on everything is, until the
//! line has caught up, so that the order is kept. Nothing is known here of an event that waits in
//! the file and never ran.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::names::List;
use super::row::{Base, JobRow, JobStage};
use crate::event::HandlerName;
use crate::event::Identity;
use crate::inbox::delays::DelayQueue;
use crate::inbox::{self, Attempt, JobHistory, KeptEvent, Room};
use crate::sync::time::Instant;

#[derive(Default)]
pub(super) struct Ready {
    /// Jobs that were handed out before and may run again: before all others.
    again: VecDeque<(JobId, Option<Arc<ReadBack>>)>,
    line: VecDeque<Slot>,
    /// Events of which a job was handed out or ran before, until their end is committed.
    open: HashMap<u64, Open>,
    waiting: DelayQueue<JobId>,
    /// The number of the first event that is in the file alone.
    in_file: Option<u64>,
    /// The number after the last event that was read in its turn.
    read_to: u64,
    /// The number after the last event that was left to the file.
    left_to: u64,
    /// Events whose end was committed while the file was being read.
    ended: Option<HashSet<u64>>,
    /// Events that are damaged, until that is committed.
    damaged: BTreeSet<u64>,
    /// Bytes of the bodies in the line.
    bytes: usize,
    max_bytes: usize,
    pub(super) closed: bool,
    /// Whether a receiver takes from it.
    pub(super) attached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobId {
    pub(super) seq: u64,
    /// Among the handlers of the event.
    pub(super) place: u16,
}

/// An event as it was read from the file.
pub(super) struct ReadBack {
    pub(super) entry: Arc<KeptEvent>,
    pub(super) attempts: Vec<(i64, u32, Attempt)>,
}

/// An event that stands in line with its body.
struct Slot {
    event: ReadBack,
    fact: Fact,
    /// So many of its jobs were handed out.
    next: usize,
}

/// What settling an event takes.
#[derive(Clone)]
pub(super) struct Fact {
    pub(super) base: Base,
    pub(super) body_len: i64,
    pub(super) identity: Identity,
    /// Whether the identity is not the event's own.
    pub(super) marks: bool,
    pub(super) list: Arc<List>,
}

pub(super) struct Open {
    pub(super) fact: Fact,
    pub(super) jobs: Box<[Job]>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Job {
    pub(super) stage: Stage,
    pub(super) attempts: u32,
    pub(super) interrupted: bool,
    /// How long it is still to wait when it is handed out in its place, in milliseconds.
    pub(super) wait: Option<u32>,
    /// Whether there is a row for it.
    pub(super) stored: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// It comes with its event.
    #[default]
    InLine,
    /// It waits for its time or to be handed out again.
    Waiting,
    HandedOut,
    Begun,
    /// There is no handler for it here.
    Held,
    Done,
    Dead,
    Replayed,
}

impl Stage {
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Replayed)
    }
}

/// What comes next.
pub(super) enum Next {
    Jobs(Vec<inbox::Job>),
    /// The events of these numbers must be read first.
    Read(Vec<u64>),
    /// The file must be read from this number on.
    ReadFrom(u64),
    /// Nothing as yet; perhaps at this time.
    Wait(Option<Instant>),
    Closed,
}

impl Open {
    pub(super) fn new(fact: Fact) -> Self {
        let jobs = vec![Job::default(); fact.list.ids.len()].into_boxed_slice();
        Self { fact, jobs }
    }

    /// An event that ran before, as the file has it.
    pub(super) fn stored(fact: Fact, rows: &[JobRow], now: i64) -> Self {
        let mut open = Self::new(fact);
        for row in rows {
            let place = open.fact.list.ids.iter().position(|id| *id == row.handler);
            let Some(job) = place.and_then(|place| open.jobs.get_mut(place)) else {
                continue;
            };
            let left = row.at.saturating_add(row.wait.unwrap_or_default()) - now;
            // Never longer than it was to, whatever became of the clock.
            let left = left.clamp(0, row.wait.unwrap_or_default());
            *job = Job {
                stage: match row.stage {
                    JobStage::Queued | JobStage::Running | JobStage::WaitingInLane => Stage::InLine,
                    JobStage::Waiting => Stage::Waiting,
                    JobStage::Done => Stage::Done,
                    JobStage::Dead => Stage::Dead,
                    JobStage::Replayed => Stage::Replayed,
                },
                attempts: row.attempts,
                interrupted: row.interrupted,
                wait: (matches!(row.stage, JobStage::Waiting | JobStage::WaitingInLane))
                    .then(|| u32::try_from(left).unwrap_or(u32::MAX)),
                stored: true,
            };
        }
        open
    }

    pub(super) fn is_over(&self) -> bool {
        self.jobs.iter().all(|job| job.stage.has_ended())
    }

    pub(super) fn is_dead(&self) -> bool {
        self.jobs.iter().any(|job| job.stage == Stage::Dead)
    }
}

impl Ready {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            ..Self::default()
        }
    }

    /// The file has events from this number on.
    pub(super) fn begin_at(&mut self, seq: u64) {
        self.in_file = Some(self.in_file.map_or(seq, |from| from.min(seq)));
        self.left_to = self.left_to.max(seq + 1);
    }

    /// An event that ran before the file was opened. Its jobs that wait for their time come then.
    pub(super) fn push_stored(
        &mut self,
        seq: u64,
        mut open: Open,
        delay: impl Fn(Duration) -> Duration,
    ) {
        for (place, job) in (0..).zip(&mut open.jobs) {
            if job.stage == Stage::Waiting {
                let left = Duration::from_millis(job.wait.take().unwrap_or_default().into());
                self.waiting
                    .push(Instant::now(), delay(left), JobId { seq, place });
            }
        }
        self.open.insert(seq, open);
    }

    /// An event that is in the file as of now.
    pub(super) fn push_kept(&mut self, entry: KeptEvent, fact: Fact) {
        let seq = entry.id();
        // It may have been read back before the writer got here.
        if seq < self.read_to {
            return;
        }
        let bytes = entry.delivery().body().len();
        if self.in_file.is_none() && self.bytes > 0 && self.bytes + bytes > self.max_bytes {
            self.in_file = Some(seq);
        }
        if self.in_file.is_some() {
            self.left_to = seq + 1;
            return;
        }
        let (entry, attempts) = (Arc::new(entry), Vec::new());
        self.push_line(ReadBack { entry, attempts }, fact);
    }

    fn push_line(&mut self, event: ReadBack, fact: Fact) {
        self.bytes += event.entry.delivery().body().len();
        self.line.push_back(Slot {
            event,
            fact,
            next: 0,
        });
    }

    /// Whether a job of this event comes in its place: not when all of them wait, run or have
    /// ended.
    pub(super) fn is_in_line(&self, seq: u64) -> bool {
        let open = self.open.get(&seq);
        !self.damaged.contains(&seq)
            && open.is_none_or(|open| open.jobs.iter().any(|job| job.stage == Stage::InLine))
    }

    pub(super) fn is_damaged(&self, seq: u64) -> bool {
        self.damaged.contains(&seq)
    }

    /// Whether it ran before, so that there may be attempts to tell of.
    pub(super) fn has_run(&self, seq: u64) -> bool {
        let open = self.open.get(&seq);
        open.is_some_and(|open| open.jobs.iter().any(|job| job.attempts > 0))
    }

    /// The file is about to be read in its turn from this number on, as of this moment: up to the
    /// number that is given. `None` when that was done: who asked for it is gone, and somebody else
    /// asked too.
    pub(super) fn begin_read(&mut self, from: u64) -> Option<u64> {
        let begins = self.in_file == Some(from);
        self.ended = begins.then(HashSet::new);
        begins.then_some(self.left_to)
    }

    /// What the file has in its turn, read up to this number; what of it is damaged; whether there
    /// is more.
    pub(super) fn push_found(
        &mut self,
        found: Vec<(ReadBack, Fact)>,
        damaged: &[u64],
        to: u64,
        more: bool,
    ) {
        let ended = self.ended.take().unwrap_or_default();
        for seq in damaged {
            if !ended.contains(seq) {
                self.lose(*seq);
            }
        }
        for (event, fact) in found {
            if !ended.contains(&event.entry.id()) {
                self.push_line(event, fact);
            }
        }
        self.read_to = self.read_to.max(to);
        self.in_file = (more || to < self.left_to).then_some(to);
    }

    /// The event of jobs that come again was read; `None` when it is gone.
    pub(super) fn fill(&mut self, seq: u64, read: Option<&Arc<ReadBack>>) {
        match read {
            None => self.again.retain(|(job, _)| job.seq != seq),
            Some(read) => {
                let jobs = self.again.iter_mut().filter(|(job, _)| job.seq == seq);
                jobs.for_each(|(_, filled)| *filled = Some(Arc::clone(read)));
            }
        }
    }

    pub(super) fn next(&mut self, mut room: Room) -> Next {
        if self.closed {
            return Next::Closed;
        }
        let now = Instant::now();
        while let Some(job) = self.waiting.pop_due(now) {
            if self.waits(job) {
                self.again.push_back((job, None));
            }
        }
        let max = room.jobs;
        let mut jobs: Vec<inbox::Job> = Vec::new();
        while !room.is_full() {
            if let Some((job, read)) = self.again.front() {
                let job = *job;
                if !self.waits(job) {
                    self.again.pop_front();
                    continue;
                }
                let Some(read) = read.clone() else {
                    return jobs_or(jobs, Next::Read(self.unread(max)));
                };
                self.again.pop_front();
                let open = self.open.get_mut(&job.seq);
                let job = open.and_then(|open| open.hand_out(usize::from(job.place), &read));
                add(&mut jobs, &mut room, job);
            } else if let Some(slot) = self.line.front_mut() {
                let place = slot.next;
                if place >= slot.fact.list.ids.len() {
                    self.pop_line();
                    continue;
                }
                slot.next += 1;
                let seq = slot.event.entry.id();
                if place > 0 && !self.open.contains_key(&seq) {
                    // What was left of it ended otherwise.
                    continue;
                }
                let new = || Open::new(slot.fact.clone());
                let open = self.open.entry(seq).or_insert_with(new);
                if open
                    .jobs
                    .get(place)
                    .is_some_and(|job| job.stage == Stage::InLine)
                {
                    let job = open.hand_out(place, &slot.event);
                    add(&mut jobs, &mut room, job);
                }
            } else if let Some(from) = self.in_file {
                return jobs_or(jobs, Next::ReadFrom(from));
            } else {
                break;
            }
        }
        jobs_or(jobs, Next::Wait(self.waiting.next_due()))
    }

    /// Whether somebody else who waits should look again.
    pub(super) fn has_more(&self) -> bool {
        !self.again.is_empty() || !self.line.is_empty() || self.in_file.is_some()
    }

    fn waits(&self, JobId { seq, place }: JobId) -> bool {
        let open = self.open.get(&seq);
        let job = open.and_then(|open| open.jobs.get(usize::from(place)));
        job.is_some_and(|job| job.stage == Stage::Waiting)
    }

    /// The first events of jobs that come again, no more than are read at once.
    fn unread(&self, max: usize) -> Vec<u64> {
        const MOST: usize = 64;
        let jobs = self.again.iter().take(max.min(MOST));
        let unread = jobs.filter(|(_, read)| read.is_none());
        let mut seqs: Vec<u64> = unread.map(|(job, _)| job.seq).collect();
        seqs.dedup();
        seqs
    }

    fn pop_line(&mut self) {
        if let Some(slot) = self.line.pop_front() {
            let bytes = slot.event.entry.delivery().body().len();
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        if self.line.is_empty() && self.line.capacity() > 4096 {
            self.line = VecDeque::new();
        }
    }

    /// A job that was handed out and has not ended.
    pub(super) fn job(&mut self, seq: u64, handler: &HandlerName) -> Option<(&mut Open, JobId)> {
        let open = self.open.get_mut(&seq)?;
        let place = open.fact.list.place(handler)?;
        let job = open.jobs.get(place)?;
        let place = u16::try_from(place).ok()?;
        let out = matches!(job.stage, Stage::HandedOut | Stage::Begun);
        out.then_some((open, JobId { seq, place }))
    }

    pub(super) fn open(&mut self, seq: u64) -> Option<&mut Open> {
        self.open.get_mut(&seq)
    }

    /// A job comes again after this time.
    pub(super) fn wait(&mut self, job: JobId, after: Duration) {
        self.waiting.push(Instant::now(), after, job);
    }

    /// The file has an event as ended or no more.
    pub(super) fn close(&mut self, seq: u64) {
        self.open.remove(&seq);
        self.damaged.remove(&seq);
        if let Some(ended) = &mut self.ended {
            ended.insert(seq);
        }
        if self.open.is_empty() && self.open.capacity() > 4096 {
            self.open = HashMap::new();
        }
    }

    /// These events are gone, wherever they stand.
    pub(super) fn forget(&mut self, seqs: &HashSet<u64>) {
        for seq in seqs {
            self.close(*seq);
        }
        let bytes = &mut self.bytes;
        self.line.retain(|slot| {
            let stays = !seqs.contains(&slot.event.entry.id());
            if !stays {
                *bytes = bytes.saturating_sub(slot.event.entry.delivery().body().len());
            }
            stays
        });
    }

    /// Jobs that were handed out and are not settled, in the order of their events.
    pub(super) fn taken(&self) -> Vec<(u64, HandlerName)> {
        let mut taken = Vec::new();
        for (seq, open) in &self.open {
            for ((place, job), handler) in
                open.jobs.iter().enumerate().zip(open.fact.list.jobs.iter())
            {
                if matches!(job.stage, Stage::HandedOut | Stage::Begun) {
                    taken.push((*seq, place, handler.clone()));
                }
            }
        }
        taken.sort_unstable_by_key(|(seq, place, _)| (*seq, *place));
        let taken = taken.into_iter();
        taken.map(|(seq, _, handler)| (seq, handler)).collect()
    }

    /// What no handler was there for is handed out again.
    pub(super) fn release_held(&mut self) {
        let mut held = Vec::new();
        for (seq, open) in &mut self.open {
            for (place, job) in (0..).zip(&mut open.jobs) {
                if job.stage == Stage::Held {
                    job.stage = Stage::Waiting;
                    held.push(JobId { seq: *seq, place });
                }
            }
        }
        held.sort_unstable();
        for job in held {
            self.wait(job, Duration::ZERO);
        }
    }

    /// An event is damaged: no job of it is handed out. It counts as pending until the file says
    /// otherwise.
    pub(super) fn lose(&mut self, seq: u64) {
        self.open.remove(&seq);
        self.again.retain(|(job, _)| job.seq != seq);
        self.damaged.insert(seq);
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is no handler for a job here.
    pub(super) fn is_held(&self, seq: u64, handler: &HandlerName) -> bool {
        let job = self.open.get(&seq).and_then(|open| {
            let place = open.fact.list.place(handler)?;
            open.jobs.get(place)
        });
        job.is_some_and(|job| job.stage == Stage::Held)
    }

    /// The handlers that there are none of here.
    pub(super) fn held_by(&self) -> BTreeSet<HandlerName> {
        let jobs = self
            .open
            .values()
            .flat_map(|open| open.fact.list.jobs.iter().zip(&open.jobs));
        let held = jobs.filter(|(_, job)| job.stage == Stage::Held);
        held.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn held(&self) -> usize {
        let jobs = self.open.values().flat_map(|open| &open.jobs);
        jobs.filter(|job| job.stage == Stage::Held).count()
    }

    /// No event before this number is pending, where the next one that is kept has this one.
    pub(super) fn first_pending(&self, next: u64) -> u64 {
        let line = self.line.front().map(|slot| slot.event.entry.id());
        let open = self.open.keys().min().copied();
        let damaged = self.damaged.first().copied();
        [line, open, damaged, self.in_file]
            .into_iter()
            .flatten()
            .fold(next, u64::min)
    }
}

impl Open {
    fn hand_out(&mut self, place: usize, event: &ReadBack) -> Option<inbox::Job> {
        let handler = self.fact.list.jobs.iter().nth(place)?.clone();
        let id = self.fact.list.ids.get(place)?;
        let job = self.jobs.get_mut(place)?;
        job.stage = Stage::HandedOut;
        let attempts = event.attempts.iter().filter(|(of, ..)| of == id);
        let past = JobHistory {
            attempts: job.attempts,
            interrupted: job.interrupted,
            history: attempts.map(|(.., attempt)| attempt.clone()).collect(),
            delay: job
                .wait
                .take()
                .map(|wait| Duration::from_millis(wait.into())),
        };
        let token = event.entry.id();
        Some(inbox::Job::new(Arc::clone(&event.entry), handler, token).after(past))
    }
}

fn add(jobs: &mut Vec<inbox::Job>, room: &mut Room, job: Option<inbox::Job>) {
    if let Some(job) = job {
        room.add(job.delivery().body().len());
        jobs.push(job);
    }
}

fn jobs_or(jobs: Vec<inbox::Job>, otherwise: Next) -> Next {
    if jobs.is_empty() {
        otherwise
    } else {
        Next::Jobs(jobs)
    }
}
