use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

/// Things that wait for their time.
pub(super) struct Waiting<T> {
    heap: BinaryHeap<Reverse<Place<T>>>,
    pushed: u64,
}

struct Place<T> {
    due: Instant,
    /// Tells apart what is due at the same instant: first come, first out.
    number: u64,
    what: T,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            pushed: 0,
        }
    }
}

impl<T> Waiting<T> {
    pub(super) fn push(&mut self, now: Instant, after: Duration, what: T) {
        /// What is further off than the clock can count is as good as a century.
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        self.pushed += 1;
        self.heap.push(Reverse(Place {
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
        let place = self.heap.pop();
        if self.heap.is_empty() && self.heap.capacity() > 4096 {
            self.heap = BinaryHeap::new();
        }
        place.map(|Reverse(place)| place.what)
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(place)| place.due)
    }

    /// Lets nothing wait any longer than until now.
    pub(super) fn bring_forward(&mut self, now: Instant) {
        let mut places: Vec<_> = std::mem::take(&mut self.heap).into_vec();
        for Reverse(place) in &mut places {
            place.due = place.due.min(now);
        }
        self.heap = places.into();
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T> PartialEq for Place<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Place<T> {}

impl<T> PartialOrd for Place<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Place<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}
