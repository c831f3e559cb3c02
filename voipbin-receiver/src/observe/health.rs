use std::fmt;

use super::words::words;

/// Whether a receiver takes new events and has them handled, and why not; see
/// [`Receiver::health`](crate::Receiver::health).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// What is wrong. Empty when nothing is.
    pub problems: Vec<Problem>,
    /// What keeps it from nothing yet.
    pub warnings: Vec<Warning>,
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
        /// The runtime of the handlers is gone: nothing will be handled until the receiver is built
        /// anew.
        HandlersGone = "handlers_gone",
    }
}

words! {
    /// Something that a receiver goes on with, and that somebody should see to.
    Warning {
        /// Dead letters take four fifths of their room in the inbox, or more: when it is full, the
        /// oldest are dropped.
        DeadLettersNearlyFull = "dead_letters_nearly_full",
        /// A run has been going on for more than five minutes: it may hang, and what comes for the
        /// same resource waits behind it.
        LongRun = "long_run",
        /// A handler is paused: its events wait.
        HandlerPaused = "handler_paused",
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
