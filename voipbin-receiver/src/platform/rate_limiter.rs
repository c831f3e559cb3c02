use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Keeps requests apart. The platform allows 17 a second for a customer, whom other programs serve
/// too.
#[derive(Debug)]
pub(super) struct RateLimiter {
    interval: Duration,
    next: Mutex<Option<Instant>>,
}

impl RateLimiter {
    pub(super) fn per_second(requests: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / requests.max(1),
            next: Mutex::default(),
        }
    }

    /// Waits for a turn. One that is given up stays taken.
    pub(super) async fn acquire(&self) {
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let turn = next.map_or(now, |next| next.max(now));
            *next = Some(turn + self.interval);
            turn
        };
        sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_sent_at_once_and_others_keep_apart() {
        let limiter = RateLimiter::per_second(5);
        let start = Instant::now();
        join_all((0..11).map(|_| limiter.acquire())).await;
        assert_eq!(start.elapsed().as_millis(), 2_000);

        // What was not used is not saved up.
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        join_all((0..3).map(|_| limiter.acquire())).await;
        assert_eq!(start.elapsed().as_millis(), 400);
    }
}
