use std::error::Error;
use std::fmt;

use crate::platform::PlatformError;

/// Why nothing, or not all, was caught up.
#[derive(Debug)]
pub struct CatchUpError {
    kind: CatchUpErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The ways in which a catch-up fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CatchUpErrorKind {
    /// It is not known since when events were missed: nobody said, and the inbox does not store
    /// it. Nothing was asked.
    Since,
    /// The inbox may have forgotten what it took in that time. Nothing was asked.
    Forgotten,
    /// The budget did not suffice for the lists. Nothing was recovered.
    Budget,
    /// The platform could not be asked.
    Platform,
    /// The inbox could not be read.
    Records,
    /// The receiver shuts down.
    ShuttingDown,
}

impl CatchUpError {
    pub(super) fn of(
        kind: CatchUpErrorKind,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// What went wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> CatchUpErrorKind {
        self.kind
    }
}

impl From<CatchUpErrorKind> for CatchUpError {
    fn from(kind: CatchUpErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<PlatformError> for CatchUpError {
    fn from(error: PlatformError) -> Self {
        Self::of(CatchUpErrorKind::Platform, error)
    }
}

impl fmt::Display for CatchUpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            CatchUpErrorKind::Since => {
                "it is not known since when events were missed: the inbox does not store it, or is new; say it with `since`"
            }
            CatchUpErrorKind::Forgotten => {
                "the inbox may have forgotten what it took in that time, and handlers would run twice: raise retain_done or identity_ttl before the next time, look at a shorter time, or allow repeats"
            }
            CatchUpErrorKind::Budget => {
                "the budget of requests does not suffice to list what may have changed: raise it, or look at a shorter time"
            }
            CatchUpErrorKind::Platform => "the platform cannot be asked what was missed",
            CatchUpErrorKind::Records => "the inbox cannot be asked what it knows",
            CatchUpErrorKind::ShuttingDown => "the receiver shuts down",
        })
    }
}

impl Error for CatchUpError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
