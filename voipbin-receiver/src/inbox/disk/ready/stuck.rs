//! Rows that cannot be read while others can: set aside, and tried again less and less often.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::sync::time::Instant;

use super::{Again, Ready, SlotJobs};

/// How often a row is tried in its turn before others go ahead of it.
const IN_TURN: u32 = 3;

#[derive(Default)]
pub(super) struct Stuck {
    /// By the key of the row.
    rows: BTreeMap<u64, Row>,
    /// How often the events of jobs that come again could not be read.
    events: HashMap<u64, u32>,
    /// The row whose turn it is, and how often it could not be read.
    first: Option<(u64, u32)>,
}

struct Row {
    /// The number of the first of its events that was not handed out.
    from: u64,
    tries: u32,
    next: Instant,
}

/// Twice as long each time, up to about a minute where it begins with a second.
fn wait(tick: Duration, tries: u32) -> Duration {
    tick * (1 << tries.min(6))
}

impl Ready {
    /// The row whose turn it is could not be read. Returns how often.
    pub(crate) fn not_read(&mut self, key: u64) -> u32 {
        let before = self.stuck.first.filter(|(first, _)| *first == key);
        let tries = before.map_or(1, |(_, tries)| tries.saturating_add(1));
        self.stuck.first = Some((key, tries));
        tries
    }

    /// Whether it is time to look whether others can be read that come after this row.
    pub(crate) fn may_pass(&self, key: u64) -> bool {
        let first = self.stuck.first;
        first.is_some_and(|(first, tries)| first == key && tries >= IN_TURN)
    }

    /// Sets the row whose turn it is aside, from this number on.
    pub(crate) fn set_aside(&mut self, key: u64, from: u64, tick: Duration) {
        self.stuck.first = None;
        let row = Row {
            from,
            tries: IN_TURN,
            next: Instant::now() + wait(tick, IN_TURN),
        };
        self.stuck.rows.insert(key, row);
    }

    /// The row that is to be tried now. It is tried again after a while.
    pub(super) fn due_row(&mut self, now: Instant) -> Option<u64> {
        let mut rows = self.stuck.rows.iter_mut();
        let (key, row) = rows.find(|(_, row)| row.next <= now)?;
        row.tries = row.tries.saturating_add(1);
        row.next = now + wait(self.tick, row.tries);
        Some(*key)
    }

    pub(super) fn next_row(&self) -> Option<Instant> {
        self.stuck.rows.values().map(|row| row.next).min()
    }

    /// The rows that are set aside, each with the number from which on.
    pub(crate) fn stuck_rows(&self) -> impl Iterator<Item = (u64, u64)> {
        self.stuck.rows.iter().map(|(key, row)| (*key, row.from))
    }

    /// How many events of jobs that come again cannot be read.
    pub(crate) fn stuck_events(&self) -> usize {
        self.stuck.events.len()
    }

    /// The row was read at last. The number from which on it was set aside.
    pub(crate) fn unstick(&mut self, key: u64) -> Option<u64> {
        self.stuck.rows.remove(&key).map(|row| row.from)
    }

    /// Lets jobs wait whose event cannot be read. Returns whether it is the first time.
    pub(crate) fn defer(&mut self, seq: u64) -> bool {
        let tries = self.tries_of(seq);
        let after = wait(self.tick, tries);
        let again = std::mem::take(&mut self.again);
        for slot in again {
            match slot.jobs {
                SlotJobs::Listed(jobs) if slot.seq == seq => {
                    for (handler, past) in jobs {
                        let again = Again {
                            seq,
                            handler,
                            attempts: past.attempts,
                            interrupted: past.interrupted,
                        };
                        self.push_again(again, after);
                    }
                }
                _ => self.again.push_back(slot),
            }
        }
        tries == 0
    }

    /// The same for a job that was handed out.
    pub(crate) fn defer_job(&mut self, again: Again) {
        let tries = self.tries_of(again.seq);
        self.push_again(again, wait(self.tick, tries));
    }

    /// How often the event could not be read before this time.
    fn tries_of(&mut self, seq: u64) -> u32 {
        let tries = self.stuck.events.entry(seq).or_default();
        let before = *tries;
        *tries = before.saturating_add(1);
        before
    }

    /// The event was read, or is gone.
    pub(crate) fn is_read(&mut self, seq: u64) {
        if !self.stuck.events.is_empty() {
            self.stuck.events.remove(&seq);
        }
    }
}
