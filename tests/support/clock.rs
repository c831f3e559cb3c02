use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use voipbin_receiver::clock::Clock;

/// A clock that moves when it is told to.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Duration>);

impl ManualClock {
    /// Moves the clock.
    pub fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
}

/// The clock of tokio's timers, which a test can pause.
#[derive(Debug)]
pub struct TokioClock(Instant);

impl TokioClock {
    /// A clock that begins now.
    #[allow(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }
}
