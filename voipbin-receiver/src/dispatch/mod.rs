//! Runs handlers in the background: bounded, isolated from each other and from the answer.
//!
//! ```text
//! inbox -> pump -> schedule: lanes, limits, turns -> job: one run -> verdict: done, again, or dead
//! ```

mod batches;
mod call;
mod job;
mod lanes;
#[cfg(all(test, shuttle))]
mod model;
mod open;
mod pump;
mod runtime;
mod schedule;
mod seat;
mod shared;
mod shutdown;
mod stale;
mod tasks;
mod verdict;

pub(crate) use self::lanes::{LaneKey, Lanes};
pub(crate) use self::pump::Control;
pub(crate) use self::runtime::{Home, start};
pub(crate) use self::shared::{Dispatch, Parts};
pub use self::shutdown::{JobState, ShutdownReport, Unfinished};
