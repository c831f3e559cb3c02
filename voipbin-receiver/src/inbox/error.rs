use std::error::Error as StdError;
use std::fmt;

use super::Unanswered;

/// Why a receiver cannot use an inbox, or what was settled is not safe.
///
/// ```
/// use voipbin_receiver::inbox::{Inbox, InboxErrorKind, MemoryInbox};
///
/// # fn main() -> Result<(), voipbin_receiver::inbox::InboxError> {
/// let inbox = MemoryInbox::new();
/// let first = inbox.consume()?;
/// let second = inbox.consume().map(drop).map_err(|error| error.kind());
/// assert_eq!(second, Err(InboxErrorKind::InUse));
/// drop(first);
/// assert!(inbox.consume().is_ok());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct InboxError {
    kind: InboxErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why a receiver cannot use an inbox, or what was settled is not safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InboxErrorKind {
    /// Another receiver takes from it.
    InUse,
    /// The store cannot be written, or has ended for good. The cause tells which.
    Storage,
}

impl InboxError {
    /// Another receiver takes from this inbox.
    #[must_use]
    pub fn in_use() -> Self {
        Self {
            kind: InboxErrorKind::InUse,
            source: None,
        }
    }

    /// A failure of the store.
    pub fn storage(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: InboxErrorKind::Storage,
            source: Some(source.into()),
        }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> InboxErrorKind {
        self.kind
    }
}

impl From<Unanswered> for InboxError {
    fn from(unanswered: Unanswered) -> Self {
        Self::storage(unanswered)
    }
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            InboxErrorKind::InUse => {
                "another receiver takes from this inbox: shut that one down first, or give this one \
                 an inbox of its own"
            }
            InboxErrorKind::Storage => "the inbox cannot store what becomes of its events",
        })
    }
}

impl StdError for InboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
