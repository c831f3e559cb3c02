//! Runs handlers in the background: bounded, isolated from each other and from the answer.
//!
//! ```text
//! inbox -> pump -> queue: lanes, limits, fair turns -> worker: one run -> outcome: done, again, or dead
//! ```
//!
//! A job that was taken lies in the queue until it is settled. A running one holds one permit, its
//! slot and its lane. A worker takes the next job that may run and polls its run once; one that has
//! to wait goes on as a task of its own.

mod age;
mod dispatcher;
mod hold;
mod outcome;
mod permit;
mod placement;
mod pump;
mod queue;
mod run;
mod runtime;
mod schedule;
mod stale;
#[cfg(feature = "testing")]
mod stepping;
mod unfinished;
mod worker;

pub(crate) use self::dispatcher::{Dispatch, DispatchParts};
pub(crate) use self::pump::Control;
pub(crate) use self::runtime::{RuntimeChoice, start};
