use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use sha2::digest::consts::U8;
use sha2::{Digest, Sha256};

use super::Delivery;

/// Which deliveries are of one lane.
#[derive(Default)]
pub(crate) enum LaneChoice {
    /// Those of one resource.
    #[default]
    Resource,
    /// Those for which this gives the same key.
    Chosen(Box<LaneFn>),
    /// None: all may run beside each other.
    Off,
}

/// A user's choice of the lane of a delivery. `None` is no lane.
pub(crate) type LaneFn = dyn Fn(&Delivery) -> Option<String> + Send + Sync;

impl LaneChoice {
    /// The lane of a delivery. A choice that panics puts it into none.
    pub(crate) fn of(&self, delivery: &Delivery) -> Option<Lane> {
        match self {
            Self::Resource => delivery.lane_id().map(Lane::of),
            Self::Chosen(choose) => {
                let chosen = catch_unwind(AssertUnwindSafe(|| choose(delivery)));
                chosen.ok().flatten().map(Lane::of)
            }
            Self::Off => None,
        }
    }
}

/// The lane of an event: a number that is the same for all events which must not overlap, in every
/// process and for every release.
///
/// It is kept with the event, so that any process knows it before it takes the event. It is the
/// first eight bytes, big-endian, of the SHA-256 of `lane1:` and the lane's key, as by
/// `substr(sha256('lane1:' || key), 1, 8)` in SQL. That two keys share a number is rare, and costs
/// nothing but the one waiting for the other.
///
/// ```
/// use voipbin_receiver::inbox::Lane;
///
/// assert_eq!(Lane::of("call-1"), Lane::of(b"call-1"));
/// assert_ne!(Lane::of("call-1"), Lane::of("call-2"));
/// assert_eq!(Lane::of("call-1").get(), 0x6ac3_d28e_af8e_8682);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(u64);

impl Lane {
    /// The lane of this key, such as the id of a resource.
    #[must_use]
    pub fn of(key: impl AsRef<[u8]>) -> Self {
        let hash = Sha256::new()
            .chain_update(b"lane1:")
            .chain_update(key)
            .finalize();
        let (first_eight, _) = hash.split::<U8>();
        Self(u64::from_be_bytes(first_eight.into()))
    }

    /// The lane of this number, for inboxes that stored it.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number: evenly spread, so that its remainder makes partitions.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lane({:016x})", self.0)
    }
}
