use std::num::NonZeroU32;

use crate::event::EventKey;
use crate::inbox::blocks::Blocks;
use crate::table::{At, Table, Value};

/// A part of the identities: what one lock covers.
///
/// Finished ones stand in line in the order in which they finished. A place in line tells for which keeping
/// it was taken: an identity that was kept again since, or noted again, stands further back, and its old
/// place counts for nothing.
#[derive(Default)]
pub(super) struct Shard {
    table: Table,
    line: Blocks<Place, LINE>,
}

/// Bytes of a block of the line: there are many shards, and each has one that is not full.
const LINE: usize = 4096;

/// So many may stand in line for nothing whatever the number of the others.
const SLACK: usize = 256;

/// The halves of an identity: one by which it is found, and one that is compared.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    pub(super) key: u64,
    rest: u64,
}

/// When an identity was kept, in ticks from 1, and in the highest bit whether it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State(NonZeroU32);

const OPEN: u32 = 1 << 31;

/// A place in line: the first half of an identity, in two, and when it was kept.
#[derive(Clone, Copy)]
struct Place {
    key: [u32; 2],
    kept_at: u32,
}

impl From<EventKey> for Halves {
    fn from(key: EventKey) -> Self {
        let key = u128::from_le_bytes(*key.as_bytes());
        Self {
            key: key as u64,
            rest: (key >> 64) as u64,
        }
    }
}

impl State {
    /// Beyond this tick time stands still.
    pub(super) const LAST: u32 = OPEN - 1;

    pub(super) fn finished(kept_at: u32) -> Self {
        let kept_at = NonZeroU32::new(kept_at.min(Self::LAST));
        Self(kept_at.unwrap_or(NonZeroU32::MIN))
    }

    pub(super) fn open(kept_at: u32) -> Self {
        let Self(kept_at) = Self::finished(kept_at);
        Self(kept_at | OPEN)
    }

    pub(super) fn is_open(self) -> bool {
        self.0.get() & OPEN != 0
    }

    pub(super) fn kept_at(self) -> u32 {
        self.0.get() & !OPEN
    }
}

impl Place {
    fn new(key: u64, state: State) -> Self {
        Self {
            key: [(key >> 32) as u32, key as u32],
            kept_at: state.kept_at(),
        }
    }

    fn key(self) -> u64 {
        let [high, low] = self.key;
        u64::from(high) << 32 | u64::from(low)
    }

    /// Where the identity lies that stands here, rather than further back.
    fn find(self, table: &Table) -> Option<At> {
        let State(mark) = State::finished(self.kept_at);
        let found = table.find(self.key(), |value| value.mark == mark);
        found.map(|(at, _)| at)
    }
}

impl Shard {
    pub(super) fn find(&self, identity: Halves) -> Option<(At, State)> {
        let found = self
            .table
            .find(identity.key, |value| value.word == identity.rest);
        found.map(|(at, value)| (at, State(value.mark)))
    }

    /// Remembers an identity that is not known.
    pub(super) fn add(&mut self, identity: Halves, State(mark): State) {
        let Halves { key, rest: word } = identity;
        self.table.add(key, Value { word, mark });
    }

    /// An identity that was found has another state.
    pub(super) fn set(&mut self, at: At, identity: Halves, State(mark): State) {
        let word = identity.rest;
        self.table.set(at, Value { word, mark });
    }

    /// The identity is finished, in this state.
    pub(super) fn stand_in_line(&mut self, identity: Halves, state: State) {
        self.line.push(Place::new(identity.key, state));
        // No more than half of them count for nothing, where identities come again and again.
        if self.line.len() > 2 * self.table.len() + SLACK {
            self.line.retain(|place| place.find(&self.table).is_some());
        }
    }

    /// Takes up to two off the line that have expired, and gives the number of those that are forgotten. Every
    /// call follows a push, so the line shrinks for as long as there are such at its head.
    pub(super) fn forget_expired(&mut self, has_expired: impl Fn(u32) -> bool) -> usize {
        let mut forgotten = 0;
        for _ in 0..2 {
            let Some(place) = self.line.first().copied() else {
                break;
            };
            if !has_expired(place.kept_at) {
                break;
            }
            self.line.pop();
            forgotten += usize::from(self.forget(place));
        }
        forgotten
    }

    /// Forgets the one that finished first, and tells when it was kept. `None` when none is finished.
    pub(super) fn forget_first(&mut self) -> Option<u32> {
        loop {
            let place = self.line.pop()?;
            if self.forget(place) {
                return Some(place.kept_at);
            }
        }
    }

    /// Forgets the identity at this place, if the place still counts.
    fn forget(&mut self, place: Place) -> bool {
        let at = place.find(&self.table);
        if let Some(at) = at {
            self.table.remove(place.key(), at);
        }
        at.is_some()
    }

    #[cfg(all(test, shuttle))]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(super) fn standing(&self) -> usize {
        self.line.len()
    }
}
