use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use slab::Slab;

use super::dead::DeadLetters;
use crate::event::HandlerName;
use crate::event::RecordId;
use crate::inbox::delays::DelayQueue;
use crate::inbox::{Attempt, HandlerSet, Incoming, Job, KeptEvent, Prefetch};
use crate::sync::time::Instant;

/// What one lock covers: keeping an event is one push into it. It is never held across an await.
#[derive(Default)]
pub(super) struct Queue {
    /// Events of which no job was taken, each with its handlers.
    fresh: VecDeque<(Arc<KeptEvent>, HandlerSet)>,
    /// Jobs that may run at once and come before all fresh events, in the order of their events:
    /// those that were released, replays, and what is left of an event that was taken in part.
    ready: BTreeMap<(u64, HandlerName), Job>,
    /// Jobs that have failed and wait for their time.
    pub(super) delayed: DelayQueue<Job>,
    /// Jobs that were taken and are not settled, by their tokens.
    taken: Slab<Job>,
    /// How many jobs of an event are not done or dead, where it has more than one.
    several: HashMap<u64, usize>,
    /// Events that are not finished.
    pub(super) events: usize,
    /// Bytes of their bodies.
    pub(super) bytes: usize,
    pub(super) dead: DeadLetters,
    /// What [`Records::swap_note`](crate::inbox::Records::swap_note) kept.
    pub(super) note: Option<String>,
    /// The last number of an event.
    last_id: u64,
    /// Whether new events are refused.
    pub(super) draining: bool,
    pub(super) is_consumed: bool,
}

impl Queue {
    pub(super) fn push(&mut self, incoming: Incoming, possible_repeat: bool) {
        let event = KeptEvent::new(self.next_id(), incoming.delivery)
            .in_lane(incoming.lane)
            .marked(possible_repeat);
        self.open(&event, &incoming.handlers);
        if self.fresh.len() == self.fresh.capacity() {
            // By an eighth, as twice the room would be a tenth of what an event takes.
            self.fresh.reserve_exact(self.fresh.len() / 8 + Self::ROOM);
        }
        self.fresh.push_back((Arc::new(event), incoming.handlers));
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// An event is there that is not finished.
    fn open(&mut self, event: &KeptEvent, handlers: &HandlerSet) {
        self.events += 1;
        self.bytes += event.delivery().body().len();
        if handlers.len() > 1 {
            self.several.insert(event.id(), handlers.len());
        }
    }

    /// Has an event handled again by these handlers, under a number of its own.
    pub(super) fn replay(
        &mut self,
        original: RecordId,
        event: &KeptEvent,
        handlers: &HandlerSet,
    ) -> u64 {
        let id = self.next_id();
        if !handlers.is_empty() {
            let replay = KeptEvent::new(id, event.delivery().clone())
                .in_lane(event.lane())
                .replaying(Some(original));
            self.open(&replay, handlers);
            let replay = Arc::new(replay);
            for handler in handlers {
                self.make_ready(Job::new(Arc::clone(&replay), handler.clone(), 0));
            }
        }
        id
    }

    /// Takes as many jobs that may run now as the prefetch allows.
    pub(super) fn take(&mut self, mut prefetch: Prefetch, now: Instant) -> Vec<Job> {
        let mut jobs = Vec::new();
        while !prefetch.is_full() {
            let job = self
                .delayed
                .pop_due(now)
                .or_else(|| self.ready.pop_first().map(|(_, job)| job))
                .or_else(|| self.next_fresh());
            let Some(job) = job else { break };
            let entry = self.taken.vacant_entry();
            let job = job.with_token(entry.key() as u64);
            entry.insert(job.clone());
            prefetch.add(job.delivery().body().len());
            jobs.push(job);
        }
        jobs
    }

    /// The first job of the next fresh event; the others are ready.
    fn next_fresh(&mut self) -> Option<Job> {
        let (event, handlers) = self.fresh.pop_front()?;
        if self.fresh.is_empty() {
            self.fresh.shrink_to(Self::ROOM);
        }
        let (first, others) = handlers.split_first()?;
        for handler in others {
            self.make_ready(Job::new(Arc::clone(&event), handler.clone(), 0));
        }
        Some(Job::new(event, first.clone(), 0))
    }

    /// For how many events memory is kept.
    const ROOM: usize = 1024;

    pub(super) fn has_ready(&self, now: Instant) -> bool {
        !self.fresh.is_empty()
            || !self.ready.is_empty()
            || self.delayed.next_due().is_some_and(|due| due <= now)
    }

    /// Whether there will be nothing to take any more.
    pub(super) fn has_ended(&self) -> bool {
        self.draining && self.events == 0
    }

    /// A job is to be taken again after this time.
    pub(super) fn retry(&mut self, job: &Job, failed: Attempt, after: Duration) {
        if let Some(job) = self.settle(job) {
            self.delayed
                .push(Instant::now(), after, job.after_failure(failed));
        }
    }

    /// A job has failed, and its consumer makes the next attempt.
    pub(super) fn fail(&mut self, job: &Job, failed: Attempt) {
        if self.holds(job)
            && let Some(taken) = self.taken.get_mut(job.token() as usize)
        {
            *taken = taken.clone().after_failure(failed);
        }
    }

    /// A job is to be taken again as it was.
    pub(super) fn release(&mut self, job: &Job) {
        if let Some(job) = self.settle(job) {
            self.make_ready(job);
        }
    }

    /// So is everything that was taken.
    pub(super) fn release_taken(&mut self) {
        for job in std::mem::take(&mut self.taken) {
            self.make_ready(job.1);
        }
    }

    pub(super) fn dead_letter(
        &mut self,
        job: &Job,
        failed: Option<Attempt>,
        at: SystemTime,
        most: usize,
    ) {
        if self.holds(job) {
            self.dead.add(job, failed, at, most);
        }
    }

    /// A job is done or dead: whether its event is finished by it.
    pub(super) fn finish(&mut self, job: &Job) -> bool {
        if self.settle(job).is_none() {
            return false;
        }
        if let Some(left) = self.several.get_mut(&job.id()) {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.several.remove(&job.id());
        }
        self.events -= 1;
        self.bytes -= job.delivery().body().len();
        true
    }

    pub(super) fn drain(&mut self, now: Instant) {
        self.draining = true;
        self.delayed.expire_all(now);
    }

    fn make_ready(&mut self, job: Job) {
        self.ready.insert((job.id(), job.handler().clone()), job);
    }

    /// Whether a job is taken and not settled.
    fn holds(&self, job: &Job) -> bool {
        let taken = self.taken.get(job.token() as usize);
        taken.is_some_and(|taken| taken.id() == job.id() && taken.handler() == job.handler())
    }

    /// Gives a job up that was taken, if it still is.
    fn settle(&mut self, job: &Job) -> Option<Job> {
        let job = self
            .holds(job)
            .then(|| self.taken.remove(job.token() as usize));
        if self.taken.is_empty() && self.taken.capacity() > Self::ROOM {
            self.taken = Slab::new();
        }
        job
    }
}
