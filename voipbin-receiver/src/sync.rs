//! What threads share state through. What is hand-rolled in this crate takes it from here, so that
//! its models run the same code under shuttle, which decides at each step who goes on.
//!
//! Built with `--cfg shuttle`, the tests have:
//!
//! * the locks, condition variables and atomics of the standard library from shuttle. Each of their
//!   operations is one step, and none is weaker than `SeqCst`: too weak an ordering is not found.
//! * tokio's own `Notify`, with a step before each operation. Its oneshot, watch and unbounded
//!   channels are tokio's too: an operation happens together with the step before it. None is
//!   looked into.
//! * a map behind one lock in place of dashmap's.
//! * time that stands still, except that whoever sleeps may be the next to go on. What is an hour
//!   off or more never comes: a wake-up that is lost is not made good by a time-out.
//!
//! Not modelled are the dispatcher, all of whose state is under one lock, and the runtimes of
//! handlers.

#[cfg(not(all(test, shuttle)))]
mod real {
    pub(crate) use std::sync::*;

    pub(crate) use tokio::sync::Notify;

    pub(crate) mod dashmap {
        pub(crate) use dashmap::{DashMap, Entry};
    }

    pub(crate) mod time {
        pub(crate) use tokio::time::{Instant, sleep_until};
    }
}

#[cfg(all(test, shuttle))]
pub(crate) mod model;

#[cfg(all(test, shuttle))]
pub(crate) use self::model::{Notify, dashmap, time};
#[cfg(not(all(test, shuttle)))]
pub(crate) use self::real::*;
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::*;
