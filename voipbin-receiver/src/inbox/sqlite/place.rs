//! Where the file of an inbox is, and whether it is still there.

use std::path::{Path, PathBuf};

use super::store_error::{StoreError, StoreErrorKind};

/// A file by its path.
pub(super) struct Place {
    path: PathBuf,
    /// Which file was opened: no other one will do.
    file: FileId,
}

impl Place {
    /// The file that is there now.
    pub(super) fn of(path: PathBuf) -> Result<Self, StoreError> {
        let file = FileId::of(&std::fs::metadata(&path)?);
        Ok(Self { path, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Its write-ahead log.
    pub(super) fn log(&self) -> PathBuf {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        log.into()
    }

    /// What it takes on disk, with its log.
    pub(super) fn bytes(&self) -> u64 {
        let len = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        len(&self.path) + len(&self.log())
    }

    /// Looks whether what is open is what the next process would find.
    pub(super) fn look(&self) -> Result<(), StoreError> {
        match FileId::of(&std::fs::metadata(&self.path)?) == self.file {
            true => Ok(()),
            false => Err(StoreError::new(StoreErrorKind::Moved)),
        }
    }
}

/// What tells a file from another one under the same path. Where there is nothing such, one that is open cannot be
/// replaced.
#[derive(PartialEq, Eq)]
struct FileId {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl FileId {
    #[cfg_attr(
        not(unix),
        expect(unused_variables, reason = "there is nothing to tell it by")
    )]
    fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;

        Self {
            #[cfg(unix)]
            device: metadata.dev(),
            #[cfg(unix)]
            inode: metadata.ino(),
        }
    }
}
