use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::clock::Clock;

/// The clock of tokio's timers, which a test can pause and move.
///
/// The receiver measures ages and lifetimes with a [`Clock`], and its waits with tokio's timers.
/// With this one the two agree on a paused clock: `tokio::time::advance` lets identities expire and
/// events grow old. The date is the machine's when the clock is made, and goes on from there as
/// tokio's clock does. A clone is the same clock.
///
/// [`TestReceiver`](super::TestReceiver) sets it by itself.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use voipbin_receiver::clock::Clock;
/// use voipbin_receiver::inbox::MemoryInbox;
/// use voipbin_receiver::testing::TokioClock;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let clock = TokioClock::new();
/// let inbox = MemoryInbox::builder().clock(Arc::new(clock.clone())).build();
///
/// tokio::time::advance(Duration::from_secs(3600)).await;
/// assert_eq!(clock.monotonic(), Duration::from_secs(3600));
/// # drop(inbox);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioClock {
    start: Instant,
    date: SystemTime,
}

impl TokioClock {
    /// A clock that begins now. On a paused clock, make it on the test's runtime.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            date: SystemTime::now(),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> SystemTime {
        let date = self.date.checked_add(self.monotonic());
        date.unwrap_or(self.date)
    }
}
