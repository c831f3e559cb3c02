//! What a consumer owns, what it has taken, and what is to be written down of that.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::lease::{JobLease, Membership};
use super::row::attempt_json;
use crate::inbox::{InboxError, Job, Lease, Prefetch, ReplySender, Settled};

/// With fewer jobs than this at hand, more are read.
const LOW: usize = 128;

/// The number of an event, and the place of the handler among its handlers.
pub(super) type Key = (i64, i16);

#[derive(Default)]
pub(super) struct ConsumerState {
    pub(super) membership: Option<Arc<Membership>>,
    pub(super) owned: BTreeSet<i16>,
    /// Owned, and to be given to others once what has begun in it has ended.
    pub(super) giving: BTreeSet<i16>,
    /// Counts changes of `owned`: what was read before one may be somebody else's by now.
    pub(super) generation: u64,
    /// Whether there may be jobs that wait for a time that is not known.
    pub(super) ask_due: bool,
    jobs: HashMap<Key, Entry>,
    ready: VecDeque<Key>,
    /// Jobs that failed here and have not come back.
    pub(super) delayed: HashSet<Key>,
    writes: VecDeque<Write>,
    writing: bool,
    /// How often writing failed.
    pub(super) failures: u64,
    pub(super) drained: bool,
    /// It has left for good.
    pub(super) left: bool,
}

struct Entry {
    job: Job,
    partition: i16,
    attempts: i32,
    phase: Phase,
    lease: Arc<JobLease>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ready,
    Taken,
    Begun,
    /// It is to be written down.
    Settled,
}

/// What [`settle`](super::write) is told of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub(super) enum JobUpdate {
    Begin = 0,
    Done = 1,
    Again = 2,
    AgainInLane = 3,
    Dead = 4,
    Released = 5,
}

pub(super) struct Write {
    pub(super) key: Key,
    pub(super) update: JobUpdate,
    pub(super) attempts: i32,
    pub(super) after: Duration,
    pub(super) failed: Option<String>,
    pub(super) begins: Option<ReplySender<(), InboxError>>,
}

impl ConsumerState {
    /// What may be read from.
    pub(super) fn readable(&self) -> Vec<i16> {
        self.owned.difference(&self.giving).copied().collect()
    }

    pub(super) fn wants_jobs(&self) -> bool {
        !self.drained && self.membership.is_some() && self.ready.len() < LOW
    }

    pub(super) fn known(&self) -> impl Iterator<Item = Key> {
        self.jobs.keys().copied()
    }

    /// Says whether it is new.
    pub(super) fn add(&mut self, job: Job, partition: i16, lease: Arc<JobLease>) -> bool {
        let key = key(&job);
        let entry = Entry {
            attempts: i32::try_from(job.attempts()).unwrap_or(i32::MAX),
            job,
            partition,
            phase: Phase::Ready,
            lease,
        };
        let new = self.jobs.insert(key, entry).is_none();
        if new {
            self.ready.push_back(key);
            self.delayed.remove(&key);
        }
        new
    }

    /// Lets go of what has not begun in a partition.
    pub(super) fn revoke(&mut self, partition: i16) {
        self.jobs.retain(|_, entry| {
            let goes =
                entry.partition == partition && matches!(entry.phase, Phase::Ready | Phase::Taken);
            if goes {
                entry.lease.revoke();
            }
            !goes
        });
        let jobs = &self.jobs;
        self.ready.retain(|key| jobs.contains_key(key));
    }

    /// Partitions in which something has begun, or is still to be written down.
    pub(super) fn busy(&self) -> HashSet<i16> {
        self.jobs.values().map(|entry| entry.partition).collect()
    }

    /// The next jobs, as many as there is room for. Says whether few are left.
    pub(super) fn take(&mut self, room: &mut Prefetch) -> (Vec<Job>, bool) {
        let mut jobs = Vec::new();
        while !room.is_full()
            && let Some(key) = self.ready.pop_front()
        {
            if let Some(entry) = self.jobs.get_mut(&key) {
                entry.phase = Phase::Taken;
                room.add(entry.job.delivery().body().len());
                jobs.push(entry.job.clone());
            }
        }
        (jobs, self.ready.len() < LOW)
    }

    /// The entry of a job that is still this consumer's.
    fn mine(&mut self, job: &Job) -> Option<&mut Entry> {
        let entry = self.jobs.get_mut(&key(job))?;
        let lease = job.lease()?;
        let same = std::ptr::addr_eq(Arc::as_ptr(lease), Arc::as_ptr(&entry.lease));
        (same && !entry.lease.is_lost()).then_some(entry)
    }

    /// Nothing is to be written down where the job is another consumer's.
    pub(super) fn begin(&mut self, job: &Job, begins: ReplySender<(), InboxError>) {
        let Some(entry) = self.mine(job) else {
            return;
        };
        entry.phase = Phase::Begun;
        self.writes.push_back(Write {
            key: key(job),
            update: JobUpdate::Begin,
            attempts: 0,
            after: Duration::ZERO,
            failed: None,
            begins: Some(begins),
        });
    }

    /// Says whether anything is to be written down; `None` where the job is another consumer's.
    /// What had not begun stands in the table as it did before it was taken.
    pub(super) fn settle(&mut self, job: &Job, outcome: Settled) -> Option<bool> {
        let entry = self.mine(job)?;
        let (update, failed, after) = match outcome {
            Settled::Done => (JobUpdate::Done, None, Duration::ZERO),
            Settled::Retry {
                failed,
                after,
                in_place,
            } => {
                let update = if in_place {
                    JobUpdate::AgainInLane
                } else {
                    JobUpdate::Again
                };
                (update, Some(failed), after)
            }
            Settled::Dead { failed } => (JobUpdate::Dead, failed, Duration::ZERO),
            Settled::Released if entry.phase == Phase::Begun => {
                (JobUpdate::Released, None, Duration::ZERO)
            }
            Settled::Released | Settled::Unroutable => {
                self.jobs.remove(&key(job));
                return Some(false);
            }
        };
        entry.phase = Phase::Settled;
        entry.attempts = entry.attempts.saturating_add(failed.is_some().into());
        let attempts = entry.attempts;
        self.writes.push_back(Write {
            key: key(job),
            update,
            attempts,
            after,
            failed: failed.map(|failed| attempt_json(&failed).to_string()),
            begins: None,
        });
        if update == JobUpdate::Again {
            self.delayed.insert(key(job));
        }
        Some(true)
    }

    /// Whether all is written down that was settled.
    pub(super) fn is_written(&self) -> bool {
        self.writes.is_empty() && !self.writing
    }

    pub(super) fn clear(&mut self) {
        for entry in self.jobs.values() {
            entry.lease.revoke();
        }
        *self = Self {
            generation: self.generation + 1,
            failures: self.failures,
            drained: self.drained,
            left: self.left,
            ..Self::default()
        };
    }

    /// What is to be written down next, of each job one thing.
    pub(super) fn next_writes(&mut self) -> Option<(Arc<Membership>, Vec<Write>)> {
        const MOST: usize = 512;
        let membership = self.membership.clone()?;
        let mut keys = HashSet::new();
        let mut writes = Vec::new();
        while writes.len() < MOST
            && let Some(next) = self.writes.front()
            && keys.insert(next.key)
        {
            writes.extend(self.writes.pop_front());
        }
        self.writing = !writes.is_empty();
        self.writing.then_some((membership, writes))
    }

    /// These are committed.
    pub(super) fn wrote(&mut self, writes: &[Write]) {
        self.writing = false;
        for write in writes {
            match write.update {
                JobUpdate::Begin => {}
                JobUpdate::AgainInLane => {
                    let entry = self.jobs.get_mut(&write.key);
                    if let Some(entry) = entry.filter(|entry| entry.phase == Phase::Settled) {
                        entry.phase = Phase::Taken;
                    }
                }
                JobUpdate::Again => {
                    self.ask_due = true;
                    self.jobs.remove(&write.key);
                }
                JobUpdate::Done | JobUpdate::Dead | JobUpdate::Released => {
                    self.jobs.remove(&write.key);
                }
            }
        }
    }
}

fn key(job: &Job) -> Key {
    let place = i16::try_from(job.token()).unwrap_or(i16::MAX);
    (job.id().cast_signed(), place)
}
