//! What can be seen of a running receiver.

mod health;
mod stats;

pub use self::health::{Health, Problem};
pub(crate) use self::stats::Counters;
pub use self::stats::Stats;
