use std::fmt;

use super::refusal::RefusalReason;
use super::words::words;
use crate::inbox::Kept;

/// What became of a delivery that was not refused; see
/// [`Receiver::accept`](crate::Receiver::accept).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It is new and kept.
    New,
    /// It is a copy of one that is kept.
    Duplicate,
    /// No handler is registered for it, and it is not kept.
    Unmatched,
}

impl From<Kept> for Accepted {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::New => Self::New,
            Kept::Duplicate => Self::Duplicate,
        }
    }
}

/// How a delivery was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// 200: it is new and kept.
    Accepted,
    /// 200: it is a copy of one that is kept.
    Duplicate,
    /// 200: no handler is registered for it.
    Unmatched,
    /// It was refused.
    Refused(RefusalReason),
}

impl From<Accepted> for Outcome {
    fn from(accepted: Accepted) -> Self {
        match accepted {
            Accepted::New => Self::Accepted,
            Accepted::Duplicate => Self::Duplicate,
            Accepted::Unmatched => Self::Unmatched,
        }
    }
}

impl Outcome {
    /// The outcome in a word; of a refusal, its reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Unmatched => "unmatched",
            Self::Refused(reason) => reason.as_str(),
        }
    }
}

words! {
    /// Why no further attempt is made.
    DeadLetterReason {
        /// As many were made as the [`RetryPolicy`](crate::RetryPolicy) allows.
        AttemptsExhausted = "attempts_exhausted",
        /// The handler said that another one would fail as well, or the payload did not fit its
        /// type.
        Permanent = "permanent",
        /// The next one would come when the event is older than the
        /// [`RetryPolicy`](crate::RetryPolicy) allows.
        TooOld = "too_old",
        /// The receiver is shutting down and the inbox does not outlive it.
        ShutDown = "shut_down",
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AttemptsExhausted => "no attempt is left",
            Self::Permanent => "the handler says that another attempt would fail as well",
            Self::TooOld => "it would be too old at its next attempt",
            Self::ShutDown => "the receiver is shutting down",
        })
    }
}
