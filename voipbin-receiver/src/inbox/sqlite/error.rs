use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::schema::FILE;
#[cfg(feature = "postgres")]
use crate::inbox::RecordsError;

pub(super) type Result<T, E = DiskInboxError> = std::result::Result<T, E>;

/// Why an inbox on disk cannot be opened, read or written.
///
/// `Debug` has the message as well: it is what a `main` shows that returns this error.
pub struct DiskInboxError {
    kind: DiskInboxErrorKind,
    /// Empty below the functions that know it.
    path: PathBuf,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why an inbox on disk cannot be opened, read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskInboxErrorKind {
    /// The directory or a file in it cannot be created, read or written.
    Io,
    /// The path is empty, or names a file.
    NotADirectory,
    /// There is no inbox.
    NotFound,
    /// There was an inbox, and its file is missing, empty or zeroed.
    Missing,
    /// Its file was moved, replaced or removed while it was open.
    Moved,
    /// There is an inbox where one was to be brought back to.
    AlreadyExists,
    /// There is no room left on the file system or within a quota.
    NoSpace,
    /// The file is not as it was written, or is no inbox.
    Damaged,
    /// A later release wrote it.
    NewerFormat,
    /// The file system has no shared memory or no locks for it.
    Unsupported,
    /// Another process uses the directory.
    Locked {
        /// Which one, where that is known.
        holder: Option<u32>,
    },
    /// This process uses the directory: there is a handle to its inbox, a receiver has one, or it
    /// is being closed.
    AlreadyOpen,
}

impl DiskInboxError {
    pub(super) fn new(kind: DiskInboxErrorKind) -> Self {
        Self {
            kind,
            path: PathBuf::new(),
            source: None,
        }
    }

    pub(super) fn damaged() -> Self {
        Self::new(DiskInboxErrorKind::Damaged)
    }

    /// The thread that was to answer has ended.
    pub(super) fn unanswered() -> Self {
        Self::new(DiskInboxErrorKind::Io)
    }

    /// What a list of its events says.
    #[cfg(feature = "postgres")]
    pub(super) fn unread(error: RecordsError) -> Self {
        let source = error
            .source()
            .and_then(|source| source.downcast_ref::<Self>());
        let kind = source.map_or(DiskInboxErrorKind::Io, Self::kind);
        Self::of(kind, error)
    }

    pub(super) fn of(
        kind: DiskInboxErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            source: Some(source.into()),
            ..Self::new(kind)
        }
    }

    /// Says which directory or file it is about.
    pub(super) fn at(self, path: &Path) -> Self {
        let path = path.to_owned();
        Self { path, ..self }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> DiskInboxErrorKind {
        self.kind
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.kind == DiskInboxErrorKind::Damaged
    }

    /// Whether SQLite itself finds a page wrong. It says the same of one that the disk does not
    /// give.
    pub(super) fn is_of_page(&self) -> bool {
        let source = self.source.as_ref();
        let error = source.and_then(|source| source.downcast_ref::<rusqlite::Error>());
        self.is_damaged() && error.is_some_and(|error| error.sqlite_error().is_some())
    }
}

/// What was looked up, or `None` where it is damaged.
pub(super) fn unless_damaged<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_damaged() => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<io::Error> for DiskInboxError {
    fn from(error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                DiskInboxErrorKind::NoSpace
            }
            _ => DiskInboxErrorKind::Io,
        };
        Self::of(kind, error)
    }
}

/// Extended codes of SQLite that say that there is no shared memory or lock for a write-ahead log.
const NO_WAL: [i32; 4] = [
    ffi::SQLITE_IOERR_SHMMAP,
    ffi::SQLITE_IOERR_SHMOPEN,
    ffi::SQLITE_IOERR_SHMLOCK,
    ffi::SQLITE_IOERR_LOCK,
];

impl From<rusqlite::Error> for DiskInboxError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
        let kind = match error.sqlite_error_code() {
            _ if NO_WAL.contains(&extended) => DiskInboxErrorKind::Unsupported,
            _ if extended == ffi::SQLITE_IOERR_SHMSIZE => DiskInboxErrorKind::NoSpace,
            Some(ErrorCode::DiskFull) => DiskInboxErrorKind::NoSpace,
            // Too big is what a damaged row says of its length: no body is.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TooBig) => {
                DiskInboxErrorKind::Damaged
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                DiskInboxErrorKind::Locked { holder: None }
            }
            Some(_) => DiskInboxErrorKind::Io,
            // A column holds something else than was written.
            None => match error {
                Sql::FromSqlConversionFailure(..)
                | Sql::IntegralValueOutOfRange(..)
                | Sql::InvalidColumnType(..)
                | Sql::Utf8Error(..) => DiskInboxErrorKind::Damaged,
                _ => DiskInboxErrorKind::Io,
            },
        };
        Self::of(kind, error)
    }
}

impl fmt::Debug for DiskInboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskInboxError")
            .field("kind", &self.kind)
            .field("message", &format_args!("{self}"))
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for DiskInboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let inbox = match self.path.as_os_str().is_empty() {
            true => "the inbox".to_owned(),
            false => format!("the inbox in {path}"),
        };
        match self.kind {
            DiskInboxErrorKind::Io => write!(
                f,
                "{inbox} cannot be read or written: check the path, its permissions and the disk"
            ),
            DiskInboxErrorKind::NotADirectory if self.path.as_os_str().is_empty() => {
                f.write_str("an inbox on disk needs a directory and the path is empty: name one")
            }
            DiskInboxErrorKind::NotADirectory => write!(
                f,
                "an inbox on disk needs a directory and {path} is none: name another path"
            ),
            DiskInboxErrorKind::NotFound => write!(
                f,
                "there is no inbox in {path}: name the directory that holds the file {FILE}"
            ),
            DiskInboxErrorKind::Missing => write!(
                f,
                "there was an inbox in {path}, and its file {FILE} is missing, empty or zeroed: bring it back, as from a backup, or have a new one made with `recreate`"
            ),
            DiskInboxErrorKind::Moved => write!(
                f,
                "the file of {inbox} was moved, replaced or removed: put back the one that was there, or start the process anew to go on with what is there now"
            ),
            DiskInboxErrorKind::AlreadyExists => write!(
                f,
                "{path} is there already: name another one, or one that is empty"
            ),
            DiskInboxErrorKind::NoSpace => write!(
                f,
                "there is no room left for {inbox}: free some or raise the quota"
            ),
            DiskInboxErrorKind::Damaged => write!(
                f,
                "{inbox} is damaged: get its events back with `salvage` or, where that finds too few, with `sqlite3 {FILE} .recover`; or have a new one made with `recreate`, which sets this one aside"
            ),
            DiskInboxErrorKind::NewerFormat => write!(
                f,
                "a later release wrote {inbox}: run that one, or a later one"
            ),
            DiskInboxErrorKind::Unsupported => write!(
                f,
                "the file system of {path} has no shared memory or no locks, which an inbox needs, as some network file systems have not: name a directory on a local one"
            ),
            DiskInboxErrorKind::Locked {
                holder: Some(holder),
            } => write!(
                f,
                "{inbox} is in use by process {holder}: stop it, or give this one a directory of its own"
            ),
            DiskInboxErrorKind::Locked { holder: None } => write!(
                f,
                "{inbox} is in use by another process: stop it, or give this one a directory of its own"
            ),
            DiskInboxErrorKind::AlreadyOpen => write!(
                f,
                "this process has {inbox} open: use a clone of that one, or shut its receiver down and wait for `closed().await` first"
            ),
        }
    }
}

impl StdError for DiskInboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
