use std::error::Error as StdError;
use std::fmt;
use std::io;

use rusqlite::ErrorCode;

/// Why the file of an inbox cannot be used.
#[derive(Debug)]
pub(super) struct StoreError {
    kind: StoreErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why the file of an inbox cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreErrorKind {
    /// It cannot be created, read or written.
    Io,
    /// There is no room left for it, on the file system or within a quota.
    NoSpace,
    /// Its content is not what was written.
    Damaged,
    /// It is not there, or empty, although there was an inbox.
    Gone,
    /// It is no inbox.
    Foreign,
    /// A later release wrote it.
    Newer {
        /// Which one, where the file tells.
        release: Option<String>,
    },
    /// Another process writes to it.
    Busy,
    /// It is not where it was, or another one is.
    Moved,
    /// A write-ahead log cannot be used here.
    NoWal,
}

impl StoreError {
    pub(super) fn new(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Why, to match on.
    pub(super) fn kind(&self) -> StoreErrorKind {
        self.kind.clone()
    }

    /// Whether SQLite itself finds a page wrong. It says the same of one that the disk does not
    /// give.
    pub(super) fn is_of_page(&self) -> bool {
        let source = self.source.as_ref();
        let error = source.and_then(|source| source.downcast_ref::<rusqlite::Error>());
        self.kind == StoreErrorKind::Damaged
            && error.is_some_and(|error| error.sqlite_error().is_some())
    }

    /// Of reading a column: what is stored there is of another kind.
    pub(super) fn of_row(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(..) => error.into(),
            other => Self {
                kind: StoreErrorKind::Damaged,
                source: Some(other.into()),
            },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StoreErrorKind::Io => f.write_str(
                "the inbox's file cannot be read or written: check its path, permissions and disk",
            ),
            StoreErrorKind::NoSpace => {
                f.write_str("there is no room for the inbox's file: free some or raise the quota")
            }
            StoreErrorKind::Damaged => f.write_str(
                "the inbox's file is damaged: move it aside and salvage its events",
            ),
            StoreErrorKind::Gone => f.write_str(
                "there was an inbox, and its file is missing, empty or zeroed: bring it back, or \
                 say that a new one is to be made",
            ),
            StoreErrorKind::Foreign => f.write_str("the file is no inbox"),
            StoreErrorKind::Newer {
                release: Some(release),
            } => write!(f, "release {release} wrote the inbox's file: run that one, or a later one"),
            StoreErrorKind::Newer { release: None } => {
                f.write_str("a later release wrote the inbox's file: run that one, or a later one")
            }
            StoreErrorKind::Busy => {
                f.write_str("another process writes to the inbox's file: stop it")
            }
            StoreErrorKind::Moved => f.write_str(
                "the inbox's file was moved, replaced or removed: put back the one that was there, or \
                 start the process anew to go on with what is there now",
            ),
            StoreErrorKind::NoWal => f.write_str(
                "the file system of the inbox has no shared memory or no locks, as some network file \
                 systems do not: put it on a local one",
            ),
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
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::NoSpace,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => StoreErrorKind::Moved,
            _ => StoreErrorKind::Io,
        };
        Self {
            kind,
            source: Some(error.into()),
        }
    }
}

/// Extended codes of SQLite that say that there is no shared memory or lock for a write-ahead log.
const NO_WAL: [i32; 4] = [
    rusqlite::ffi::SQLITE_IOERR_SHMMAP,
    rusqlite::ffi::SQLITE_IOERR_SHMOPEN,
    rusqlite::ffi::SQLITE_IOERR_SHMLOCK,
    rusqlite::ffi::SQLITE_IOERR_LOCK,
];

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        let kind = match error.sqlite_error_code() {
            _ if NO_WAL.contains(&extended) => StoreErrorKind::NoWal,
            Some(ErrorCode::DiskFull) => StoreErrorKind::NoSpace,
            _ if extended == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => StoreErrorKind::NoSpace,
            Some(ErrorCode::DatabaseCorrupt) => StoreErrorKind::Damaged,
            Some(ErrorCode::NotADatabase) => StoreErrorKind::Foreign,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreErrorKind::Busy,
            _ => StoreErrorKind::Io,
        };
        Self {
            kind,
            source: Some(error.into()),
        }
    }
}
