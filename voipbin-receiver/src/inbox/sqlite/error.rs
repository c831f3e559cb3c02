use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::lock::LockError;
use super::schema::FILE;
use super::store_error::{StoreError, StoreErrorKind};

/// Why an inbox on disk cannot be opened or read.
///
/// `Debug` has the message as well: it is what a `main` shows that returns this error.
pub struct DiskInboxError {
    kind: DiskInboxErrorKind,
    directory: PathBuf,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why an inbox on disk cannot be opened or read.
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
    /// There is an inbox where one was to be brought back to.
    AlreadyExists,
    /// There is no room left on the file system or within a quota.
    NoSpace,
    /// The file is not as it was written.
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
    pub(super) fn io(directory: &Path, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                DiskInboxErrorKind::NoSpace
            }
            _ => DiskInboxErrorKind::Io,
        };
        Self {
            kind,
            directory: directory.to_owned(),
            source: Some(error.into()),
        }
    }

    pub(super) fn new(directory: &Path, kind: DiskInboxErrorKind) -> Self {
        Self {
            kind,
            directory: directory.to_owned(),
            source: None,
        }
    }

    pub(super) fn locked(directory: &Path, error: LockError) -> Self {
        match error {
            LockError::Io(error) => Self::io(directory, error),
            LockError::Held(holder) => Self::new(directory, DiskInboxErrorKind::Locked { holder }),
            LockError::Here => Self::new(directory, DiskInboxErrorKind::AlreadyOpen),
        }
    }

    pub(super) fn store(directory: &Path, error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::NoSpace => DiskInboxErrorKind::NoSpace,
            StoreErrorKind::Gone => DiskInboxErrorKind::Missing,
            StoreErrorKind::Damaged | StoreErrorKind::Foreign => DiskInboxErrorKind::Damaged,
            StoreErrorKind::Newer { .. } => DiskInboxErrorKind::NewerFormat,
            StoreErrorKind::Busy => DiskInboxErrorKind::Locked { holder: None },
            StoreErrorKind::NoWal => DiskInboxErrorKind::Unsupported,
            StoreErrorKind::Io | StoreErrorKind::Moved => DiskInboxErrorKind::Io,
        };
        Self {
            kind,
            directory: directory.to_owned(),
            source: Some(error.into()),
        }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> DiskInboxErrorKind {
        self.kind
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
        let directory = self.directory.display();
        match self.kind {
            DiskInboxErrorKind::Io => write!(
                f,
                "the inbox in {directory} cannot be read or written: check the path, its permissions and the disk"
            ),
            DiskInboxErrorKind::NotADirectory if self.directory.as_os_str().is_empty() => {
                f.write_str("an inbox on disk needs a directory and the path is empty: name one")
            }
            DiskInboxErrorKind::NotADirectory => write!(
                f,
                "an inbox on disk needs a directory and {directory} is none: name another path"
            ),
            DiskInboxErrorKind::NotFound => write!(
                f,
                "there is no inbox in {directory}: name the directory that holds the file {FILE}"
            ),
            DiskInboxErrorKind::Missing => write!(
                f,
                "there was an inbox in {directory}, and its file {FILE} is missing, empty or zeroed: bring it back, as from a backup, or have a new one made with `recreate`"
            ),
            DiskInboxErrorKind::AlreadyExists => write!(
                f,
                "{directory} is there already: name another one, or one that is empty"
            ),
            DiskInboxErrorKind::NoSpace => {
                write!(f, "there is no room left for the inbox in {directory}")
            }
            DiskInboxErrorKind::Damaged => write!(
                f,
                "the inbox in {directory} is damaged: get its events back with `salvage` or, where that finds too few, with `sqlite3 {FILE} .recover`; or have a new one made with `recreate`, which sets this one aside"
            ),
            DiskInboxErrorKind::NewerFormat => write!(
                f,
                "a later release wrote the inbox in {directory}: run that one, or a later one"
            ),
            DiskInboxErrorKind::Unsupported => write!(
                f,
                "the file system of {directory} has no shared memory or no locks, which an inbox needs, as some network file systems have not: name a directory on a local one"
            ),
            DiskInboxErrorKind::Locked {
                holder: Some(holder),
            } => write!(
                f,
                "the inbox in {directory} is in use by process {holder}: stop it, or give this one a directory of its own"
            ),
            DiskInboxErrorKind::Locked { holder: None } => write!(
                f,
                "the inbox in {directory} is in use by another process: stop it, or give this one a directory of its own"
            ),
            DiskInboxErrorKind::AlreadyOpen => write!(
                f,
                "this process has the inbox in {directory} open: use a clone of that one, or shut its receiver down and wait for `closed().await` first"
            ),
        }
    }
}

impl StdError for DiskInboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
