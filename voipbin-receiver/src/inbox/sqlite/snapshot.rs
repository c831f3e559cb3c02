//! A connection to read an inbox by that another process has, or none.

use std::fs::{self, DirBuilder, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::lock::holder_of;
use super::schema::{self, FILE, LOG, Role};
use super::store_error::{StoreError, StoreErrorKind};
use super::wal;

/// Reads and never writes. What had to be copied for it goes with it.
pub(super) struct Snapshot {
    pub(super) connection: Connection,
    _copy: Option<Copied>,
}

impl Snapshot {
    /// Of the file as it is: beside the process that has it, or where there may be one at any time.
    /// Where nothing can be written there is none, and SQLite cannot read the WAL.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let has_holder = holder_of(directory).is_some();
        // SQLite would show what comes before the damage, and say nothing.
        if !has_holder && wal::lost(&directory.join(LOG))? > 0 {
            return Err(StoreError::new(StoreErrorKind::Damaged));
        }
        Self::of(directory, has_holder || is_writable(&directory.join(FILE)))
    }

    fn of(directory: &Path, is_live: bool) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let wal = fs::metadata(directory.join(LOG)).map_or(0, |wal| wal.len());
        if is_live {
            let connection = schema::open(&path, Role::Reader)?;
            return Ok(Self {
                connection,
                _copy: None,
            });
        }
        if wal == 0 {
            let connection = schema::open_immutable(&path)?;
            return Ok(Self {
                connection,
                _copy: None,
            });
        }
        let copied = Copied::of(directory)?;
        tracing::warn!(
            from = %directory.display(),
            to = %copied.0.display(),
            "nothing can be written to the inbox's directory and it has a write-ahead log: it is \
             copied to be read, and the copy removed in the end"
        );
        // The WAL moves into the copy.
        drop(schema::open(&copied.0.join(FILE), Role::Writer)?);
        let connection = schema::open(&copied.0.join(FILE), Role::Reader)?;
        Ok(Self {
            connection,
            _copy: Some(copied),
        })
    }
}

/// Whether a file, and so what SQLite has beside it, can be written. Nothing is.
fn is_writable(path: &Path) -> bool {
    File::options().append(true).open(path).is_ok()
}

/// A directory of its owner's alone, with a copy of the files.
struct Copied(PathBuf);

impl Copied {
    fn of(directory: &Path) -> Result<Self, StoreError> {
        let name = format!("voipbin-inbox-{:016x}", fastrand::u64(..));
        let copied = Self(std::env::temp_dir().join(name));
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&copied.0)?;
        for file in [FILE, LOG] {
            fs::copy(directory.join(file), copied.0.join(file))?;
        }
        Ok(copied)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "a copy of the inbox is left behind");
        }
    }
}

#[cfg(test)]
mod tests;
