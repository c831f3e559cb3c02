//! Where the receiver takes the time from.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// A source of time. The default is the machine's; a test gives its own.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since some fixed moment, never going back. The lifetime of identities runs on it.
    fn monotonic(&self) -> Duration;

    /// The date and time: when a delivery was received.
    fn wall(&self) -> SystemTime;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
