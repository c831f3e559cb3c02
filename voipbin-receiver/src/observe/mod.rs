//! What can be seen of a running receiver: its health, what it has counted, and what happens as it happens.

mod health;
mod hooks;
mod stats;

pub use self::health::{Health, Problem};
pub(crate) use self::hooks::Hooks;
pub use self::hooks::{
    DeadLetter, DeadLetterReason, Observer, Outcome, RefusalReason, Run, Transition,
};
pub(crate) use self::stats::Counters;
pub use self::stats::Stats;
