//! Where the file of an inbox is, and whether it is still there.

use std::path::{Path, PathBuf};

use super::schema::LOG;
use super::store_error::{StoreError, StoreErrorKind};

/// The file of an inbox and its log.
pub(super) struct Place {
    path: PathBuf,
    log: PathBuf,
    /// Which files were opened: no others will do.
    opened: [FileId; 2],
}

impl Place {
    /// What is there now, and was just opened.
    pub(super) fn of(path: PathBuf) -> Result<Self, StoreError> {
        let log = path.with_file_name(LOG);
        let opened = [FileId::at(&path)?, FileId::at(&log)?];
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
    pub(super) fn look(&self) -> Result<(), StoreError> {
        match [FileId::at(&self.path)?, FileId::at(&self.log)?] == self.opened {
            true => Ok(()),
            false => Err(StoreError::new(StoreErrorKind::Moved)),
        }
    }
}

/// What tells a file from another one under the same path. Where there is nothing such, one that is
/// open cannot be replaced.
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
    fn at(path: &Path) -> Result<Self, StoreError> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;

        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            #[cfg(unix)]
            device: metadata.dev(),
            #[cfg(unix)]
            inode: metadata.ino(),
        })
    }
}
