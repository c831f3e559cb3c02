use std::time::Duration;

use super::retry::RetryPolicy;

/// What a handler is held to: given to one by
/// [`Registration::options`](crate::Registration::options) or `#[on(…)]`, and to all that do not
/// say otherwise by [`ReceiverBuilder::handler_options`](crate::ReceiverBuilder::handler_options).
///
/// What is said of one handler counts before what is said to all, whichever comes first. Of what is
/// said of one handler the last word counts, so `Registration::options` counts before its
/// `#[on(…)]`.
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::{HandlerOptions, Receiver, Registration};
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let slow = HandlerOptions::new().concurrency(2).timeout(Duration::from_secs(300));
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .handler_options(HandlerOptions::new().timeout(Duration::from_secs(30)))
///     .on(CallHangup, || async {})
///     .handlers([Registration::new(Any, || async {}).name("archive").options(slow)])
///     .build()?;
/// # drop(receiver);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to a registration or the builder"]
pub struct HandlerOptions {
    retry: Option<RetryPolicy>,
    attempts: Option<u32>,
    backoff: Option<(Duration, Duration)>,
    /// How long one run may take.
    pub(crate) timeout: Option<Duration>,
    /// How many runs there may be at once.
    pub(crate) concurrency: Option<usize>,
    /// Whether later events of a lane wait until an earlier one is done or dead.
    pub(crate) strict: bool,
    /// Whether it leaves out events that are stale.
    pub(crate) skip_stale: bool,
}

impl HandlerOptions {
    /// Nothing said: what the builder says counts, or else each default.
    pub fn new() -> Self {
        Self::default()
    }

    /// How often and when a handler is tried again after it failed; [`RetryPolicy::default`] by
    /// default, which is eight attempts within 26 minutes. It replaces what
    /// [`attempts`](Self::attempts) and [`backoff`](Self::backoff) said before.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::{Context, HandlerOptions, Receiver, RetryPolicy};
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(Any, |context: Context| async move { println!("attempt {}", context.attempt()) })
    ///     .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(3)))
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = Some(policy);
        self.attempts = None;
        self.backoff = None;
        self
    }

    /// How many attempts there are in all, at least 1. Everything else is as [`retry`](Self::retry)
    /// says, here or in the builder.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The wait before the second attempt, which then grows fourfold, and the longest one.
    /// Everything else is as [`retry`](Self::retry) says, here or in the builder.
    ///
    /// ```
    /// use std::time::Duration;
    /// use voipbin_receiver::HandlerOptions;
    ///
    /// let options = HandlerOptions::new().backoff(Duration::from_secs(5), Duration::from_secs(60));
    /// # drop(options);
    /// ```
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = Some((initial, max));
        self
    }

    /// How long one run of a handler may take; for ever by default.
    ///
    /// A run that takes longer is dropped at its next await and counts as a failed attempt; a
    /// blocking one cannot be stopped: it keeps its slot and its lane until it returns, and the
    /// next attempt waits for that. Without a limit, one that hangs keeps its slot, and what comes
    /// for the same resource waits behind it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// How many runs of a handler there may be at once; by default as many as the
    /// [receiver](crate::ReceiverBuilder::concurrency) has slots. A quarter of those is set aside
    /// for handlers that do not run at the time.
    pub fn concurrency(mut self, runs: usize) -> Self {
        self.concurrency = Some(runs);
        self
    }

    /// Holds later events of a lane back until the handler is done with the earlier one or has
    /// given it up, further attempts included: for work that is wrong in any other order. A lane
    /// that waits holds up no other.
    ///
    /// Without it a further attempt may run after later events of its lane. The platform promises
    /// no order either: the order here is that in which events were kept.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Leaves out events that are [stale](crate::Context::is_stale): for a handler that overwrites
    /// what it knows with what comes. They count as done without a run.
    pub fn skip_stale(mut self) -> Self {
        self.skip_stale = true;
        self
    }

    /// With what these say in place of what is not said here.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        let (attempts, backoff) = match self.retry {
            None => (
                self.attempts.or(defaults.attempts),
                self.backoff.or(defaults.backoff),
            ),
            Some(_) => (self.attempts, self.backoff),
        };
        Self {
            retry: self.retry.or_else(|| defaults.retry.clone()),
            attempts,
            backoff,
            timeout: self.timeout.or(defaults.timeout),
            concurrency: self.concurrency.or(defaults.concurrency),
            strict: self.strict || defaults.strict,
            skip_stale: self.skip_stale || defaults.skip_stale,
        }
    }

    pub(crate) fn policy(&self) -> RetryPolicy {
        let mut policy = self.retry.clone().unwrap_or_default();
        if let Some(attempts) = self.attempts {
            policy = policy.attempts(attempts);
        }
        if let Some((initial, max)) = self.backoff {
            policy = policy.initial(initial).max(max);
        }
        policy
    }

    /// The setting with which a handler could never run.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let attempts = self
            .attempts
            .or(self.retry.as_ref().map(|retry| retry.attempts));
        if attempts == Some(0) {
            Some("attempts")
        } else if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            Some("timeout")
        } else if self.concurrency == Some(0) {
            Some("concurrency")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_handler_says_counts_before_what_is_said_to_all() {
        let all = HandlerOptions::new()
            .retry(RetryPolicy::default().max_age(Duration::ZERO))
            .attempts(3)
            .timeout(Duration::from_secs(30))
            .strict();
        assert_eq!(HandlerOptions::new().or(&all), all);

        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let own = HandlerOptions::new()
            .attempts(5)
            .backoff(second, minute)
            .concurrency(2)
            .or(&all);
        let policy = RetryPolicy::default()
            .max_age(Duration::ZERO)
            .attempts(5)
            .initial(second)
            .max(minute);
        assert_eq!(own.policy(), policy);
        assert_eq!(own.timeout, Some(Duration::from_secs(30)));
        assert_eq!((own.concurrency, own.strict), (Some(2), true));

        // A policy of its own has its own number of attempts and its own waits, and so has a later
        // one.
        let all = all.backoff(minute, minute);
        let own = HandlerOptions::new().retry(RetryPolicy::default()).or(&all);
        assert_eq!(own.policy(), RetryPolicy::default());
        let later = HandlerOptions::new()
            .attempts(5)
            .backoff(second, second)
            .retry(RetryPolicy::never());
        assert_eq!(later.policy(), RetryPolicy::never());
    }
}
