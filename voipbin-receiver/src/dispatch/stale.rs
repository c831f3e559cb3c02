//! Which state of each resource a handler has completed last.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use lru::LruCache;

use crate::event::{Delivery, HandlerName, Time};
use crate::inbox::Job;

/// What orders the states of a resource: when it was last changed and, for the one that is sent in
/// parts, the number of the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    /// In Unix nanoseconds, from the year 1677 to 2262; the minimum where there is none.
    changed: i64,
    /// From 2 on; 1 without one. Saturates at both ends.
    sequence: NonZeroU32,
}

/// The latest versions that handlers have completed, of the resources that were completed last.
pub(super) struct Completed {
    versions: Mutex<LruCache<u64, Version, RandomState>>,
    hasher: RandomState,
    most: usize,
}

impl Version {
    fn new(changed: Option<Time>, sequence: Option<i64>) -> Option<Self> {
        if changed.is_none() && sequence.is_none() {
            return None;
        }
        let nanos = |time: Time| {
            let nanos = time.as_unix_nanos();
            let beyond = if nanos < 0 { i64::MIN + 1 } else { i64::MAX };
            i64::try_from(nanos).unwrap_or(beyond)
        };
        let number = |sequence: i64| {
            let number = sequence.max(0).saturating_add(2);
            u32::try_from(number).unwrap_or(u32::MAX)
        };
        let sequence = NonZeroU32::new(sequence.map_or(1, number));
        Some(Self {
            changed: changed.map_or(i64::MIN, nanos),
            sequence: sequence.unwrap_or(NonZeroU32::MIN),
        })
    }
}

impl Completed {
    /// Remembers this many resources and handlers, for up to 79 bytes each.
    pub(super) fn new(most: usize) -> Self {
        Self {
            versions: Mutex::new(LruCache::unbounded_with_hasher(RandomState::default())),
            hasher: RandomState::default(),
            most,
        }
    }

    /// The version that a job is about; `None` for an event that has no place in an order. So is a
    /// replay: somebody wants it handled whatever came after it.
    pub(super) fn version(&self, job: &Job) -> Option<(u64, Version)> {
        match job.replay_of() {
            Some(_) => None,
            None => self.version_of(job.delivery(), job.handler()),
        }
    }

    /// The same of a delivery that is no replay.
    pub(super) fn version_of(
        &self,
        delivery: &Delivery,
        handler: &HandlerName,
    ) -> Option<(u64, Version)> {
        let id = delivery.resource_id()?;
        let version = Version::new(delivery.last_change(), delivery.sequence())?;
        let kind = delivery.resource_kind();
        Some((self.hasher.hash_one((handler, kind, id)), version))
    }

    /// Whether a later version is completed. Of equal ones none is later.
    pub(super) fn has_later(&self, (key, version): (u64, Version)) -> bool {
        self.versions()
            .peek(&key)
            .is_some_and(|known| *known > version)
    }

    /// The job is completed.
    pub(super) fn add(&self, (key, version): (u64, Version)) {
        let mut versions = self.versions();
        if versions.peek(&key).is_some_and(|known| *known >= version) {
            return;
        }
        versions.put(key, version);
        if versions.len() > self.most {
            versions.pop_lru();
        }
    }

    fn versions(&self) -> MutexGuard<'_, LruCache<u64, Version, RandomState>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(seconds: i64, sequence: Option<i64>) -> Version {
        let text = format!("2026-08-22T10:30:{seconds:02}Z");
        Version::new(Some(text.parse().unwrap()), sequence).unwrap()
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
    fn those_that_were_completed_last_are_remembered_and_no_more_than_asked() {
        let completed = Completed::new(100);
        for key in 0..1000 {
            completed.add((key, version(5, None)));
        }
        for key in 900..1000 {
            assert!(completed.has_later((key, version(4, None))), "{key}");
        }
        assert_eq!(completed.versions().len(), 100);
    }

    #[test]
    fn one_that_is_completed_again_stays_as_long_as_those_that_came_last() {
        let completed = Completed::new(100);
        completed.add((0, version(5, None)));
        for key in 1..100 {
            completed.add((key, version(5, None)));
        }
        completed.add((0, version(7, None)));
        for key in 100..199 {
            completed.add((key, version(5, None)));
        }
        assert!(completed.has_later((0, version(6, None))));
        for key in 199..210 {
            completed.add((key, version(5, None)));
        }
        assert!(!completed.has_later((0, version(6, None))));
    }

    #[test]
    fn parts_without_end_take_no_more_room() {
        let completed = Completed::new(100);
        completed.add((1, version(5, None)));
        for part in 0..10_000 {
            completed.add((2, version(5, Some(part))));
        }
        for part in 0..10_000 {
            assert!(completed.has_later((2, version(5, Some(part)))) == (part < 9_999));
        }
        assert!(completed.has_later((1, version(4, None))));
        assert_eq!(completed.versions().len(), 2);
    }

    #[test]
    fn times_and_parts_that_cannot_be_held_are_not_later_than_each_other() {
        let at = |text: &str, part| Version::new(Some(text.parse().unwrap()), part).unwrap();
        let far = [
            at("9999-01-01T00:00:00Z", None),
            at("3000-01-01T00:00:00Z", None),
        ];
        assert_eq!(far[0], far[1]);
        assert!(at("2200-01-01T00:00:00Z", None) < far[0]);
        let early = [
            at("0001-01-01T00:00:00Z", None),
            at("1500-01-01T00:00:00Z", None),
        ];
        assert_eq!(early[0], early[1]);
        assert!(early[0] < at("1900-01-01T00:00:00Z", None));
        assert!(Version::new(None, Some(i64::MAX)).unwrap() < early[0]);
        assert_eq!(version(1, Some(-1)), version(1, Some(i64::MIN)));
        assert!(version(1, None) < version(1, Some(-1)));
        assert_eq!(version(1, Some(i64::MAX)), version(1, Some(i64::MAX - 1)));
        assert_eq!(Version::new(None, None), None);
    }
}
