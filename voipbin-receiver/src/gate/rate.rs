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

use super::{Exceeded, Source};
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
    pub(crate) each: Option<Rate>,
    pub(crate) all: Option<Rate>,
}

impl RateSettings {
    /// The limits, or the name of the setting that is out of range.
    pub(crate) fn build(self, clock: &Arc<dyn Clock>) -> Result<Rates, &'static str> {
        let each = match self.each {
            Some(rate) => {
                let quota = rate.quota().ok_or("source_rate_limit")?;
                Some(RateLimiter::new(
                    quota,
                    Slots::new(),
                    Ticks(Arc::clone(clock)),
                ))
            }
            None => None,
        };
        let all = match self.all {
            Some(rate) => {
                let quota = rate.quota().ok_or("rate_limit")?;
                let state = InMemoryState::default();
                Some(RateLimiter::new(quota, state, Ticks(Arc::clone(clock))))
            }
            None => None,
        };
        Ok(Rates { each, all })
    }
}

type Limiter<K, S> = RateLimiter<K, S, Ticks, NoOpMiddleware<Nanos>>;

/// How often requests may come.
pub(crate) struct Rates {
    each: Option<Limiter<Group, Slots>>,
    all: Option<Limiter<NotKeyed, InMemoryState>>,
}

impl Rates {
    /// Counts a request. That of its source is asked first: one that exceeds its own share takes
    /// nothing of what all have together.
    pub(crate) fn check(&self, source: Source) -> Result<(), Exceeded> {
        if let Some(each) = &self.each {
            each.check_key(&Group::of(source))
                .map_err(|_| Exceeded::Source)?;
        }
        if let Some(all) = &self.all {
            all.check().map_err(|_| Exceeded::All)?;
        }
        Ok(())
    }
}

/// Sources that have one share together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Group {
    V4(u32),
    /// A /64, which is what one connection to the net has to choose from.
    V6([u16; 4]),
    /// All requests of which nobody says where they come from.
    Unknown,
}

impl Group {
    fn of(source: Source) -> Self {
        match source {
            Source::Client(address) | Source::Unclear { proxy: address } => match address {
                IpAddr::V4(address) => Self::V4(address.to_bits()),
                IpAddr::V6(address) => {
                    let [a, b, c, d, ..] = address.segments();
                    Self::V6([a, b, c, d])
                }
            },
            Source::Unknown => Self::Unknown,
        }
    }
}

/// As many as it takes for two sources out of a thousand to hardly ever meet in one; half a
/// megabyte.
const SLOTS: usize = 1 << 16;

/// A word for each of a fixed number of slots, and a source in the slot of its hash. So it never
/// grows, whoever calls from however many addresses, and needs no cleaning: a word that lies in the
/// past is as good as none. Two sources in one slot share what one may have; which ones do cannot
/// be known from outside, for the hash has a key of its own in each process.
struct Slots {
    slots: Box<[InMemoryState]>,
    hash: RandomState,
}

impl Slots {
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| InMemoryState::default()).collect(),
            hash: RandomState::new(),
        }
    }
}

impl StateStore for Slots {
    type Key = Group;

    fn measure_and_replace<T, F, E>(&self, group: &Group, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let place = self.hash.hash_one(group) % (SLOTS as u64);
        let slot = usize::try_from(place)
            .ok()
            .and_then(|place| self.slots.get(place));
        match slot {
            Some(slot) => slot.measure_and_replace(&NotKeyed::NonKey, decide),
            // There is a slot for each place.
            None => decide(None).map(|(decided, _)| decided),
        }
    }
}

/// The receiver's clock as governor reads one.
struct Ticks(Arc<dyn Clock>);

impl GovernorClock for Ticks {
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
