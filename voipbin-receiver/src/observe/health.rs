use std::fmt;

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

/// Something that keeps a receiver from its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// The inbox cannot write. New events get a 503 until it can.
    StorageFailing,
    /// The inbox is full. New events get a 503 until some are finished.
    InboxFull,
    /// A shutdown has begun.
    ShuttingDown,
    /// The runtime of the handlers is gone: nothing will be handled until the receiver is built anew.
    HandlersGone,
}

impl Problem {
    /// The problem in a word, as probes and dashboards show it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StorageFailing => "storage_failing",
            Self::InboxFull => "inbox_full",
            Self::ShuttingDown => "shutting_down",
            Self::HandlersGone => "handlers_gone",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
