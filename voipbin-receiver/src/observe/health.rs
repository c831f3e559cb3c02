use std::fmt;

use super::words::words;

/// Whether a receiver takes new events and has them handled, and why not; see
/// [`Receiver::health`](crate::Receiver::health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// What is wrong. Empty when nothing is.
    pub problems: Vec<Problem>,
}

impl Health {
    /// Whether new events are taken and handled: what a readiness probe asks.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.problems.is_empty()
    }
}

words! {
    /// Something that keeps a receiver from its work.
    Problem {
        /// The inbox cannot write. New events get a 503 until it can.
        StorageFailing = "storage_failing",
        /// The inbox is full. New events get a 503 until some are finished.
        InboxFull = "inbox_full",
        /// A shutdown has begun.
        ShuttingDown = "shutting_down",
        /// The runtime of the handlers is gone: nothing will be handled until the receiver is built anew.
        HandlersGone = "handlers_gone",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
