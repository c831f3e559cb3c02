//! Where the file of an inbox is, and whether it is still there.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::schema::LOG;

/// The file of an inbox and its log.
pub(super) struct InboxFiles {
    path: PathBuf,
    log: PathBuf,
    /// Which files were opened: no others will do.
    opened: [FileId; 2],
}

impl InboxFiles {
    /// What is there now, and was just opened.
    pub(super) fn of(path: PathBuf) -> Result<Self> {
        let log = path.with_file_name(LOG);
        let opened = [FileId::of(&path)?, FileId::of(&log)?];
        Ok(Self { path, log, opened })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it takes on disk, with its log.
    pub(super) fn bytes(&self) -> u64 {
        let len = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        len(&self.path) + len(&self.log)
    }

    /// Looks whether what is open is what the next process would find.
    pub(super) fn check(&self) -> Result<()> {
        let found = FileId::of(&self.path).and_then(|file| Ok([file, FileId::of(&self.log)?]));
        match found {
            Ok(found) if found == self.opened => Ok(()),
            Err(error)
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Err(error.into())
            }
            _ => Err(DiskInboxError::new(DiskInboxErrorKind::Moved)),
        }
    }
}

/// What tells a file from another one under the same path: device and inode. Where there is nothing
/// such, one that is open cannot be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = std::fs::metadata(path)?;
        #[cfg(unix)]
        let id = {
            use std::os::unix::fs::MetadataExt;
            Self(file.dev(), file.ino())
        };
        #[cfg(not(unix))]
        let id = Self(0, u64::from(file.is_dir()));
        Ok(id)
    }
}
