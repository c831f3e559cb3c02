//! A consumer: what it has taken, and what it says of that until it is written down.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Alive;
use super::lease::{JobLease, Membership};
use super::row::attempt_json;
use super::server::Trouble;
use super::shared::{Shared, Wake};
use crate::inbox::{Consumer, InboxError, Job, Lease, Reply, ReplySender, Room, Settled};

/// With fewer jobs than this at hand, more are read.
pub(super) const LOW: usize = 128;

/// The number of an event, and the place of the handler among its handlers.
pub(super) type Key = (i64, i16);

/// What a consumer and its tasks share.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    pub(super) local: Mutex<Local>,
    pub(super) wake: Wake,
    /// There are jobs to be taken, or there will be none any more.
    ready: Notify,
    /// There is something to be written down.
    pub(super) write: Notify,
    /// Something was written down, or could not be.
    pub(super) written: Notify,
    /// The consumer is gone.
    pub(super) stopped: CancellationToken,
    pub(super) member: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
pub(super) struct Local {
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
    pub(super) waiting: HashSet<Key>,
    writes: VecDeque<Write>,
    writing: bool,
    /// How often writing failed.
    failures: u64,
    drained: bool,
    /// It has left for good.
    pub(super) left: bool,
}

struct Entry {
    job: Job,
    partition: i16,
    attempts: i32,
    stage: Stage,
    lease: Arc<JobLease>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ready,
    Taken,
    Begun,
    /// It is to be written down.
    Settled,
}

/// What [`settle`](super::write) is told of a job.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub(super) enum What {
    Begin = 0,
    Done = 1,
    Again = 2,
    AgainInLane = 3,
    Dead = 4,
    Released = 5,
}

pub(super) struct Write {
    pub(super) key: Key,
    pub(super) what: What,
    pub(super) attempts: i32,
    pub(super) after: Duration,
    pub(super) failed: Option<String>,
    pub(super) begins: Option<ReplySender<(), InboxError>>,
}

impl Local {
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
            stage: Stage::Ready,
            lease,
        };
        let new = self.jobs.insert(key, entry).is_none();
        if new {
            self.ready.push_back(key);
            self.waiting.remove(&key);
        }
        new
    }

    /// Lets go of what has not begun in a partition.
    pub(super) fn revoke(&mut self, partition: i16) {
        self.jobs.retain(|_, entry| {
            let goes =
                entry.partition == partition && matches!(entry.stage, Stage::Ready | Stage::Taken);
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

    fn clear(&mut self) {
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
            match write.what {
                What::Begin => {}
                What::AgainInLane => {
                    let entry = self.jobs.get_mut(&write.key);
                    if let Some(entry) = entry.filter(|entry| entry.stage == Stage::Settled) {
                        entry.stage = Stage::Taken;
                    }
                }
                What::Again => {
                    self.ask_due = true;
                    self.jobs.remove(&write.key);
                }
                What::Done | What::Dead | What::Released => {
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

impl Core {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            local: Mutex::default(),
            wake: Wake::default(),
            ready: Notify::new(),
            write: Notify::new(),
            written: Notify::new(),
            stopped: CancellationToken::new(),
            member: Mutex::default(),
        }
    }

    pub(super) fn local(&self) -> MutexGuard<'_, Local> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever takes is told.
    pub(super) fn tell(&self) {
        self.ready.notify_waiters();
    }

    pub(super) fn could_not_write(&self) {
        self.local().failures += 1;
        self.written.notify_waiters();
    }

    /// Until all is written down that was settled, or some of it could not be.
    pub(super) async fn all_written(&self) -> Result<(), InboxError> {
        let before = self.local().failures;
        loop {
            let written = self.written.notified();
            tokio::pin!(written);
            written.as_mut().enable();
            {
                let local = self.local();
                if local.writes.is_empty() && !local.writing {
                    return Ok(());
                }
                if local.failures > before {
                    return Err(InboxError::storage("the database cannot be written"));
                }
            }
            written.await;
        }
    }

    /// Nothing is this consumer's any more.
    pub(super) fn clear(&self) {
        self.local().clear();
        self.wake.waiting.store(0, Ordering::Release);
        self.written.notify_waiters();
    }

    /// Gives all up, so that others need not wait until the lease is over.
    async fn leave(&self) -> Result<(), Trouble> {
        let membership = {
            let mut local = self.local();
            local.left = true;
            local.membership.clone()
        };
        let Some(membership) = membership else {
            return Ok(());
        };
        let removed = super::member::remove(&self.shared, membership.id, false).await;
        membership.end();
        self.clear();
        self.shared.announce_members();
        removed
    }
}

/// Takes jobs of the partitions that it owns.
pub(super) struct PostgresConsumer {
    core: Arc<Core>,
    _alive: Arc<Alive>,
}

impl PostgresConsumer {
    pub(super) fn new(core: Arc<Core>, alive: Arc<Alive>) -> Self {
        Self {
            core,
            _alive: alive,
        }
    }
}

#[async_trait]
impl Consumer for PostgresConsumer {
    async fn take(&self, mut room: Room) -> Option<Vec<Job>> {
        loop {
            let ready = self.core.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            let (jobs, is_low) = {
                let mut local = self.core.local();
                if local.drained {
                    return None;
                }
                let mut jobs = Vec::new();
                while !room.is_full()
                    && let Some(key) = local.ready.pop_front()
                {
                    if let Some(entry) = local.jobs.get_mut(&key) {
                        entry.stage = Stage::Taken;
                        room.add(entry.job.delivery().body().len());
                        jobs.push(entry.job.clone());
                    }
                }
                (jobs, local.ready.len() < LOW)
            };
            if is_low && !jobs.is_empty() {
                self.core.wake.wake(u64::MAX);
            }
            if !jobs.is_empty() {
                return Some(jobs);
            }
            ready.await;
        }
    }

    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        let (starter, reply) = Reply::pending();
        let mut local = self.core.local();
        let Some(entry) = mine(&mut local, job) else {
            return reply;
        };
        entry.stage = Stage::Begun;
        let write = Write {
            key: key(job),
            what: What::Begin,
            attempts: 0,
            after: Duration::ZERO,
            failed: None,
            begins: Some(starter),
        };
        local.writes.push_back(write);
        drop(local);
        self.core.write.notify_one();
        reply
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let mut guard = self.core.local();
        let local = &mut *guard;
        let Some(entry) = mine(local, job) else {
            return;
        };
        let begun = entry.stage == Stage::Begun;
        let (what, failed, after) = match outcome {
            Settled::Done => (What::Done, None, Duration::ZERO),
            Settled::Retry {
                failed,
                after,
                in_place: false,
            } => (What::Again, Some(failed), after),
            Settled::Retry {
                failed,
                after,
                in_place: true,
            } => (What::AgainInLane, Some(failed), after),
            Settled::Dead { failed } => (What::Dead, failed, Duration::ZERO),
            Settled::Released if begun => (What::Released, None, Duration::ZERO),
            // As if it had not been taken: it stands in the table as it did.
            Settled::Released | Settled::Unroutable => {
                if matches!(outcome, Settled::Unroutable) {
                    let name = job.handler().as_str().to_owned();
                    self.core.shared.unrouted().insert(name);
                }
                local.jobs.remove(&key(job));
                drop(guard);
                self.core.written.notify_waiters();
                return self.core.wake.wake(u64::MAX);
            }
        };
        entry.stage = Stage::Settled;
        entry.attempts = entry.attempts.saturating_add(failed.is_some().into());
        let write = Write {
            key: key(job),
            what,
            attempts: entry.attempts,
            after,
            failed: failed.as_ref().map(attempt_json),
            begins: None,
        };
        local.writes.push_back(write);
        if what == What::Again {
            local.waiting.insert(key(job));
            let waiting = local.waiting.len();
            self.core.wake.waiting.store(waiting, Ordering::Release);
        }
        drop(guard);
        self.core.write.notify_one();
    }

    fn drain(&self) {
        self.core.local().drained = true;
        self.core.tell();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        let core = Arc::clone(&self.core);
        let flushed = self.core.shared.runtime.spawn(async move {
            core.all_written().await?;
            if core.local().drained {
                core.leave().await.map_err(InboxError::storage)?;
            }
            core.shared.refresh().await.map_err(InboxError::storage)
        });
        flushed
            .await
            .unwrap_or_else(|ended| Err(InboxError::storage(ended)))
    }
}

/// The entry of a job that is still this consumer's.
fn mine<'a>(local: &'a mut Local, job: &Job) -> Option<&'a mut Entry> {
    let entry = local.jobs.get_mut(&key(job))?;
    let lease = job.lease()?;
    let same = std::ptr::addr_eq(Arc::as_ptr(lease), Arc::as_ptr(&entry.lease));
    (same && !entry.lease.is_lost()).then_some(entry)
}

impl Drop for PostgresConsumer {
    fn drop(&mut self) {
        /// What cannot be written in this time comes to the next one when the lease is over.
        const LAST: Duration = Duration::from_secs(5);
        let core = Arc::clone(&self.core);
        core.local().drained = true;
        core.tell();
        core.shared.leaving.send_modify(|count| *count += 1);
        let alive = Arc::clone(&self._alive);
        let leave = async move {
            let member = core
                .member
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let all = async {
                let _ = core.all_written().await;
                if let Err(trouble) = core.leave().await {
                    tracing::debug!(%trouble, "a consumer ends by its lease");
                }
                core.stopped.cancel();
                if let Some(member) = member {
                    drop(member.await);
                }
            };
            drop(tokio::time::timeout(LAST, all).await);
            core.stopped.cancel();
            core.shared.leaving.send_modify(|count| *count -= 1);
            drop(alive);
        };
        let shared = &self.core.shared;
        drop(shared.tasks.spawn_on(leave, &shared.runtime));
    }
}
