use std::time::Duration;

/// How often and when a job that failed is tried again.
///
/// The wait before each further attempt grows fourfold, from [`initial`](Self::initial) up to
/// [`max`](Self::max), less up to a half of it by chance, so that what failed together does not
/// come back together. With the defaults that is 1 s, 4 s, 16 s, 64 s, 256 s and twice 600 s: eight
/// attempts within 26 minutes. Waiting takes no slot.
///
/// After the last attempt the event is a dead letter for that handler.
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::RetryPolicy;
///
/// let policy = RetryPolicy::default().attempts(4).initial(Duration::from_millis(200));
/// let never = RetryPolicy::never();
/// # assert_ne!(policy, never);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a policy does nothing until it is given to the builder"]
pub struct RetryPolicy {
    pub(crate) attempts: u32,
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
    pub(crate) max_age: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: Self::DEFAULT_ATTEMPTS,
            initial: Self::DEFAULT_INITIAL,
            max: Self::DEFAULT_MAX,
            max_age: Self::DEFAULT_MAX_AGE,
        }
    }
}

impl RetryPolicy {
    /// The default of [`attempts`](Self::attempts).
    pub const DEFAULT_ATTEMPTS: u32 = 8;
    /// The default of [`initial`](Self::initial): 1 second.
    pub const DEFAULT_INITIAL: Duration = Duration::from_secs(1);
    /// The default of [`max`](Self::max): 10 minutes.
    pub const DEFAULT_MAX: Duration = Duration::from_secs(600);
    /// The default of [`max_age`](Self::max_age): 24 hours.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(24 * 3600);

    /// One attempt and no other. With an inbox on disk, an attempt that had begun, or was about to,
    /// when the process was killed was that one: its event is a dead letter.
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// How many attempts there are in all; 8 by default, at least 1. Those during which the process
    /// died count as well.
    pub fn attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// The wait before the second attempt; 1 second by default.
    pub fn initial(self, initial: Duration) -> Self {
        Self { initial, ..self }
    }

    /// The longest wait between two attempts; 10 minutes by default.
    pub fn max(self, max: Duration) -> Self {
        Self { max, ..self }
    }

    /// How old an event may be for another attempt to begin, from when it was received; 24 hours by
    /// default. The first attempt is made at any age. Where the next one would come later than
    /// that, the event is a dead letter at once, and not after a wait for nothing.
    ///
    /// A machine's clock that is set ages nothing: what was received before the start counts as no
    /// older than the process for an hour, and no step of the clock by more than an hour counts.
    pub fn max_age(self, age: Duration) -> Self {
        Self {
            max_age: age,
            ..self
        }
    }

    /// The wait after this many attempts, before chance takes some of it away.
    fn backoff(&self, attempts: u32) -> Duration {
        let factor = 4_u32.saturating_pow(attempts.saturating_sub(1));
        self.initial.saturating_mul(factor).min(self.max)
    }

    /// The wait after this many attempts. `chance` is between 0 and 1.
    pub(crate) fn wait(&self, attempts: u32, chance: f64) -> Duration {
        let backoff = self.backoff(attempts);
        backoff - backoff.mul_f64(chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_waits_are_as_documented() {
        let policy = RetryPolicy::default();
        let waits: Vec<u64> = (1..policy.attempts)
            .map(|attempts| policy.wait(attempts, 0.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 4, 16, 64, 256, 600, 600]);
        assert_eq!(policy.wait(2, 1.0), Duration::from_secs(2));
        assert!(waits.iter().sum::<u64>() < 26 * 60);
    }

    #[test]
    fn no_setting_makes_a_wait_overflow() {
        let longest = RetryPolicy::default()
            .initial(Duration::MAX)
            .max(Duration::MAX);
        assert_eq!(longest.wait(u32::MAX, 0.0), Duration::MAX);
        assert!(longest.wait(u32::MAX, 1.0) < Duration::MAX);
    }
}
