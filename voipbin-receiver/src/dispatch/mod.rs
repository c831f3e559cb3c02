//! Runs handlers in the background: bounded, isolated from each other and from the answer.

mod job;
mod pump;
mod retry;
mod runtime;
mod shutdown;

pub(crate) use self::pump::{Control, Dispatch, Parts};
pub use self::retry::RetryPolicy;
pub(crate) use self::runtime::{Home, start};
pub use self::shutdown::{JobState, ShutdownReport, Unfinished};
