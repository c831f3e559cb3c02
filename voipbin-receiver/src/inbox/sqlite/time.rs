//! The inbox's own clock: ages count by it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::clock::Clock;

/// A larger step of the machine's clock is not believed at once.
const STEP: i64 = 3_600_000;

/// For so long after a step nothing is removed for its age.
const REST: Duration = Duration::from_secs(3600);

/// Milliseconds that go on with the monotonic clock while a process runs, and by the machine's
/// clock from one process to the next. They are Unix time, but for steps of the machine's clock by
/// over an hour.
#[derive(Debug)]
pub(super) struct InboxTime {
    clock: Arc<dyn Clock>,
    state: Mutex<ClockState>,
}

#[derive(Debug)]
struct ClockState {
    /// What the monotonic clock's zero is.
    base: i64,
    /// The machine's clock at the monotonic clock's zero.
    wall: i64,
    rests_until: Option<Duration>,
    /// What it was started with, for as long as it is in doubt how much time had passed since.
    doubtful: Option<Start>,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    saved: Saved,
    mono: Duration,
}

/// What is stored, so that the next process goes on: the inbox's clock and the machine's at one
/// moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) time: i64,
    pub(super) wall: i64,
}

impl Saved {
    /// The time when the machine's clock says so. Where that was set in between, no more has passed
    /// than either of its settings allows.
    fn at(self, wall: i64) -> i64 {
        let passed = wall.saturating_sub(self.wall.max(self.time)).max(0);
        let now = self.time.saturating_add(passed);
        // A little apart is as good as the same.
        match (now - wall).abs() < STEP {
            true => wall.max(self.time),
            false => now,
        }
    }
}

impl InboxTime {
    pub(super) fn new(clock: Arc<dyn Clock>, saved: Option<Saved>) -> Self {
        let (mono, wall) = (clock.monotonic(), of_unix(clock.wall()));
        let elapsed = millis(mono);
        let now = saved.map_or(wall, |saved| saved.at(wall));
        let stepped = saved.filter(|saved| (wall - saved.wall).abs() > STEP);
        let state = ClockState {
            base: now - elapsed,
            wall: wall - elapsed,
            rests_until: stepped.map(|_| mono + REST),
            doubtful: stepped.map(|saved| Start { saved, mono }),
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }

    pub(super) fn now(&self) -> i64 {
        let mono = millis(self.clock.monotonic());
        self.state().base.saturating_add(mono)
    }

    pub(super) fn save(&self) -> Saved {
        Saved {
            time: self.now(),
            wall: of_unix(self.clock.wall()),
        }
    }

    /// Looks whether the machine's clock was stepped. Tells whether ages count at present.
    pub(super) fn counts(&self) -> bool {
        let (mono, wall) = (self.clock.monotonic(), of_unix(self.clock.wall()));
        let mut state = self.state();
        let wall = wall - millis(mono);
        let step = wall - state.wall;
        if step.abs() > STEP {
            if let Some(Start { saved, mono: start }) = state.doubtful {
                let least = saved
                    .time
                    .saturating_add(millis(mono.saturating_sub(start)));
                let now = saved.at(wall.saturating_add(millis(mono)));
                state.base = now.max(least) - millis(mono);
            }
            state.rests_until = Some(mono + REST);
            tracing::warn!(
                seconds = step / 1000,
                "the machine's clock was set: the inbox removes nothing for its age for an hour"
            );
        }
        state.wall = wall;
        if state.rests_until.is_some_and(|until| mono >= until) {
            state.rests_until = None;
            state.doubtful = None;
        }
        state.rests_until.is_none()
    }

    /// A time of this clock by the machine's.
    pub(super) fn wall(&self, at: i64) -> SystemTime {
        unix(at.saturating_add(self.apart()))
    }

    fn apart(&self) -> i64 {
        let Saved { time, wall } = self.save();
        let apart = wall.saturating_sub(time);
        if apart.abs() > STEP { apart } else { 0 }
    }

    fn state(&self) -> MutexGuard<'_, ClockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unix time in milliseconds.
pub(super) fn of_unix(time: SystemTime) -> i64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn unix(at: i64) -> SystemTime {
    let since = Duration::from_millis(u64::try_from(at).unwrap_or_default());
    UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
