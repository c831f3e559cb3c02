//! One process at a time uses a directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::LOCK_FILE;
use super::error::{DiskInboxError, DiskInboxErrorKind, Result};

/// The directories that this process has, each with whether it is being closed.
static OPENED: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());
static CLOSED: Condvar = Condvar::new();

fn opened() -> MutexGuard<'static, BTreeMap<PathBuf, bool>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock of a directory: SQLite's own on an empty database. It belongs to a process and not to a
/// descriptor, so it goes with the process, whatever children it leaves.
#[derive(Debug)]
pub(super) struct DirLock {
    held: Option<Connection>,
    directory: PathBuf,
}

/// Says that the directory of a lock is in use. Dropping it tells that it is about to be closed.
#[derive(Debug)]
pub(super) struct OpenGuard(PathBuf);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        if let Some(closing) = opened().get_mut(&self.0) {
            *closing = true;
        }
    }
}

impl DirLock {
    /// Locks a directory by this file in it. Waits for an inbox of this process that was just
    /// dropped.
    pub(super) fn acquire(directory: &Path, name: &str) -> Result<(Self, OpenGuard)> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let directory = fs::canonicalize(directory)?;
        let since = Instant::now();
        let mut opened = opened();
        while let Some(closing) = opened.get(&directory) {
            let left = PATIENCE.saturating_sub(since.elapsed());
            if !closing || left.is_zero() {
                return Err(DiskInboxError::new(DiskInboxErrorKind::AlreadyOpen));
            }
            let waited = CLOSED.wait_timeout(opened, left);
            opened = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let path = directory.join(name);
        private(&path)?;
        let held = hold(&path).map_err(|error| match is_busy(&error) {
            true => DiskInboxError::new(DiskInboxErrorKind::Locked {
                holder: holder(&path).flatten(),
            }),
            false => DiskInboxError::of(DiskInboxErrorKind::Io, error),
        })?;
        opened.insert(directory.clone(), false);
        let guard = OpenGuard(directory.clone());
        let held = Some(held);
        Ok((Self { held, directory }, guard))
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        drop(self.held.take());
        opened().remove(&self.directory);
        CLOSED.notify_all();
    }
}

/// Makes the file, for its owner alone.
pub(super) fn private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // Not opened where it is there: to close it would drop this process's locks on it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

fn hold(path: &Path) -> rusqlite::Result<Connection> {
    let held = Connection::open(path)?;
    held.busy_timeout(Duration::ZERO)?;
    // Held as long as this transaction is, in which nothing is written.
    held.execute_batch("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")?;
    Ok(held)
}

/// Who has the lock of a directory, and which process that is, where it is known. Nothing is locked
/// for that, and so whoever looks is in nobody's way.
pub(super) fn holder_of(directory: &Path) -> Option<Option<u32>> {
    let opened = opened();
    if fs::canonicalize(directory).is_ok_and(|directory| opened.contains_key(&directory)) {
        return Some(Some(process::id()));
    }
    holder(&directory.join(LOCK_FILE))
}

/// The process that has it locked, as the system tells. Not to be asked where it is this one: to
/// close the file would drop its locks.
#[cfg(unix)]
fn holder(path: &Path) -> Option<Option<u32>> {
    use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};
    let file = File::open(path).ok()?;
    let held = fcntl_getlk(file, &Flock::from(FlockType::ReadLock)).ok()??;
    // In a container one of outside has no number.
    Some(
        held.pid
            .map(Pid::as_raw_nonzero)
            .map(|pid| pid.get().unsigned_abs()),
    )
}

#[cfg(not(unix))]
fn holder(path: &Path) -> Option<Option<u32>> {
    let held = hold(path).map(drop);
    held.is_err_and(|error| is_busy(&error)).then_some(None)
}

#[cfg(all(test, unix))]
mod tests;
