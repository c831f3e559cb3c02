//! The age of events, by a wall clock that may be stepped meanwhile.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;
use crate::sync::{Arc, Mutex, PoisonError};

/// The wall clock was stepped when it parts from the monotonic one by more than this.
const CLOCK_STEP: Duration = Duration::from_secs(3600);

/// For so long after a start or a step no event counts as older than the time measured since.
const REST_TIME: Duration = Duration::from_secs(3600);

/// How many offsets of the wall clock are remembered.
const OFFSETS: usize = 8;

/// Ages of events, in which a step of the wall clock does not count.
pub(super) struct EventAges {
    clock: Arc<dyn Clock>,
    history: Mutex<ClockHistory>,
}

struct ClockHistory {
    /// What the wall clock said at the zero of the monotonic one: one entry for each step.
    zeros: VecDeque<SystemTime>,
    /// When the last step was noticed, in monotonic time.
    since: Duration,
}

impl EventAges {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let (since, zeros) = (clock.monotonic(), VecDeque::from([zero(&*clock)]));
        Self {
            clock,
            history: Mutex::new(ClockHistory { zeros, since }),
        }
    }

    /// The least age of an event that was received at this wall time.
    pub(super) fn of(&self, received_at: SystemTime) -> Duration {
        let (now, zero) = (self.clock.monotonic(), zero(&*self.clock));
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        match history.zeros.back_mut() {
            // Slewed, not stepped.
            Some(last) if apart(*last, zero) <= CLOCK_STEP => *last = zero,
            _ => {
                history.zeros.push_back(zero);
                if history.zeros.len() > OFFSETS {
                    history.zeros.pop_front();
                }
                history.since = now;
            }
        }
        let ages = history.zeros.iter().filter_map(|zero| {
            let now = zero.checked_add(now)?;
            now.duration_since(received_at).ok()
        });
        let age = ages.min().unwrap_or_default();
        let measured = now.saturating_sub(history.since);
        match measured < REST_TIME {
            true => age.min(measured),
            false => age,
        }
    }
}

fn zero(clock: &dyn Clock) -> SystemTime {
    let zero = clock.wall().checked_sub(clock.monotonic());
    zero.unwrap_or(UNIX_EPOCH)
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other)
        .unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Monotonic time, and the machine's.
    #[derive(Debug)]
    struct SetClock(Mutex<(Duration, SystemTime)>);

    impl SetClock {
        fn ages() -> (Arc<Self>, EventAges) {
            let now = UNIX_EPOCH + 20_000 * DAY;
            let clock = Arc::new(Self(Mutex::new((5 * DAY, now))));
            let ages = EventAges::new(Arc::clone(&clock) as Arc<dyn Clock>);
            (clock, ages)
        }

        fn pass(&self, time: Duration) {
            let mut now = self.0.lock().unwrap();
            *now = (now.0 + time, now.1 + time);
        }

        fn set(&self, wall: SystemTime) {
            self.0.lock().unwrap().1 = wall;
        }
    }

    impl Clock for SetClock {
        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().0
        }

        fn wall(&self) -> SystemTime {
            self.0.lock().unwrap().1
        }
    }

    #[test]
    fn what_was_received_before_the_start_is_old_after_an_hour() {
        let (clock, ages) = SetClock::ages();
        let received = clock.wall() - 2 * DAY;
        assert_eq!(ages.of(received), Duration::ZERO);
        clock.pass(HOUR / 2);
        assert_eq!(ages.of(received), HOUR / 2);
        clock.pass(HOUR / 2);
        assert_eq!(ages.of(received), 2 * DAY + HOUR);
    }

    #[test]
    fn a_step_of_the_clock_makes_nothing_older() {
        for step in [60 * DAY, 365 * 20 * DAY] {
            for back in [false, true] {
                let (clock, ages) = SetClock::ages();
                clock.pass(DAY);
                let before = clock.wall();
                assert_eq!(ages.of(before - HOUR), HOUR);
                clock.pass(HOUR);
                let set = if back { before - step } else { before + step };
                clock.set(set);
                assert_eq!(ages.of(before), Duration::ZERO);
                clock.pass(2 * HOUR);
                assert_eq!(ages.of(before), 3 * HOUR, "{step:?}, {back}");
                // What comes now is as old as it is.
                assert_eq!(ages.of(set), 2 * HOUR);
            }
        }
    }

    #[test]
    fn a_clock_that_is_wrong_for_a_moment_kills_nothing() {
        let (clock, ages) = SetClock::ages();
        clock.pass(DAY);
        let right = clock.wall();
        for wrong in [UNIX_EPOCH, right + 60 * DAY] {
            clock.set(wrong);
            assert!(ages.of(right - HOUR) < 2 * HOUR);
            clock.pass(Duration::from_secs(8));
            assert!(ages.of(right - HOUR) < 2 * HOUR);
            clock.set(right);
            assert!(ages.of(right - HOUR) < 2 * HOUR);
        }
        clock.pass(HOUR);
        assert_eq!(ages.of(right - HOUR), 2 * HOUR);
    }

    #[test]
    fn a_clock_that_is_slewed_was_not_set() {
        let (clock, ages) = SetClock::ages();
        let received = clock.wall();
        for _ in 0..48 {
            clock.pass(HOUR);
            clock.set(clock.wall() + HOUR / 4);
            ages.of(received);
        }
        assert_eq!(ages.of(received), 48 * (HOUR + HOUR / 4));
    }
}
