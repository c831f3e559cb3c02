use std::error::Error as StdError;
use std::fmt;
use std::io;

/// Why the file of an inbox cannot be used.
#[derive(Debug)]
pub(crate) struct StoreError {
    kind: StoreErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why the file of an inbox cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub(crate) enum StoreErrorKind {
    /// The file cannot be created, read or written.
    Io,
    /// There is no room left for it, on the file system or within a quota.
    NoSpace,
    /// Its content is not what was written, or it is no inbox.
    Damaged,
    /// A later release wrote it.
    NewerFormat {
        /// The version of its format.
        found: u64,
        /// The latest version that this release knows.
        known: u64,
    },
    /// Another process, or another inbox of this one, has it open.
    Locked,
    /// It is not where it was, or another one is.
    Moved,
    /// It failed before. It must be opened anew.
    Closed,
}

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(super) fn caused(
        kind: StoreErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }

    /// It failed before and is not open again.
    pub(super) fn closed() -> Self {
        Self::new(StoreErrorKind::Closed)
    }

    pub(super) fn damaged(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::caused(StoreErrorKind::Damaged, source)
    }

    /// Why, to match on.
    #[must_use]
    pub(crate) fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            StoreErrorKind::Io => f.write_str(
                "the inbox's file cannot be read or written: check its path, permissions and disk",
            ),
            StoreErrorKind::NoSpace => {
                f.write_str("there is no room for the inbox's file: free some or raise the quota")
            }
            StoreErrorKind::Damaged => f.write_str(
                "the inbox's file is damaged or no inbox: move it aside and salvage its events",
            ),
            StoreErrorKind::NewerFormat { found, known } => write!(
                f,
                "the inbox's file has format {found} and this release knows up to {known}: run the \
                 release that wrote it, or a later one"
            ),
            StoreErrorKind::Locked => f.write_str(
                "the inbox's file is open already: stop the other receiver or give it another file",
            ),
            StoreErrorKind::Moved => f.write_str(
                "the inbox's file was moved, replaced or removed: put back the one that was there, or \
                 start the process anew to go on with what is there now",
            ),
            StoreErrorKind::Closed => {
                f.write_str("the inbox's file failed before: it must be opened anew")
            }
        }
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::caused(of_io(&error), error)
    }
}

/// Every error of redb turns into this one, so that there is one place that tells what they mean.
impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        let kind = match &error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                StoreErrorKind::Locked
            }
            redb::Error::Io(error) => of_io(error),
            redb::Error::Backend(error) => of_chain(&**error),
            redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_) => StoreErrorKind::Closed,
            redb::Error::Unsupported | redb::Error::ValueTooLarge(_) => StoreErrorKind::Io,
            _ => StoreErrorKind::Damaged,
        };
        // redb's errors name no source: the cause is told here.
        match error {
            redb::Error::Io(error) => Self::caused(kind, error),
            redb::Error::Backend(error) => Self::caused(kind, error),
            error => Self::caused(kind, error),
        }
    }
}

/// An error within may tell more than the one around it.
fn of_chain(error: &(dyn StdError + 'static)) -> StoreErrorKind {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error);
        }
        next = error.source();
    }
    StoreErrorKind::Io
}

fn of_io(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::NoSpace,
        // redb says so of a file that is not its own, and of one that ends early.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreErrorKind::Damaged,
        _ => match error.get_ref() {
            Some(within) => of_chain(within),
            None => StoreErrorKind::Io,
        },
    }
}
