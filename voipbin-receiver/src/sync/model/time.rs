//! Time that passes only for whoever sleeps.

use std::cell::Cell;
use std::future::pending;
use std::ops::{Add, Sub};
use std::time::Duration;

/// What is so far off never comes.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

std::thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A moment since the model began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

pub(super) fn reset() {
    NOW.set(Duration::ZERO);
}

pub(crate) fn advance(time: Duration) {
    NOW.set(NOW.get() + time);
}

/// Ends at any moment after the first poll.
pub(crate) async fn sleep_until(due: Instant) {
    let left = due - Instant::now();
    if left >= NEVER {
        pending::<()>().await;
    }
    shuttle::future::yield_now().await;
    advance(due - Instant::now());
}

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.get())
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
