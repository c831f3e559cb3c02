//! Runs handlers in the background: bounded, isolated from each other and from the answer.

mod job;
mod lanes;
mod pump;
mod runtime;
mod schedule;
mod shutdown;
mod stale;

pub(crate) use self::lanes::{LaneKey, Lanes};
pub(crate) use self::pump::{Control, Dispatch, Parts};
pub(crate) use self::runtime::{Home, start};
pub use self::shutdown::{JobState, ShutdownReport, Unfinished};
