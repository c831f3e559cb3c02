//! A connection to read an inbox by that another process has, or none.

use std::fs::{self, DirBuilder, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::{DiskInboxError, Result};
use super::lock::holder_of;
use super::schema::{self, Access, FILE, LOG};
use super::wal;

/// Reads and never writes. What had to be copied for it goes with it.
pub(super) struct Snapshot {
    pub(super) connection: Connection,
    _copy: Option<DirCopy>,
}

impl Snapshot {
    /// Of the file as it is: beside the process that has it, or where there may be one at any time.
    /// Where nothing can be written there is none, and SQLite cannot read the WAL.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let has_holder = holder_of(directory).is_some();
        // SQLite would show what comes before the damage, and say nothing.
        if !has_holder && wal::lost(&directory.join(LOG))? > 0 {
            return Err(DiskInboxError::damaged());
        }
        Self::of(directory, has_holder || is_writable(&directory.join(FILE)))
    }

    fn of(directory: &Path, is_live: bool) -> Result<Self> {
        let path = directory.join(FILE);
        let has_wal = fs::metadata(directory.join(LOG)).is_ok_and(|wal| wal.len() > 0);
        if is_live || !has_wal {
            let connection = match is_live {
                true => schema::open(&path, Access::Read)?,
                false => schema::open_immutable(&path)?,
            };
            let copy = None;
            return Ok(Self {
                connection,
                _copy: copy,
            });
        }
        let copy = DirCopy::of(directory)?;
        tracing::warn!(
            from = %directory.display(),
            to = %copy.0.display(),
            "nothing can be written to the inbox's directory and it has a write-ahead log: it is \
             copied to be read, and the copy removed in the end"
        );
        // To read the WAL is to write beside it.
        let connection = schema::open(&copy.0.join(FILE), Access::Write)?;
        let copy = Some(copy);
        Ok(Self {
            connection,
            _copy: copy,
        })
    }
}

/// Whether a file, and so what SQLite has beside it, can be written. Nothing is.
fn is_writable(path: &Path) -> bool {
    File::options().append(true).open(path).is_ok()
}

/// A directory of its owner's alone, with a copy of the files.
struct DirCopy(PathBuf);

impl DirCopy {
    fn of(directory: &Path) -> Result<Self> {
        let name = format!("voipbin-inbox-{:016x}", fastrand::u64(..));
        let copy = Self(std::env::temp_dir().join(name));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&copy.0)?;
        for file in [FILE, LOG] {
            fs::copy(directory.join(file), copy.0.join(file))?;
        }
        Ok(copy)
    }
}

impl Drop for DirCopy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a copy of the inbox is left behind");
        }
    }
}

#[cfg(test)]
mod tests;
