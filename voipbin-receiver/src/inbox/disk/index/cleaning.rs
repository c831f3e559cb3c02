//! What may be removed, and when.

use std::ops::RangeInclusive;

use super::event::Event;
use super::{Index, Keep};

/// What may be removed of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cleaning {
    /// Nothing as yet.
    Nothing,
    /// All bodies, while the identities are still remembered.
    Bodies,
    /// The bodies of all events but these.
    BodiesBut(Vec<u64>),
    /// Everything.
    All,
}

impl Index {
    /// The next chunk to clean whose time has come.
    pub(crate) fn next_due(&mut self, now: u64) -> Option<u64> {
        let due = [&self.due, &self.forget]
            .into_iter()
            .filter_map(|due| due.first().copied());
        let (_, key) = due.min().filter(|(at, _)| *at <= now)?;
        self.unschedule(key);
        Some(key)
    }

    /// The chunk with bodies that were to go first of those that may go before their time, and what
    /// may be removed of it. To write a row anew must be worth it: a quarter of it goes at least.
    ///
    /// It looks at so many of them, and goes on from there the next time.
    pub(crate) fn next_early(&mut self) -> Option<(u64, Cleaning)> {
        const LOOKS: usize = 1000;
        let mut looks = 0;
        let early = self
            .due
            .range(self.early_from..)
            .take(LOOKS)
            .find_map(|place| {
                looks += 1;
                self.early_from = *place;
                let (_, key) = place;
                let chunk = self.chunks.get(key)?;
                if self.dirty.contains(key) {
                    return None;
                }
                let bodies = chunk.events.iter().filter(|event| event.has_body);
                let (over, wanted): (Vec<_>, Vec<_>) = bodies.partition(|event| event.is_over());
                if wanted.is_empty() {
                    return Some((*key, Cleaning::Bodies));
                }
                let gone: u64 = over.iter().map(|event| u64::from(event.body_len)).sum();
                let wanted = || wanted.iter().map(|event| event.seq).collect();
                (gone > 0 && gone >= chunk.stored / 4)
                    .then(|| (*key, Cleaning::BodiesBut(wanted())))
            });
        match &early {
            Some((key, _)) => self.unschedule(*key),
            None if looks < LOOKS => self.early_from = (0, 0),
            None => {}
        }
        early
    }

    pub(super) fn unschedule(&mut self, key: u64) {
        if let Some(chunk) = self.chunks.get_mut(&key)
            && let Some(at) = chunk.due.take()
        {
            self.due.remove(&(at, key));
            self.forget.remove(&(at, key));
        }
    }

    /// What may be removed of a chunk now.
    pub(crate) fn cleaning(&self, key: u64, now: u64, keep: Keep) -> Cleaning {
        let Some(chunk) = self.chunks.get(&key) else {
            return Cleaning::Nothing;
        };
        if self.dirty.contains(&key) {
            return Cleaning::Nothing;
        }
        let forgotten = chunk.newest.saturating_add(keep.identities) <= now;
        if !chunk.has_bodies {
            return if forgotten {
                Cleaning::All
            } else {
                Cleaning::Nothing
            };
        }
        let bodies = chunk.events.iter().filter(|event| event.has_body);
        let (wanted, over): (Vec<_>, Vec<_>) =
            bodies.partition(|event| event.wanted_until(keep).is_none_or(|until| until > now));
        match (wanted.is_empty(), over.is_empty()) {
            (true, _) if forgotten => Cleaning::All,
            (true, _) => Cleaning::Bodies,
            (false, false) => Cleaning::BodiesBut(wanted.iter().map(|event| event.seq).collect()),
            (false, true) => Cleaning::Nothing,
        }
    }

    /// The chunk was cleaned. `left` tells the bytes of the bodies that are left.
    pub(crate) fn cleaned(&mut self, key: u64, cleaning: &Cleaning, left: u64, keep: Keep) {
        self.unschedule(key);
        let Some(chunk) = self.chunks.get_mut(&key) else {
            return;
        };
        self.totals.stored = self.totals.stored.saturating_sub(chunk.stored) + left;
        chunk.stored = left;
        let mut dead_gone = |event: &Event| {
            let dead = event.dead_jobs();
            if dead > 0 {
                let bytes = u64::from(event.body_len);
                self.totals.dead = self.totals.dead.saturating_sub(dead);
                self.totals.dead_bytes = self.totals.dead_bytes.saturating_sub(bytes);
            }
        };
        match cleaning {
            Cleaning::Nothing => {}
            Cleaning::BodiesBut(wanted) => {
                for event in &mut chunk.events {
                    if event.has_body && !wanted.contains(&event.seq) {
                        dead_gone(event);
                        event.forget_body();
                    }
                }
            }
            Cleaning::Bodies | Cleaning::All => {
                chunk.has_bodies = false;
                std::mem::take(&mut chunk.events)
                    .iter()
                    .filter(|event| event.has_body)
                    .for_each(&mut dead_gone);
            }
        }
        if *cleaning == Cleaning::All {
            self.chunks.remove(&key);
        } else {
            let due = chunk.next_due(keep);
            self.schedule(key, due);
        }
    }

    /// Looks at a chunk that could not be cleaned as yet again.
    pub(crate) fn postpone(&mut self, key: u64, now: u64, keep: Keep) {
        let due = self.chunks.get(&key).and_then(|chunk| chunk.next_due(keep));
        let soonest = now.saturating_add(1000);
        self.schedule(key, Some(due.unwrap_or(soonest).max(soonest)));
    }

    /// The numbers that the events of a chunk may have.
    pub(crate) fn numbers(&self, key: u64) -> RangeInclusive<u64> {
        key..=self.chunks.get(&key).map_or(key, |chunk| chunk.last_seq)
    }

    /// The numbers of the events whose bodies go while these stay.
    pub(crate) fn unwanted(
        &self,
        key: u64,
        wanted: &[u64],
    ) -> impl Iterator<Item = RangeInclusive<u64>> {
        let bodies = self.events(key).iter().filter(|event| event.has_body);
        bodies
            .filter(|event| wanted.binary_search(&event.seq).is_err())
            .map(|event| event.seq..=event.seq)
    }

    /// The bytes of the bodies of a chunk.
    pub(crate) fn stored_in(&self, key: u64) -> u64 {
        self.chunks.get(&key).map_or(0, |chunk| chunk.stored)
    }

    /// About how many bytes of the file are used.
    pub(crate) fn used(&self) -> u64 {
        /// Of what is stored of an event beside its body, and of the rows of a chunk.
        const EVENT: u64 = 80;
        const ROWS: u64 = 512;
        let chunks = self.chunks.iter();
        // The numbers are the file's word, and may be far apart.
        let heads = chunks.map(|(key, chunk)| {
            let events = chunk.last_seq.saturating_sub(*key).saturating_add(1);
            ROWS.saturating_add(events.saturating_mul(EVENT))
        });
        heads.fold(self.totals.stored, u64::saturating_add)
    }

    /// Looks at a chunk at this time, unless it is looked at before.
    pub(crate) fn schedule(&mut self, key: u64, at: Option<u64>) {
        let (Some(at), Some(chunk)) = (at, self.chunks.get(&key)) else {
            return;
        };
        if chunk.due.is_some_and(|before| before <= at) {
            return;
        }
        self.unschedule(key);
        let Some(chunk) = self.chunks.get_mut(&key) else {
            return;
        };
        chunk.due = Some(at);
        let due = match chunk.has_bodies {
            true => &mut self.due,
            false => &mut self.forget,
        };
        due.insert((at, key));
    }
}
