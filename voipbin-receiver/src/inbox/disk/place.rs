//! Where the file of an inbox is, and whether it is still there.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::CACHE_BYTES;
use super::store::{Store, open_file};
use super::store_error::{StoreError, StoreErrorKind};

/// What an inbox is kept in, to be opened now and again after a failure.
pub(super) trait Place: Send + 'static {
    /// Opens it; with a check of all of it where that is asked for.
    fn open(&self, check: bool) -> Result<Store, StoreError>;

    /// Whether what is open is what the next process would find.
    fn look(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl<F: Fn(bool) -> Result<Store, StoreError> + Send + 'static> Place for F {
    fn open(&self, check: bool) -> Result<Store, StoreError> {
        self(check)
    }
}

/// A file by its path.
pub(super) struct FilePlace {
    path: PathBuf,
    /// Which file was opened first: no other one will do.
    file: OnceLock<FileId>,
}

impl FilePlace {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: OnceLock::new(),
        }
    }

    fn expect(&self, found: FileId) -> Result<(), StoreError> {
        match self.file.get() {
            Some(file) if *file != found => Err(StoreError::new(StoreErrorKind::Moved)),
            _ => Ok(()),
        }
    }
}

impl Place for FilePlace {
    /// Creates it when there is none, but only the first time.
    fn open(&self, check: bool) -> Result<Store, StoreError> {
        let file = match self.file.get() {
            None => open_file(&self.path)?,
            Some(_) => OpenOptions::new()
                .read(true)
                .write(true)
                .open(&self.path)
                .map_err(moved)?,
        };
        let id = FileId::of(&file.metadata()?);
        self.expect(id)?;
        let store = match check {
            true => Store::open_checked(file, CACHE_BYTES),
            false => Store::open_file(file, CACHE_BYTES),
        }?;
        let _ = self.file.set(id);
        Ok(store)
    }

    fn look(&self) -> Result<(), StoreError> {
        let found = std::fs::metadata(&self.path).map_err(moved)?;
        self.expect(FileId::of(&found))
    }
}

fn moved(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            StoreError::new(StoreErrorKind::Moved)
        }
        _ => error.into(),
    }
}

/// What tells a file from another one under the same path.
#[cfg(unix)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

#[cfg(unix)]
impl FileId {
    fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;

        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Elsewhere a file that is open cannot be replaced.
#[cfg(not(unix))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId;

#[cfg(not(unix))]
impl FileId {
    fn of(_: &std::fs::Metadata) -> Self {
        Self
    }
}
