use std::time::Duration;

use super::blocks::Blocks;
use crate::clock::Clock;
use crate::event::EventKey;
use crate::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sync::map::{DashMap, Entry};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The time within which the sender's tries of one delivery all come: three of up to 15 s with
/// pauses of 1 s, and room for a slow network.
pub(crate) const RETRY_TIME: Duration = Duration::from_secs(100);

const TICKS_PER_SECOND: u64 = 10;
const OPEN: u32 = 1 << 31;

/// Identities and when they were kept: a map with a lifetime for each entry.
///
/// An identity is *open* while its event is not finished and *finished* after. An open one is never
/// forgotten. Finished ones stand in line in the order in which they finished; each step that adds
/// to the line takes what has expired off its other end, so that no step ever walks the map.
///
/// A place in line tells for which keeping it was taken: an identity that was kept again since, or
/// noted again, stands further back, and its old place counts for nothing.
///
/// An identity takes 20 bytes in the map and 10 in the line. Half of it is the map's key and the
/// other half is compared, which saves the line 8 bytes. Two identities that share the first half
/// cannot both be remembered; among a million there is a pair with a chance of 3 in 10^8, and then
/// the later one is handled and not remembered.
pub(crate) struct Seen {
    map: DashMap<Half, Slot, foldhash::fast::RandomState>,
    finished: Mutex<Blocks<Place>>,
    len: AtomicUsize,
    ttl: u32,
    /// The tick at which the clock begins.
    origin: u32,
    capacity: usize,
    evicted: AtomicU64,
    warned_at: AtomicU32,
    clock: Arc<dyn Clock>,
}

type Half = [u8; 8];

#[derive(Clone, Copy)]
struct Slot {
    rest: Half,
    /// The highest bit tells whether it is open; the others when it was kept, in ticks.
    state: u32,
}

impl Slot {
    fn is_open(self) -> bool {
        self.state & OPEN != 0
    }

    fn kept_at(self) -> u32 {
        self.state & !OPEN
    }
}

/// A place in line: an identity's first half, and the lower half of the tick at which it was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place([u8; 10]);

impl Place {
    fn new(half: Half, slot: Slot) -> Self {
        let [a, b, c, d, e, f, g, h] = half;
        let [_, _, y, z] = slot.kept_at().to_be_bytes();
        Self([a, b, c, d, e, f, g, h, y, z])
    }

    fn half(self) -> Half {
        let [a, b, c, d, e, f, g, h, _, _] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    /// Whether the slot is finished and stands here, rather than further back. Ticks an exact
    /// multiple of 1.8 hours apart are taken for one another; that costs an identity its turn.
    fn is_of(self, slot: Slot) -> bool {
        !slot.is_open() && Self::new(self.half(), slot) == self
    }
}

/// What admitting an identity came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    New,
    Known,
}

impl Seen {
    pub(crate) fn new(ttl: Duration, capacity: usize, clock: Arc<dyn Clock>) -> Self {
        Self {
            map: DashMap::with_hasher(foldhash::fast::RandomState::default()),
            finished: Mutex::new(Blocks::default()),
            len: AtomicUsize::new(0),
            // Rounded up, so that an identity lives at least as long as asked.
            ttl: ticks(ttl).saturating_add(1),
            origin: 0,
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
            origin: seen.ttl,
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
        let (half, rest) = split(key);
        match self.map.entry(half) {
            Entry::Occupied(mut entry) => {
                let slot = *entry.get();
                let alive = slot.is_open() || !self.expired(slot, now);
                if alive && slot.rest == rest {
                    return Ok(Admitted::Known);
                }
                keep()?;
                if !alive {
                    entry.insert(Slot {
                        rest,
                        state: now | OPEN,
                    });
                }
            }
            Entry::Vacant(entry) => {
                keep()?;
                self.len.fetch_add(1, Ordering::Relaxed);
                entry.insert(Slot {
                    rest,
                    state: now | OPEN,
                });
            }
        }
        self.evict(now);
        Ok(Admitted::New)
    }

    /// The identity's event is finished: it may be forgotten when its time has come.
    pub(crate) fn finish(&self, key: EventKey) {
        let (half, rest) = split(key);
        let place = match self.map.get_mut(&half) {
            Some(mut slot) if slot.rest == rest && slot.is_open() => {
                slot.state &= !OPEN;
                Place::new(half, *slot)
            }
            _ => return,
        };
        self.stand_in_line(place);
    }

    /// For identities that are not unique to one event: runs `keep` in any case, telling it whether
    /// the identity was noted within the time to live, and notes it when `keep` succeeds.
    pub(crate) fn note<E>(
        &self,
        key: EventKey,
        keep: impl FnOnce(bool) -> Result<(), E>,
    ) -> Result<(), E> {
        let now = self.now();
        let (half, rest) = split(key);
        let slot = Slot { rest, state: now };
        match self.map.entry(half) {
            Entry::Occupied(mut entry) => {
                let before = *entry.get();
                keep(before.rest == rest && !self.expired(before, now))?;
                if entry.insert(slot).state == now {
                    // It stands where it would be put.
                    return Ok(());
                }
            }
            Entry::Vacant(entry) => {
                keep(false)?;
                self.len.fetch_add(1, Ordering::Relaxed);
                entry.insert(slot);
            }
        }
        self.stand_in_line(Place::new(half, slot));
        Ok(())
    }

    /// Whether a copy of this would be known.
    #[cfg(feature = "disk")]
    pub(crate) fn knows(&self, key: EventKey) -> bool {
        let now = self.now();
        let (half, rest) = split(key);
        self.map
            .get(&half)
            .is_some_and(|slot| slot.rest == rest && (slot.is_open() || !self.expired(*slot, now)))
    }

    /// Remembers an identity that was kept this long ago, before anything else is remembered; in the
    /// order in which they were kept.
    #[cfg(feature = "disk")]
    pub(crate) fn restore(&self, key: EventKey, age: Duration, open: bool) {
        let age = ticks(age);
        if !open && age >= self.ttl {
            return;
        }
        let (half, rest) = split(key);
        let kept_at = self.now().saturating_sub(age);
        let state = if open { kept_at | OPEN } else { kept_at };
        let slot = Slot { rest, state };
        if self.map.insert(half, slot).is_none() {
            self.len.fetch_add(1, Ordering::Relaxed);
        }
        if !open {
            self.line().push(Place::new(half, slot));
            self.evict(self.now());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Adds to the line and makes room at its other end.
    fn stand_in_line(&self, place: Place) {
        let now = self.now();
        self.line().push(place);
        self.forget_expired(now);
        self.evict(now);
    }

    /// Takes up to two places off the line that have expired or count for nothing. Every call follows
    /// a push, so the line shrinks for as long as there are such at its head.
    fn forget_expired(&self, now: u32) {
        for _ in 0..2 {
            let mut line = self.line();
            let Some(place) = line.first().copied() else {
                return;
            };
            let stays = |slot: Slot| place.is_of(slot) && !self.expired(slot, now);
            if self.map.get(&place.half()).is_some_and(|slot| stays(*slot)) {
                return;
            }
            line.pop();
            drop(line);
            self.remove(place, |slot| self.expired(slot, now));
        }
    }

    /// Over capacity, forgets up to two identities, those that finished first. When none is finished,
    /// all are open and their number is bounded by the inbox.
    fn evict(&self, now: u32) {
        for _ in 0..2 {
            let mut removed = None;
            while removed.is_none() && self.len() > self.capacity {
                let Some(place) = self.line().pop() else {
                    return;
                };
                removed = self.remove(place, |_| true);
            }
            let Some(slot) = removed else { return };
            if !self.expired(slot, now) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                self.warn_if_young(now.saturating_sub(slot.kept_at()), now);
            }
        }
    }

    /// Forgets the identity at this place, if the place still counts.
    fn remove(&self, place: Place, also: impl Fn(Slot) -> bool) -> Option<Slot> {
        let removed = self
            .map
            .remove_if(&place.half(), |_, slot| place.is_of(*slot) && also(*slot));
        if removed.is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        removed.map(|(_, slot)| slot)
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

    fn expired(&self, slot: Slot, now: u32) -> bool {
        now.saturating_sub(slot.kept_at()) >= self.ttl
    }

    fn now(&self) -> u32 {
        ticks(self.clock.monotonic())
            .saturating_add(self.origin)
            .min(OPEN - 1)
    }

    fn line(&self) -> MutexGuard<'_, Blocks<Place>> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks fit 31 bits for 6.8 years; beyond that time stands still, and nothing expires any more
/// except by number.
fn ticks(time: Duration) -> u32 {
    let whole = time.as_secs().saturating_mul(TICKS_PER_SECOND);
    let rest = u64::from(time.subsec_millis()) * TICKS_PER_SECOND / 1000;
    u32::try_from(whole.saturating_add(rest)).map_or(OPEN - 1, |ticks| ticks.min(OPEN - 1))
}

fn split(key: EventKey) -> (Half, Half) {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *key.as_bytes();
    ([a, b, c, d, e, f, g, h], rest)
}

#[cfg(all(test, shuttle))]
mod model;
#[cfg(test)]
mod tests;
