//! What can be seen of a running receiver: its health, what it has counted, and what happens as it
//! happens.

mod health;
mod hooks;
#[cfg(feature = "metrics")]
pub mod metrics;
mod outcome;
mod propagator;
mod recorder;
mod refusal;
mod shutdown;
mod stats;
mod words;

pub use self::health::{Health, Problem, Warning};
pub(crate) use self::hooks::Hooks;
pub use self::hooks::{DeadLetter, Gauges, Inspection, Observer, Run, Transition};
#[cfg(feature = "metrics")]
#[doc(inline)]
pub use self::metrics::Metrics;
pub use self::outcome::{Accepted, DeadLetterReason, Outcome};
pub(crate) use self::propagator::Propagation;
pub use self::propagator::Propagator;
#[cfg(any(feature = "inspector", feature = "server"))]
pub(crate) use self::recorder::WarnLimiter;
pub(crate) use self::recorder::{OutcomeRecorder, Trace};
pub(crate) use self::refusal::{Connection, Refusal};
pub use self::refusal::{RefusalReason, Refused};
pub use self::shutdown::{JobState, ShutdownReport, Unfinished};
pub use self::stats::Stats;
pub(crate) use self::stats::{Counters, RunCounts};
