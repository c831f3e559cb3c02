use std::error::Error as StdError;
use std::fmt;

/// Why an inbox cannot be looked into, or an event not handled again.
#[derive(Debug)]
pub struct RecordsError {
    kind: RecordsErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why an inbox cannot be looked into, or an event not handled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordsErrorKind {
    /// There is no such event, or its bytes are gone.
    NotFound,
    /// Its dead letters were replayed before.
    Replayed,
    /// The store cannot be read or written.
    Storage,
    /// This inbox cannot do it.
    Unsupported,
}

impl RecordsError {
    /// There is no such event.
    #[must_use]
    pub fn not_found() -> Self {
        Self {
            kind: RecordsErrorKind::NotFound,
            source: None,
        }
    }

    /// The dead letters of the event were replayed before.
    #[must_use]
    pub fn replayed() -> Self {
        Self {
            kind: RecordsErrorKind::Replayed,
            source: None,
        }
    }

    /// The inbox cannot do what it was asked for.
    #[must_use]
    pub fn unsupported() -> Self {
        Self {
            kind: RecordsErrorKind::Unsupported,
            source: None,
        }
    }

    /// A failure of the store.
    pub fn storage(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: RecordsErrorKind::Storage,
            source: Some(source.into()),
        }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> RecordsErrorKind {
        self.kind
    }
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RecordsErrorKind::NotFound => {
                "there is no such event in the inbox, or its bytes are gone"
            }
            RecordsErrorKind::Replayed => {
                "the event was replayed already: name the handlers that are to run once more"
            }
            RecordsErrorKind::Storage => "the inbox's store cannot be read or written",
            RecordsErrorKind::Unsupported => "this inbox cannot do it",
        })
    }
}

impl StdError for RecordsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
