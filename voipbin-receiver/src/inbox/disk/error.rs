use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::lock::LockError;
use super::store_error::{StoreError, StoreErrorKind};

/// Why an inbox on disk cannot be opened or read.
#[derive(Debug)]
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
    /// There is no room left on the file system or within a quota.
    NoSpace,
    /// The file is not as it was written.
    Damaged,
    /// A later release wrote it.
    NewerFormat,
    /// Another inbox uses the directory.
    Locked {
        /// The process it belongs to, where that is known.
        holder: Option<u32>,
    },
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

    pub(super) fn locked(directory: &Path, error: LockError) -> Self {
        match error {
            LockError::Io(error) => Self::io(directory, error),
            LockError::Held(holder) => Self {
                kind: DiskInboxErrorKind::Locked { holder },
                directory: directory.to_owned(),
                source: None,
            },
        }
    }

    pub(super) fn store(directory: &Path, error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::NoSpace => DiskInboxErrorKind::NoSpace,
            StoreErrorKind::Damaged => DiskInboxErrorKind::Damaged,
            StoreErrorKind::NewerFormat { .. } => DiskInboxErrorKind::NewerFormat,
            StoreErrorKind::Locked => DiskInboxErrorKind::Locked { holder: None },
            StoreErrorKind::Io | StoreErrorKind::Closed => DiskInboxErrorKind::Io,
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

impl fmt::Display for DiskInboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let directory = self.directory.display();
        match self.kind {
            DiskInboxErrorKind::Io => {
                write!(f, "the inbox in {directory} cannot be read or written")
            }
            DiskInboxErrorKind::NoSpace => {
                write!(f, "there is no room left for the inbox in {directory}")
            }
            DiskInboxErrorKind::Damaged => write!(
                f,
                "the inbox in {directory} is damaged: move the directory aside to go on with an empty one, and get its events back with `salvage`"
            ),
            DiskInboxErrorKind::NewerFormat => write!(
                f,
                "a later release wrote the inbox in {directory}: run that one, or a later one"
            ),
            DiskInboxErrorKind::Locked {
                holder: Some(holder),
            } => write!(
                f,
                "the inbox in {directory} is in use by process {holder}: stop it, or give this one a directory of its own"
            ),
            DiskInboxErrorKind::Locked { holder: None } => write!(
                f,
                "the inbox in {directory} is in use: stop the other one, or give this one a directory of its own"
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
