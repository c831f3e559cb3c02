//! Which state of each resource a handler has completed last.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;

use crate::event::Time;
use crate::inbox::Taken;

/// What orders the states of a resource: when it was last changed and, for the one that is sent in
/// parts, the number of the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    changed: Option<Time>,
    sequence: Option<i64>,
}

/// The latest versions that handlers have completed, of the resources that came last.
///
/// Two generations: when the younger is full it becomes the older, and that is forgotten.
pub(super) struct Completed {
    generations: Mutex<[HashMap<u64, Version, RandomState>; 2]>,
    hasher: RandomState,
    most: usize,
}

impl Completed {
    /// Remembers at least this many resources and handlers, and at most twice as many, for 40 bytes
    /// each.
    pub(super) fn new(most: usize) -> Self {
        Self {
            generations: Mutex::default(),
            hasher: RandomState::default(),
            most,
        }
    }

    /// The version that a job is about; `None` for an event that has no place in an order. So is a
    /// replay: somebody wants it handled whatever came after it.
    pub(super) fn version(&self, job: &Taken) -> Option<(u64, Version)> {
        if job.replay_of().is_some() {
            return None;
        }
        let delivery = job.delivery();
        let id = delivery.id_bytes()?;
        let version = Version {
            changed: delivery.last_change(),
            sequence: delivery.sequence(),
        };
        if version.changed.is_none() && version.sequence.is_none() {
            return None;
        }
        let kind = delivery.resource_kind();
        Some((self.hasher.hash_one((job.handler(), kind, id)), version))
    }

    /// Whether a later version is completed. Of equal ones none is later.
    pub(super) fn has_later(&self, (key, version): (u64, Version)) -> bool {
        let generations = self.generations.lock();
        let [young, old] = &*generations.unwrap_or_else(PoisonError::into_inner);
        // What the younger knows is the later of the two.
        let known = young.get(&key).or_else(|| old.get(&key));
        known.is_some_and(|known| *known > version)
    }

    /// The job is completed.
    pub(super) fn add(&self, (key, version): (u64, Version)) {
        let generations = self.generations.lock();
        let [young, old] = &mut *generations.unwrap_or_else(PoisonError::into_inner);
        let is_full = young.len() >= self.most;
        match young.entry(key) {
            Entry::Occupied(mut known) => {
                let latest = version.max(*known.get());
                known.insert(latest);
            }
            Entry::Vacant(place) => {
                if old.get(&key).is_some_and(|known| *known >= version) {
                    return;
                }
                if !is_full {
                    place.insert(version);
                    return;
                }
                // Their room is used again.
                std::mem::swap(young, old);
                young.clear();
                young.insert(key, version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(seconds: i64, sequence: Option<i64>) -> Version {
        let text = format!("2026-08-22T10:30:{seconds:02}Z");
        Version {
            changed: Some(text.parse().unwrap()),
            sequence,
        }
    }

    #[test]
    fn only_a_later_version_makes_one_stale() {
        let completed = Completed::new(10);
        assert!(!completed.has_later((1, version(5, None))));
        completed.add((1, version(5, None)));
        assert!(completed.has_later((1, version(4, None))));
        assert!(!completed.has_later((1, version(5, None))));
        assert!(!completed.has_later((1, version(6, None))));
        assert!(!completed.has_later((2, version(4, None))));
        completed.add((1, version(3, None)));
        assert!(completed.has_later((1, version(4, None))));
    }

    #[test]
    fn parts_of_one_time_are_told_apart_by_their_number() {
        let completed = Completed::new(10);
        completed.add((1, version(5, Some(7))));
        assert!(completed.has_later((1, version(5, Some(6)))));
        assert!(!completed.has_later((1, version(5, Some(7)))));
        assert!(!completed.has_later((1, version(5, Some(8)))));
    }

    #[test]
    fn those_that_came_last_are_remembered_and_no_more_than_twice_as_many_as_asked() {
        let completed = Completed::new(100);
        for key in 0..1000 {
            completed.add((key, version(5, None)));
        }
        for key in 900..1000 {
            assert!(completed.has_later((key, version(4, None))), "{key}");
        }
        let held: usize = completed
            .generations
            .lock()
            .unwrap()
            .iter()
            .map(HashMap::len)
            .sum();
        assert!(held <= 200, "{held}");
    }
}
