use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

// governor: GCRA on one atomic word for each source, with a clock and a store of the user's.
use governor::clock::Clock as GovernorClock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use super::{ClientAddr, RateExceeded};
use crate::clock::Clock;

/// How many requests may come in how much time.
///
/// So many at once as the burst, which is the whole count unless [`burst`](Self::burst) says
/// otherwise; after that one each time the period's share for it has passed.
///
/// ```
/// use voipbin_receiver::gate::Rate;
///
/// // One each 20 ms, and 200 at once after a quiet time.
/// let rate = Rate::per_second(50).burst(200);
/// # drop(rate);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    period: Duration,
    burst: u32,
}

impl Rate {
    /// The largest count and the largest burst: a million.
    pub const MAX: u32 = 1_000_000;

    /// So many requests in a second; 1 to [`MAX`](Self::MAX), which `build` checks.
    #[must_use]
    pub const fn per_second(count: u32) -> Self {
        Self {
            count,
            period: Duration::from_secs(1),
            burst: count,
        }
    }

    /// So many requests in a minute; 1 to [`MAX`](Self::MAX), which `build` checks.
    #[must_use]
    pub const fn per_minute(count: u32) -> Self {
        Self {
            count,
            period: Duration::from_secs(60),
            burst: count,
        }
    }

    /// So many of them at once; 1 to [`MAX`](Self::MAX), which `build` checks.
    #[must_use]
    pub const fn burst(self, requests: u32) -> Self {
        Self {
            burst: requests,
            ..self
        }
    }

    /// `None` outside of the range, where the times would not fit into what they are reckoned in.
    fn quota(self) -> Option<Quota> {
        let in_range = |number: u32| (1..=Self::MAX).contains(&number);
        if !in_range(self.count) || !in_range(self.burst) {
            return None;
        }
        let burst = NonZeroU32::new(self.burst)?;
        Some(Quota::with_period(self.period.checked_div(self.count)?)?.allow_burst(burst))
    }
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RateSettings {
    pub(crate) per_source: Option<Rate>,
    pub(crate) total: Option<Rate>,
}

impl RateSettings {
    /// The limits, or the name of the setting that is out of range.
    pub(crate) fn build(self, clock: &Arc<dyn Clock>) -> Result<Rates, &'static str> {
        let quota = |rate: Option<Rate>, setting| match rate {
            Some(rate) => rate.quota().ok_or(setting).map(Some),
            None => Ok(None),
        };
        let per_source = quota(self.per_source, "source_rate_limit")?;
        let total = quota(self.total, "rate_limit")?;
        let clock = || ReceiverClock(Arc::clone(clock));
        Ok(Rates {
            per_source: per_source.map(|quota| RateLimiter::new(quota, Buckets::new(), clock())),
            total: total.map(|quota| RateLimiter::new(quota, InMemoryState::default(), clock())),
        })
    }
}

type Limiter<K, S> = RateLimiter<K, S, ReceiverClock, NoOpMiddleware<Nanos>>;

/// How often requests may come.
pub(crate) struct Rates {
    per_source: Option<Limiter<RateKey, Buckets>>,
    total: Option<Limiter<NotKeyed, InMemoryState>>,
}

impl Rates {
    /// Counts a request. That of its source is asked first: one that exceeds its own share takes
    /// nothing of what all have together.
    pub(crate) fn check(&self, source: ClientAddr) -> Result<(), RateExceeded> {
        if let Some(limiter) = &self.per_source {
            let checked = limiter.check_key(&RateKey::of(source));
            checked.map_err(|_| RateExceeded::Source)?;
        }
        if let Some(limiter) = &self.total {
            limiter.check().map_err(|_| RateExceeded::All)?;
        }
        Ok(())
    }
}

/// Sources that share one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RateKey {
    V4(u32),
    /// A /64, which is what one connection to the net has to choose from.
    V6([u16; 4]),
    /// All requests of which nobody says where they come from.
    Unknown,
}

impl RateKey {
    fn of(source: ClientAddr) -> Self {
        match source {
            ClientAddr::Known(address) | ClientAddr::Ambiguous { proxy: address } => {
                match address {
                    IpAddr::V4(address) => Self::V4(address.to_bits()),
                    IpAddr::V6(address) => {
                        let [a, b, c, d, ..] = address.segments();
                        Self::V6([a, b, c, d])
                    }
                }
            }
            ClientAddr::Unknown => Self::Unknown,
        }
    }
}

/// Few enough to take half a megabyte; two sources out of a thousand hardly ever share one.
const BUCKETS: usize = 1 << 16;

/// The state of each source's limit, in the bucket of its hash: of a fixed size, whoever calls from
/// however many addresses, and without cleaning. Two sources in one bucket share its limit; the
/// hash is keyed for each process, so that nobody outside knows which ones do.
struct Buckets {
    buckets: Box<[InMemoryState]>,
    hash: RandomState,
}

impl Buckets {
    fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| InMemoryState::default()).collect(),
            hash: RandomState::new(),
        }
    }
}

impl StateStore for Buckets {
    type Key = RateKey;

    fn measure_and_replace<T, F, E>(&self, key: &RateKey, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let bucket = self.hash.hash_one(key) % BUCKETS as u64;
        self.buckets[bucket as usize].measure_and_replace(&NotKeyed::NonKey, decide)
    }
}

/// The receiver's clock as governor reads one.
struct ReceiverClock(Arc<dyn Clock>);

impl GovernorClock for ReceiverClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        // Half of the range, so that nothing that is added to it can overflow: 292 years.
        const LATEST: u64 = u64::MAX / 2;
        let nanos = u64::try_from(self.0.monotonic().as_nanos()).unwrap_or(LATEST);
        Nanos::new(nanos.min(LATEST))
    }
}

#[cfg(test)]
mod tests;
