//! What can be seen of a running receiver.

mod stats;

pub(crate) use self::stats::Counters;
pub use self::stats::Stats;
