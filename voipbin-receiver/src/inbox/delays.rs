use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::sync::time::Instant;

/// Things that wait for their time.
pub(super) struct DelayQueue<T> {
    heap: BinaryHeap<Reverse<Delayed<T>>>,
    pushed: u64,
}

struct Delayed<T> {
    due: Instant,
    /// Tells apart what is due at the same instant: first come, first out.
    number: u64,
    what: T,
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            pushed: 0,
        }
    }
}

impl<T> DelayQueue<T> {
    pub(super) fn push(&mut self, now: Instant, after: Duration, what: T) {
        /// What is further off than the clock can count is as good as a century.
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        self.pushed += 1;
        self.heap.push(Reverse(Delayed {
            due: now + after.min(CENTURY),
            number: self.pushed,
            what,
        }));
    }

    /// The first whose time has come.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        let delayed = self.heap.pop();
        if self.heap.is_empty() && self.heap.capacity() > 4096 {
            self.heap = BinaryHeap::new();
        }
        delayed.map(|Reverse(delayed)| delayed.what)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(delayed)| delayed.due)
    }

    /// Lets nothing wait any longer than until now.
    pub(super) fn expire_all(&mut self, now: Instant) {
        let mut delayeds: Vec<_> = std::mem::take(&mut self.heap).into_vec();
        for Reverse(delayed) in &mut delayeds {
            delayed.due = delayed.due.min(now);
        }
        self.heap = delayeds.into();
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T> PartialEq for Delayed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Delayed<T> {}

impl<T> PartialOrd for Delayed<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Delayed<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn due(waiting: &mut DelayQueue<&'static str>, now: Instant) -> Vec<&'static str> {
        std::iter::from_fn(|| waiting.pop_due(now)).collect()
    }

    #[test]
    fn what_is_due_first_comes_first_and_at_the_same_instant_what_came_first() {
        let now = Instant::now();
        let mut waiting = DelayQueue::default();
        for (after, what) in [(2, "late"), (1, "a"), (1, "b"), (0, "at once"), (1, "c")] {
            waiting.push(now, SECOND * after, what);
        }
        assert_eq!((waiting.len(), waiting.next_due()), (5, Some(now)));
        assert_eq!(due(&mut waiting, now), ["at once"]);
        assert_eq!(waiting.next_due(), Some(now + SECOND));
        assert_eq!(due(&mut waiting, now + SECOND / 2), [""; 0]);
        assert_eq!(due(&mut waiting, now + SECOND), ["a", "b", "c"]);
        assert_eq!(due(&mut waiting, now + SECOND * 3), ["late"]);
        assert_eq!((waiting.len(), waiting.next_due()), (0, None));
    }

    #[test]
    fn what_is_brought_forward_is_due_and_what_was_due_before_still_comes_first() {
        let now = Instant::now();
        let mut waiting = DelayQueue::default();
        for (after, what) in [(9, "first in"), (0, "overdue"), (5, "last in")] {
            waiting.push(now, SECOND * after, what);
        }
        let later = now + SECOND;
        waiting.expire_all(later);
        assert_eq!(waiting.next_due(), Some(now));
        waiting.push(later, SECOND, "new");
        assert_eq!(due(&mut waiting, later), ["overdue", "first in", "last in"]);
        assert_eq!(due(&mut waiting, later + SECOND), ["new"]);
    }

    #[test]
    fn no_wait_is_too_long_for_the_clock() {
        let now = Instant::now();
        let mut waiting = DelayQueue::default();
        waiting.push(now, Duration::MAX, "never");
        let year = SECOND * 365 * 24 * 3600;
        assert_eq!(due(&mut waiting, now + year * 99), [""; 0]);
        waiting.expire_all(now);
        assert_eq!(due(&mut waiting, now), ["never"]);
    }

    #[test]
    fn the_room_of_a_crowd_is_given_back() {
        let now = Instant::now();
        let mut waiting = DelayQueue::default();
        for _ in 0..10_000 {
            waiting.push(now, SECOND, "one of many");
        }
        assert_eq!(due(&mut waiting, now + SECOND).len(), 10_000);
        assert!(waiting.heap.capacity() < 10_000);
    }
}
