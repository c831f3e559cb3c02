use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::Kept;
use crate::clock::Clock;
use crate::event::Identity;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::dashmap::{DashMap, Entry};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The time within which the sender's tries of one delivery all come: three of up to 15 s with
/// pauses of 1 s, and room for a slow network.
pub(crate) const RETRY_TIME: Duration = Duration::from_secs(100);

/// How many entries of the expiry queue one call takes off at most: more than the one that it adds.
const EXPIRED_PER_CALL: usize = 4;

/// A TTL cache of identities.
///
/// An identity is *open* while its event is not finished, and *finished* after. An open one is
/// never forgotten. A finished one is when its time to live is over or, while there are more than
/// `capacity`, when it is the one that finished first.
///
/// At a million an identity takes 44 bytes in the map, which doubles when it is 7/8 full, and 21 in
/// the expiry queue. Neither shrinks.
pub(crate) struct DedupCache {
    entries: DashMap<Identity, EntryState, RandomState>,
    /// Finished identities in the order in which they finished, each of them once. Not locked
    /// together with a shard of `entries`.
    expiry_queue: Mutex<VecDeque<Expiry>>,
    /// Length of `entries`, whose own `len` locks each shard.
    len: AtomicUsize,
    /// In seconds, as all times here.
    ttl: u32,
    capacity: usize,
    evicted: AtomicU64,
    warned_at: AtomicU32,
    clock: Arc<dyn Clock>,
}

struct Expiry {
    identity: Identity,
    kept_at: u32,
}

/// The second in which an identity was kept and two flags, in the four bytes that fit beside it.
#[derive(Clone, Copy)]
struct EntryState(u32);

impl EntryState {
    /// Its event is not finished.
    const OPEN: u32 = 1 << 31;
    /// It is in the expiry queue: any that is finished, and one that was kept again after its time.
    const QUEUED: u32 = 1 << 30;
    /// Beyond this, 34 years, time stands still.
    const LAST: u32 = Self::QUEUED - 1;

    fn open(kept_at: u32) -> Self {
        Self(kept_at | Self::OPEN)
    }

    fn finished(kept_at: u32) -> Self {
        Self(kept_at | Self::QUEUED)
    }

    fn is_open(self) -> bool {
        self.0 & Self::OPEN != 0
    }

    fn kept_at(self) -> u32 {
        self.0 & Self::LAST
    }
}

impl DedupCache {
    pub(crate) fn new(ttl: Duration, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let ttl = seconds(ttl).saturating_add(u32::from(ttl.subsec_nanos() > 0));
        Self {
            entries: DashMap::with_hasher(RandomState::default()),
            expiry_queue: Mutex::default(),
            len: AtomicUsize::new(0),
            // One more, as the times of which it is the difference are rounded down.
            ttl: ttl.saturating_add(1).min(EntryState::LAST),
            capacity: capacity.max(1),
            evicted: AtomicU64::new(0),
            warned_at: AtomicU32::new(0),
            clock,
        }
    }

    /// Runs `keep` unless the identity is known, and remembers the identity as open when it
    /// succeeds.
    ///
    /// `keep` runs under the lock of the identity's shard: of two copies at the same instant, one
    /// waits until the other is kept or refused. It must be short and must not come back here.
    pub(crate) fn insert_if_absent<E>(
        &self,
        identity: Identity,
        keep: impl FnOnce() -> Result<(), E>,
    ) -> Result<Kept, E> {
        let now = self.now();
        let entry = self.entries.entry(identity);
        if self.is_alive(&entry, now) {
            return Ok(Kept::Duplicate);
        }
        keep()?;
        self.write(entry, EntryState::open(now));
        if self.len() > self.capacity {
            self.expire(now);
        }
        Ok(Kept::New)
    }

    /// The identity's event is finished: it may be forgotten when its time has come.
    pub(crate) fn finish(&self, identity: Identity) {
        let entry = self.entries.entry(identity);
        if let Entry::Occupied(known) = &entry
            && known.get().is_open()
        {
            let kept_at = known.get().kept_at();
            self.write_finished(entry, kept_at, self.now());
        }
    }

    /// For identities that are not unique to one event: runs `keep` in any case, telling it whether
    /// the identity was touched within the time to live, and touches it when `keep` succeeds. What
    /// holds for the `keep` of [`insert_if_absent`](Self::insert_if_absent) holds for this.
    pub(crate) fn touch<E>(
        &self,
        identity: Identity,
        keep: impl FnOnce(bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = self.now();
        let entry = self.entries.entry(identity);
        keep(self.is_alive(&entry, now))?;
        self.write_finished(entry, now, now);
        Ok(())
    }

    /// Whether a copy of this would be known.
    #[cfg(feature = "disk-system")]
    pub(crate) fn contains(&self, identity: Identity) -> bool {
        self.is_alive(&self.entries.entry(identity), self.now())
    }

    /// Remembers an identity that was kept this long ago; in the order in which they were kept.
    #[cfg(feature = "disk-system")]
    pub(crate) fn insert(&self, identity: Identity, age: Duration, open: bool) {
        let now = self.now();
        let kept_at = now.saturating_sub(seconds(age));
        if open {
            self.write(self.entries.entry(identity), EntryState::open(kept_at));
            if self.len() > self.capacity {
                self.expire(now);
            }
        } else if !self.has_expired(kept_at, now) {
            self.write_finished(self.entries.entry(identity), kept_at, now);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// How many were forgotten before their time was over.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Gives whether the identity is in the expiry queue from before.
    fn write(&self, entry: Entry<'_, Identity, EntryState>, state: EntryState) -> bool {
        match entry {
            Entry::Occupied(mut known) => {
                let queued = known.get().0 & EntryState::QUEUED;
                *known.get_mut() = EntryState(state.0 | queued);
                queued != 0
            }
            Entry::Vacant(vacant) => {
                vacant.insert(state);
                self.len.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }

    fn write_finished(&self, entry: Entry<'_, Identity, EntryState>, kept_at: u32, now: u32) {
        let identity = *entry.key();
        if !self.write(entry, EntryState::finished(kept_at)) {
            self.queue(Expiry { identity, kept_at });
        }
        self.expire(now);
    }

    /// Forgets what has expired and, over capacity, what finished first. When none is finished, all
    /// are open, and their number is bounded by the inbox.
    fn expire(&self, now: u32) {
        for _ in 0..EXPIRED_PER_CALL {
            let is_over = self.len() > self.capacity;
            let mut queue = self.expiry_queue();
            let is_due = |next: &Expiry| is_over || self.has_expired(next.kept_at, now);
            if !queue.front().is_some_and(is_due) {
                return;
            }
            let next = queue.pop_front();
            drop(queue);
            if let Some(next) = next {
                self.forget(next, now);
            }
        }
    }

    /// Forgets an identity that was taken off the expiry queue, unless it was kept again since.
    fn forget(&self, Expiry { identity, kept_at }: Expiry, now: u32) {
        let Entry::Occupied(mut known) = self.entries.entry(identity) else {
            return;
        };
        let state = *known.get();
        if state.is_open() {
            *known.get_mut() = EntryState::open(state.kept_at());
        } else if state.kept_at() == kept_at {
            known.remove();
            self.len.fetch_sub(1, Ordering::Relaxed);
            if !self.has_expired(kept_at, now) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                self.warn_if_young(now.saturating_sub(kept_at), now);
            }
        } else {
            drop(known);
            self.queue(Expiry {
                identity,
                kept_at: state.kept_at(),
            });
        }
    }

    /// A copy can still come for an identity this young. Said at most once in the retry time.
    fn warn_if_young(&self, age: u32, now: u32) {
        let limit = seconds(RETRY_TIME);
        let last = self.warned_at.load(Ordering::Relaxed);
        if age < limit
            && (last == 0 || now.saturating_sub(last) >= limit)
            && self
                .warned_at
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(
                capacity = self.capacity,
                "identities are forgotten while the sender may still send copies: raise max_identities"
            );
        }
    }

    fn is_alive(&self, entry: &Entry<'_, Identity, EntryState>, now: u32) -> bool {
        let Entry::Occupied(known) = entry else {
            return false;
        };
        known.get().is_open() || !self.has_expired(known.get().kept_at(), now)
    }

    fn has_expired(&self, kept_at: u32, now: u32) -> bool {
        now.saturating_sub(kept_at) >= self.ttl
    }

    /// From `ttl` on, so that there is a time for what was kept before the clock began.
    fn now(&self) -> u32 {
        let now = self.ttl.saturating_add(seconds(self.clock.monotonic()));
        now.min(EntryState::LAST)
    }

    fn queue(&self, expiry: Expiry) {
        self.expiry_queue().push_back(expiry);
    }

    fn expiry_queue(&self) -> MutexGuard<'_, VecDeque<Expiry>> {
        let queue = self.expiry_queue.lock();
        queue.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole seconds.
fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).map_or(EntryState::LAST, |seconds| seconds.min(EntryState::LAST))
}

#[cfg(test)]
mod tests;
