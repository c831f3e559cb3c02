use std::error::Error;
use std::fmt;

use crate::observe::{Refusal, RefusalReason};

/// Why [`Receiver::accept`](crate::Receiver::accept) did not take a delivery.
#[derive(Debug)]
pub struct AcceptError(Refusal);

impl AcceptError {
    pub(crate) fn new(refusal: Refusal) -> Self {
        Self(refusal)
    }

    /// Why, to match on.
    #[must_use]
    pub fn reason(&self) -> RefusalReason {
        self.0.reason()
    }

    /// Whether the same delivery may be taken later: the inbox is full, cannot write or is shutting
    /// down.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.reason().row().status.is_server_error()
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for AcceptError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
