mod dead;
#[cfg(all(test, shuttle))]
mod model;
mod queue;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use self::queue::Queue;
use super::dedup::{DedupCache, RETRY_TIME};
use super::{
    Consumer, Durability, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError,
    KeepErrorKind, Kept, Prefetch, Records, Repeats, Reply, Settled,
};
use crate::clock::{Clock, SystemClock};
use crate::sync::time::{Instant, sleep_until};
use crate::sync::{Arc, Mutex, MutexGuard, Notify, PoisonError};

/// An inbox in the memory of this process: the default.
///
/// A 200 means that the event is queued here and a clean shutdown will drain it. It is gone when
/// the process dies.
///
/// It is bounded by the number of events that are not finished and by the bytes of their bodies;
/// beyond either it refuses, the sender gets a 503 and tries again.
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::inbox::MemoryInbox;
///
/// let inbox = MemoryInbox::builder()
///     .max_events(50_000)
///     .identity_ttl(Duration::from_secs(600))
///     .build();
/// ```
pub struct MemoryInbox(Arc<Store>);

/// What the inbox shares with its consumer.
struct Store {
    /// Identities of events.
    identities: DedupCache,
    /// Of deliveries that may mean something new when the same bytes come again.
    repeats: DedupCache,
    queue: Mutex<Queue>,
    arrived: Notify,
    settings: MemoryInboxBuilder,
}

/// The settings of a [`MemoryInbox`].
#[derive(Debug)]
#[must_use = "settings do nothing until `build` is called"]
pub struct MemoryInboxBuilder {
    max_events: usize,
    max_bytes: usize,
    max_identities: usize,
    identity_ttl: Duration,
    max_dead: usize,
    clock: Arc<dyn Clock>,
}

impl MemoryInbox {
    /// The default of [`MemoryInboxBuilder::max_events`].
    pub const DEFAULT_MAX_EVENTS: usize = 16_384;
    /// The default of [`MemoryInboxBuilder::max_bytes`]: 64 MiB.
    pub const DEFAULT_MAX_BYTES: usize = 64 << 20;
    /// The default of [`MemoryInboxBuilder::max_identities`].
    pub const DEFAULT_MAX_IDENTITIES: usize = 1_000_000;
    /// The default of [`MemoryInboxBuilder::identity_ttl`]: one hour.
    pub const DEFAULT_IDENTITY_TTL: Duration = Duration::from_secs(3600);
    /// The default of [`MemoryInboxBuilder::max_dead`].
    pub const DEFAULT_MAX_DEAD: usize = 1_000;

    /// An inbox with the default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// The settings, to change them.
    pub fn builder() -> MemoryInboxBuilder {
        MemoryInboxBuilder {
            max_events: Self::DEFAULT_MAX_EVENTS,
            max_bytes: Self::DEFAULT_MAX_BYTES,
            max_identities: Self::DEFAULT_MAX_IDENTITIES,
            identity_ttl: Self::DEFAULT_IDENTITY_TTL,
            max_dead: Self::DEFAULT_MAX_DEAD,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

impl Default for MemoryInbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryInbox")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Inbox for MemoryInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        Reply::ready(self.0.keep(incoming))
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        let mut queue = self.0.queue();
        if queue.is_consumed {
            return Err(InboxError::in_use());
        }
        queue.is_consumed = true;
        queue.draining = false;
        drop(queue);
        Ok(Box::new(MemoryConsumer(Arc::clone(&self.0))))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Durability::Process).knowing_copies_for(self.0.settings.identity_ttl)
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn stats(&self) -> InboxStats {
        let store = &self.0;
        let (settings, queue) = (&store.settings, store.queue());
        InboxStats {
            events: queue.events,
            bytes: queue.bytes,
            identities: store.identities.len() + store.repeats.len(),
            evicted: store.identities.evicted() + store.repeats.evicted(),
            delayed: queue.delayed.len(),
            held: 0,
            dead: queue.dead.jobs(),
            dead_dropped: queue.dead.dropped(),
            max_dead: Some(settings.max_dead),
            dead_nearly_full: queue.dead.is_nearly_full(settings.max_dead),
            full: store.is_full(&queue),
            max_events: Some(settings.max_events),
            max_bytes: Some(settings.max_bytes as u64),
            used_bytes: queue.bytes as u64,
            ..InboxStats::default()
        }
    }
}

impl Store {
    fn keep(&self, incoming: Incoming) -> Result<Kept, KeepError> {
        let identity = incoming.delivery.identity();
        let for_nobody = incoming.handlers.is_empty();
        let kept = match incoming.repeats {
            Repeats::Drop => {
                let push = || self.push(incoming, false);
                self.identities.insert_if_absent(identity, push)
            }
            Repeats::Mark => {
                let push = |repeat| self.push(incoming, repeat);
                self.repeats.touch(identity, push).map(|()| Kept::New)
            }
        };
        // Not under the lock of the identity's shard: whoever is woken may come back here.
        match (&kept, for_nobody) {
            (Ok(Kept::New), true) => self.identities.finish(identity),
            (Ok(Kept::New), false) => self.arrived.notify_one(),
            _ => {}
        }
        kept
    }

    /// Puts one event into the queue, if there is room.
    fn push(&self, incoming: Incoming, possible_repeat: bool) -> Result<(), KeepError> {
        let mut queue = self.queue();
        if queue.draining {
            return Err(KeepError::new(KeepErrorKind::Draining));
        }
        // An event without handlers is finished as it comes: its identity is all that is kept.
        if incoming.handlers.is_empty() {
            return Ok(());
        }
        if self.is_full(&queue) {
            return Err(KeepError::new(KeepErrorKind::Full));
        }
        queue.push(incoming, possible_repeat);
        Ok(())
    }

    /// Whatever the size of what comes next: an event that is larger than the limit must be able to
    /// come in, as refused it would be refused each time.
    fn is_full(&self, queue: &Queue) -> bool {
        let settings = &self.settings;
        queue.events >= settings.max_events.max(1) || queue.bytes >= settings.max_bytes.max(1)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that takes.
struct MemoryConsumer(Arc<Store>);

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn take(&self, prefetch: Prefetch) -> Option<Vec<Job>> {
        let store = &self.0;
        loop {
            let arrived = store.arrived.notified();
            let next_due = {
                let mut queue = store.queue();
                let now = Instant::now();
                let jobs = queue.take(prefetch, now);
                if !jobs.is_empty() {
                    let has_more = queue.has_ready(now);
                    drop(queue);
                    if has_more {
                        store.arrived.notify_one();
                    }
                    return Some(jobs);
                }
                if queue.has_ended() {
                    return None;
                }
                queue.delayed.next_due()
            };
            match next_due {
                None => arrived.await,
                Some(due) => tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let store = &self.0;
        let mut queue = store.queue();
        let dead = match outcome {
            Settled::Retry {
                failed,
                after,
                in_place,
            } => {
                if in_place {
                    return queue.fail(job, failed);
                }
                queue.retry(job, failed, after);
                drop(queue);
                // Everyone who takes learns of it, so that a `take` that is dropped takes along no
                // time that another waits for.
                return store.arrived.notify_waiters();
            }
            Settled::Released => {
                queue.release(job);
                drop(queue);
                return store.arrived.notify_waiters();
            }
            Settled::Done => None,
            Settled::Dead { failed } => Some(failed),
            // The memory does not outlive the process: nobody will ever handle it.
            Settled::Unroutable => Some(None),
        };
        if let Some(failed) = dead {
            let at = store.settings.clock.wall();
            queue.dead_letter(job, failed, at, store.settings.max_dead);
        }
        let finished = queue.finish(job);
        let ended = queue.has_ended();
        drop(queue);
        if finished {
            store.identities.finish(job.delivery().identity());
        }
        if ended {
            store.arrived.notify_waiters();
        }
    }

    fn drain(&self) {
        self.0.queue().drain(Instant::now());
        self.0.arrived.notify_waiters();
    }
}

impl Drop for MemoryConsumer {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.drain(Instant::now());
        queue.release_taken();
        queue.is_consumed = false;
    }
}

impl MemoryInboxBuilder {
    /// How many events may be unfinished at once, waiting for their first or a further attempt or
    /// running; 16,384 by default, at least 1.
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// How many bytes the bodies of unfinished events may have together; 64 MiB by default. The
    /// last one that comes in may go beyond it: new ones are refused from this number on.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many identities are remembered; 1,000,000 by default, for at most 66 bytes each. As many
    /// again may be remembered for 100 seconds, to mark possible repeats.
    ///
    /// At the limit one of those that finished first is forgotten, never one whose event is not
    /// finished, and no delivery is refused for it. A million in an hour is 277 events per second.
    pub fn max_identities(mut self, identities: usize) -> Self {
        self.max_identities = identities;
        self
    }

    /// How long an identity is remembered, from the moment its event was kept; one hour by default,
    /// at most 6 years. A copy does not prolong it.
    ///
    /// All of the sender's tries come within 100 seconds; the rest of the hour is for whoever
    /// captured a request and sends it again, as the signature carries no time. Below 100 seconds a
    /// slow try is handled twice.
    pub fn identity_ttl(mut self, ttl: Duration) -> Self {
        self.identity_ttl = ttl;
        self
    }

    /// How many events that are dead letters are kept, to be looked at and handled again; 1,000 by
    /// default, with up to 16 MiB of bodies. Beyond that the first ones are forgotten.
    pub fn max_dead(mut self, events: usize) -> Self {
        self.max_dead = events;
        self
    }

    /// Where the time comes from; the machine by default.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The inbox.
    #[must_use]
    pub fn build(self) -> MemoryInbox {
        let cache = |ttl| DedupCache::new(ttl, self.max_identities, Arc::clone(&self.clock));
        MemoryInbox(Arc::new(Store {
            identities: cache(self.identity_ttl),
            repeats: cache(RETRY_TIME),
            queue: Mutex::new(Queue::default()),
            arrived: Notify::new(),
            settings: self,
        }))
    }
}
