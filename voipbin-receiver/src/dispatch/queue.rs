//! Jobs that were taken and are not settled: one lock covers which they are and which may run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::schedule::{ParkedLane, Placement, QuarantineId, RunSlot, Schedule};
use crate::inbox::{Job, Prefetch};
use crate::observe::{JobState, Unfinished};

/// How many jobs are asked of the inbox at once.
pub(super) const BATCH: usize = 64;

/// How many jobs are taken before there is a slot for them, and the bytes of their bodies: turns
/// are fair among taken jobs alone, and a flood in the inbox hides what is behind it.
pub(super) const PREFETCH_JOBS: usize = 4096;
pub(super) const PREFETCH_BYTES: usize = 16 << 20;

/// How many are taken while there are free slots: then all that wait are of busy lanes or of
/// handlers at their limit. Without a limit where the inbox is in memory anyway.
const MOST_JOBS: usize = 65_536;
const MOST_BYTES: usize = 32 << 20;

/// Jobs that were taken and are not settled. It outlives the pump, whose runtime may end.
pub(super) struct JobQueue {
    schedule: Schedule<JobKey>,
    jobs: Slab<OpenJob>,
    /// How many were taken so far.
    taken: u64,
    /// Jobs that wait for their next attempt in their lane.
    parked: BinaryHeap<Reverse<(Instant, u64, JobKey)>>,
    /// Bytes of the bodies of jobs that wait here.
    waiting_bytes: usize,
    most: Prefetch,
    /// Tasks that look for something to run.
    pub(super) workers: usize,
    /// Whether nothing further is to begin: the inbox keeps it for the next consumer.
    stopping: bool,
    /// Whether the pump waits for a job to begin or to end.
    pub(super) pump_waits: bool,
    /// How many runs were found to be long.
    long_running: usize,
}

/// Where an open job lies.
pub(super) type JobKey = usize;

struct OpenJob {
    job: Job,
    /// In the order in which they were taken.
    number: u64,
    state: JobState,
    /// When it began to run.
    begun: Option<Instant>,
    /// Whether its run was found to be long.
    is_long: bool,
    /// When its next attempt may begin, if that is not at once, and its lane meanwhile.
    not_before: Option<Instant>,
    lane: Option<ParkedLane>,
}

/// What the pump is to do.
pub(super) struct Plan {
    /// How much to take.
    pub(super) prefetch: Option<Prefetch>,
    /// When the first of the parked jobs is due.
    pub(super) next_due: Option<Instant>,
    /// Whether nothing runs, and nothing is left that is to run.
    pub(super) is_idle: bool,
}

impl JobQueue {
    pub(super) fn new(slots: usize, limits: &[Option<usize>], in_memory: bool) -> Self {
        Self {
            most: match in_memory {
                true => Prefetch::for_jobs(usize::MAX),
                false => Prefetch {
                    jobs: MOST_JOBS,
                    bytes: MOST_BYTES,
                },
            },
            schedule: Schedule::new(slots, limits),
            jobs: Slab::new(),
            taken: 0,
            parked: BinaryHeap::new(),
            waiting_bytes: 0,
            workers: 0,
            stopping: false,
            pump_waits: false,
            long_running: 0,
        }
    }

    /// Takes a job in, which waits for its turn.
    pub(super) fn admit(&mut self, job: Job, placement: Placement, now: Instant) {
        self.waiting_bytes += job.delivery().body().len();
        let key = self.jobs.insert(OpenJob {
            state: JobState::before_a_run(&job),
            not_before: job.delay().map(|delay| now + delay),
            number: self.taken,
            begun: None,
            is_long: false,
            lane: None,
            job,
        });
        self.taken += 1;
        self.schedule.admit(key, placement);
    }

    /// The next job that may run now.
    pub(super) fn next(&mut self) -> Option<(JobKey, Job, RunSlot)> {
        if self.stopping {
            return None;
        }
        loop {
            let (key, slot) = self.schedule.next()?;
            let open = &mut self.jobs[key];
            match open.not_before.take() {
                Some(until) if until > Instant::now() => {
                    self.waiting_bytes -= open.job.delivery().body().len();
                    self.park(key, slot, until);
                }
                _ => {
                    self.waiting_bytes -= open.job.delivery().body().len();
                    return Some((key, open.job.clone(), slot));
                }
            }
        }
    }

    /// Whether a job is next, or a suspect is in its way.
    pub(super) fn may_have_next(&self) -> bool {
        !self.stopping && self.schedule.may_have_next()
    }

    /// A job begins to run.
    pub(super) fn begin(&mut self, key: JobKey) {
        if let Some(open) = self.jobs.get_mut(key) {
            open.state = JobState::Running;
            open.begun = Some(Instant::now());
        }
    }

    /// Runs that have been going on for so long, each of them once.
    pub(super) fn find_long(&mut self, long: Duration) -> Vec<Job> {
        let running = self.jobs.iter_mut().map(|(_, open)| open);
        let found: Vec<Job> = running
            .filter(|open| open.state == JobState::Running && !open.is_long)
            .filter(|open| open.begun.is_some_and(|begun| begun.elapsed() >= long))
            .map(|open| {
                open.is_long = true;
                open.job.clone()
            })
            .collect();
        self.long_running += found.len();
        found
    }

    /// How many runs were found to be long, and go on.
    pub(super) fn long_running(&self) -> usize {
        self.long_running
    }

    /// Pauses or resumes a handler.
    pub(super) fn pause(&mut self, handler: usize, paused: bool) {
        self.schedule.pause(handler, paused);
    }

    pub(super) fn paused(&self) -> Vec<usize> {
        self.schedule.paused().collect()
    }

    /// The job, if it was open: closing one is what entitles to settle it.
    pub(super) fn close(&mut self, key: JobKey) -> Option<Job> {
        let open = self.jobs.try_remove(key);
        if self.jobs.is_empty() && self.jobs.capacity() > PREFETCH_JOBS {
            self.jobs = Slab::new();
        }
        if open.as_ref().is_some_and(|open| open.is_long) {
            self.long_running -= 1;
        }
        open.map(|open| open.job)
    }

    /// Records a failed attempt of a job that runs again in its lane; false when it is closed.
    pub(super) fn fail_in_place(&mut self, key: JobKey, next: Job) -> bool {
        let Some(open) = self.jobs.get_mut(key) else {
            return false;
        };
        open.job = next;
        open.state = JobState::Failed;
        if std::mem::take(&mut open.is_long) {
            self.long_running -= 1;
        }
        true
    }

    /// A run has ended.
    pub(super) fn end(&mut self, slot: RunSlot) {
        self.schedule.ended(slot);
    }

    /// A run has ended, and its job keeps the lane until then.
    pub(super) fn park(&mut self, key: JobKey, slot: RunSlot, until: Instant) {
        let Some(open) = self.jobs.get_mut(key) else {
            return self.schedule.ended(slot);
        };
        self.waiting_bytes += open.job.delivery().body().len();
        open.lane = Some(self.schedule.park(slot));
        // The pump has the timer for it.
        self.pump_waits = true;
        self.parked.push(Reverse((until, open.number, key)));
    }

    pub(super) fn end_quarantine(&mut self, quarantine: QuarantineId) {
        self.schedule.end_quarantine(quarantine);
    }

    /// Lets parked jobs go on whose time has come, and says what the pump is to do next.
    pub(super) fn plan(&mut self, now: Instant) -> Plan {
        while let Some(Reverse((due, _, key))) = self.parked.peek()
            && *due <= now
        {
            let key = *key;
            self.parked.pop();
            self.resume(key);
        }
        Plan {
            prefetch: self.prefetch(),
            next_due: self.parked.peek().map(|Reverse((due, ..))| *due),
            is_idle: self.schedule.running() == 0
                && (self.stopping || (self.schedule.waiting() == 0 && self.parked.is_empty())),
        }
    }

    fn resume(&mut self, key: JobKey) {
        if let Some(open) = self.jobs.get_mut(key)
            && let Some(lane) = open.lane.take()
        {
            open.not_before = None;
            self.schedule.resume(key, lane);
        }
    }

    /// How much to take out of the inbox now: not much more than can begin at once, so that the
    /// rest stays where it is safe.
    fn prefetch(&self) -> Option<Prefetch> {
        // To be told that there is no more.
        if self.stopping {
            return Some(Prefetch::for_jobs(1));
        }
        let waiting = self.schedule.waiting();
        let ahead = PREFETCH_JOBS.saturating_sub(waiting);
        let (jobs, bytes) = if ahead >= BATCH && self.waiting_bytes < PREFETCH_BYTES {
            (ahead, PREFETCH_BYTES)
        } else {
            let most = self.most.jobs.saturating_sub(waiting);
            (self.schedule.free().min(most), self.most.bytes)
        };
        let prefetch = Prefetch {
            jobs: jobs.min(BATCH),
            bytes: bytes.saturating_sub(self.waiting_bytes),
        };
        (!prefetch.is_full()).then_some(prefetch)
    }

    /// Nothing new will come. What waits stays for the next consumer where the inbox `keeps` it,
    /// and is run at once where it would be lost.
    pub(super) fn stop(&mut self, keeps: bool) {
        if keeps {
            self.stopping = true;
            return;
        }
        for handler in self.paused() {
            self.pause(handler, false);
        }
        let mut parked = std::mem::take(&mut self.parked).into_sorted_vec();
        while let Some(Reverse((_, _, key))) = parked.pop() {
            self.resume(key);
        }
    }

    /// Nothing further begins, and nobody settles what is open.
    pub(super) fn close_all(&mut self) {
        self.stopping = true;
        self.long_running = 0;
        self.jobs = Slab::new();
        self.parked = BinaryHeap::new();
    }

    /// First those that run, each in the order in which they were taken. `all` of them, or only
    /// those that run.
    pub(super) fn unfinished(&self, all: bool) -> Vec<Unfinished> {
        let jobs = self.jobs.iter().map(|(_, open)| open);
        let mut jobs: Vec<&OpenJob> = jobs
            .filter(|open| all || open.state == JobState::Running)
            .collect();
        jobs.sort_by_key(|open| (open.state != JobState::Running, open.number));
        let unfinished = jobs.into_iter();
        unfinished
            .map(|open| Unfinished::new(&open.job, open.state))
            .collect()
    }
}
