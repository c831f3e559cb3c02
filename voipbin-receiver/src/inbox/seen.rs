mod shard;

use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::RandomState;

use self::shard::{Halves, Shard, State};
use crate::clock::Clock;
use crate::event::EventKey;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};
use crate::table::At;

/// The time within which the sender's tries of one delivery all come: three of up to 15 s with
/// pauses of 1 s, and room for a slow network.
pub(crate) const RETRY_TIME: Duration = Duration::from_secs(100);

const TICKS_PER_SECOND: u64 = 10;

/// Shards have at least so many identities, where there may be many.
const PER_SHARD: usize = 8192;
const MOST_SHARDS: usize = 64;

/// How many more identities are forgotten at once than must be, where there are many.
const AHEAD: usize = 3;

/// Identities and when they were kept: a map with a lifetime for each entry.
///
/// An identity is *open* while its event is not finished and *finished* after. An open one is never
/// forgotten. Finished ones stand in line in the order in which they finished; each step that adds
/// to the line takes what has expired off its other end, so that no step ever walks the map.
///
/// They are spread over shards, each with a line of its own: so the one that goes when there are too many is
/// the first in the line of a shard. Up to 16,383 have but one.
///
/// An identity takes 27 to 41 bytes in the table, which has room for half as many again after it has grown,
/// and 12 in the line.
pub(crate) struct Seen {
    shard: Mutex<Shard>,
    /// There are more where there may be many identities.
    further_shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    len: AtomicUsize,
    ttl: u32,
    /// The tick at which the clock begins.
    origin: u32,
    capacity: usize,
    evicted: AtomicU64,
    warned_at: AtomicU32,
    clock: Arc<dyn Clock>,
}

/// What admitting an identity came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    New,
    Known,
}

impl Seen {
    pub(crate) fn new(ttl: Duration, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let shards = (capacity / PER_SHARD).clamp(1, MOST_SHARDS);
        let shard = |_| Mutex::new(Shard::default());
        Self {
            shard: shard(0),
            further_shards: (1..shards).map(shard).collect(),
            hasher: RandomState::default(),
            len: AtomicUsize::new(0),
            // Rounded up, so that an identity lives at least as long as asked.
            ttl: ticks(ttl).saturating_add(1),
            origin: 1,
            capacity: capacity.max(1),
            evicted: AtomicU64::new(0),
            warned_at: AtomicU32::new(0),
            clock,
        }
    }

    /// The same with room for identities that were kept before the clock began.
    #[cfg(feature = "disk")]
    pub(crate) fn with_history(ttl: Duration, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        let seen = Self::new(ttl, capacity, clock);
        Self {
            origin: seen.ttl.saturating_add(1),
            ..seen
        }
    }

    /// Runs `keep` unless the identity is known, and remembers the identity as open when it
    /// succeeds.
    ///
    /// `keep` runs under the lock of the identity's shard: of two copies at the same instant, one
    /// waits until the other is kept or refused. It must be short and must not come back here.
    pub(crate) fn admit<E>(
        &self,
        key: EventKey,
        keep: impl FnOnce() -> Result<(), E>,
    ) -> Result<Admitted, E> {
        let now = self.now();
        let identity = Halves::from(key);
        let mut shard = self.shard(identity);
        let found = shard.find(identity);
        if found.is_some_and(|(_, state)| self.is_alive(state, now)) {
            return Ok(Admitted::Known);
        }
        keep()?;
        self.put(&mut shard, found, identity, State::open(now));
        self.evict(&mut shard, now);
        Ok(Admitted::New)
    }

    /// The identity's event is finished: it may be forgotten when its time has come.
    pub(crate) fn finish(&self, key: EventKey) {
        let identity = Halves::from(key);
        let mut shard = self.shard(identity);
        if let Some((at, state)) = shard.find(identity)
            && state.is_open()
        {
            let state = State::finished(state.kept_at());
            shard.set(at, identity, state);
            self.stand_in_line(&mut shard, identity, state);
        }
    }

    /// For identities that are not unique to one event: runs `keep` in any case, telling it whether
    /// the identity was noted within the time to live, and notes it when `keep` succeeds.
    pub(crate) fn note<E>(
        &self,
        key: EventKey,
        keep: impl FnOnce(bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = self.now();
        let identity = Halves::from(key);
        let mut shard = self.shard(identity);
        let found = shard.find(identity);
        let before = found.map(|(_, state)| state);
        keep(before.is_some_and(|before| self.is_alive(before, now)))?;
        let state = State::finished(now);
        // It may stand where it would be put.
        if before != Some(state) {
            self.put(&mut shard, found, identity, state);
            self.stand_in_line(&mut shard, identity, state);
        }
        Ok(())
    }

    /// Whether a copy of this would be known.
    #[cfg(feature = "disk")]
    pub(crate) fn knows(&self, key: EventKey) -> bool {
        let identity = Halves::from(key);
        let found = self.shard(identity).find(identity);
        found.is_some_and(|(_, state)| self.is_alive(state, self.now()))
    }

    /// Remembers an identity that was kept this long ago, before anything else is remembered; in the
    /// order in which they were kept.
    #[cfg(feature = "disk")]
    pub(crate) fn restore(&self, key: EventKey, age: Duration, open: bool) {
        let age = ticks(age);
        if !open && age >= self.ttl {
            return;
        }
        let now = self.now();
        let kept_at = now.saturating_sub(age);
        let identity = Halves::from(key);
        let mut shard = self.shard(identity);
        let found = shard.find(identity);
        if open {
            self.put(&mut shard, found, identity, State::open(kept_at));
        } else {
            let state = State::finished(kept_at);
            self.put(&mut shard, found, identity, state);
            shard.stand_in_line(identity, state);
            self.evict(&mut shard, now);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Remembers an identity, in the place where it was found.
    fn put(&self, shard: &mut Shard, found: Option<(At, State)>, identity: Halves, state: State) {
        match found {
            Some((at, _)) => shard.set(at, identity, state),
            None => {
                shard.add(identity, state);
                self.len.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Adds to the line and makes room at its other end.
    fn stand_in_line(&self, shard: &mut Shard, identity: Halves, state: State) {
        let now = self.now();
        shard.stand_in_line(identity, state);
        let forgotten = shard.forget_expired(|kept_at| self.has_expired(kept_at, now));
        if forgotten > 0 {
            self.len.fetch_sub(forgotten, Ordering::Relaxed);
        }
        self.evict(shard, now);
    }

    /// Over capacity, forgets a few identities of the shard, those that finished first. When none is
    /// finished, all are open and their number is bounded by the inbox.
    ///
    /// Each lies somewhere in memory. So some are forgotten at a time where there are many: a processor looks for
    /// all of them at once.
    fn evict(&self, shard: &mut Shard, now: u32) {
        let len = self.len();
        if len <= self.capacity {
            return;
        }
        let ahead = (self.capacity / PER_SHARD).min(AHEAD);
        let mut forgotten = 0;
        for _ in 0..(len - self.capacity + ahead).min(AHEAD + 1) {
            let Some(kept_at) = shard.forget_first() else {
                break;
            };
            forgotten += 1;
            if !self.has_expired(kept_at, now) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                self.warn_if_young(now.saturating_sub(kept_at), now);
            }
        }
        self.len.fetch_sub(forgotten, Ordering::Relaxed);
    }

    /// A copy can still come for an identity this young. Said at most once in the retry time.
    fn warn_if_young(&self, age: u32, now: u32) {
        let limit = ticks(RETRY_TIME);
        let last = self.warned_at.load(Ordering::Relaxed);
        if age < limit
            && (last == 0 || now.saturating_sub(last) >= limit)
            && self
                .warned_at
                .compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            tracing::warn!(
                capacity = self.capacity,
                "identities are forgotten while the sender may still send copies: raise max_identities"
            );
        }
    }

    fn is_alive(&self, state: State, now: u32) -> bool {
        state.is_open() || !self.has_expired(state.kept_at(), now)
    }

    fn has_expired(&self, kept_at: u32, now: u32) -> bool {
        now.saturating_sub(kept_at) >= self.ttl
    }

    fn now(&self) -> u32 {
        ticks(self.clock.monotonic())
            .saturating_add(self.origin)
            .min(State::LAST)
    }

    fn shard(&self, identity: Halves) -> MutexGuard<'_, Shard> {
        let shards = self.further_shards.len() as u128 + 1;
        let hash = u128::from(self.hasher.hash_one(identity.key));
        let further = (((hash * shards) >> 64) as usize).checked_sub(1);
        let shard = further.and_then(|place| self.further_shards.get(place));
        let shard = shard.unwrap_or(&self.shard).lock();
        shard.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks fit 31 bits for 6.8 years; beyond that time stands still, and nothing expires any more
/// except by number.
fn ticks(time: Duration) -> u32 {
    let whole = time.as_secs().saturating_mul(TICKS_PER_SECOND);
    let rest = u64::from(time.subsec_millis()) * TICKS_PER_SECOND / 1000;
    u32::try_from(whole.saturating_add(rest)).map_or(State::LAST, |ticks| ticks.min(State::LAST))
}

#[cfg(all(test, shuttle))]
mod model;
#[cfg(test)]
mod tests;
