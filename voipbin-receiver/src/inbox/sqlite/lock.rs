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

/// The directories that this process has, each with whether it is being closed.
static HERE: Mutex<BTreeMap<PathBuf, bool>> = Mutex::new(BTreeMap::new());
static LEFT: Condvar = Condvar::new();

fn here() -> MutexGuard<'static, BTreeMap<PathBuf, bool>> {
    HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock of a directory: SQLite's own on an empty database. It belongs to a process and not to a
/// descriptor, so it goes with the process, whatever children it leaves.
#[derive(Debug)]
pub(super) struct DirLock {
    held: Option<Connection>,
    directory: PathBuf,
}

/// Whoever uses the directory of a lock. Dropping it tells that it is about to be closed.
#[derive(Debug)]
pub(super) struct User(PathBuf);

impl Drop for User {
    fn drop(&mut self) {
        if let Some(ending) = here().get_mut(&self.0) {
            *ending = true;
        }
    }
}

/// Why a directory cannot be locked.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it.
    Held(Option<u32>),
    /// This process has it.
    Here,
    Io(io::Error),
}

impl DirLock {
    /// Locks a directory by this file in it. Waits for an inbox of this process that was just
    /// dropped.
    pub(super) fn acquire(directory: &Path, name: &str) -> Result<(Self, User), LockError> {
        const PATIENCE: Duration = Duration::from_secs(5);
        let directory = fs::canonicalize(directory).map_err(LockError::Io)?;
        let since = Instant::now();
        let mut here = here();
        while let Some(ending) = here.get(&directory) {
            let left = PATIENCE.saturating_sub(since.elapsed());
            if !ending || left.is_zero() {
                return Err(LockError::Here);
            }
            let waited = LEFT.wait_timeout(here, left);
            here = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let path = directory.join(name);
        private(&path).map_err(LockError::Io)?;
        let held = match hold(&path) {
            Ok(held) => held,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                return Err(LockError::Held(holder(&path).flatten()));
            }
            Err(error) => return Err(LockError::Io(io::Error::other(error))),
        };
        here.insert(directory.clone(), false);
        let user = User(directory.clone());
        let held = Some(held);
        Ok((Self { held, directory }, user))
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        drop(self.held.take());
        here().remove(&self.directory);
        LEFT.notify_all();
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
    let here = here();
    if fs::canonicalize(directory).is_ok_and(|directory| here.contains_key(&directory)) {
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
    let busy = |error: rusqlite::Error| error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
    held.is_err_and(busy).then_some(None)
}

#[cfg(all(test, unix))]
mod tests;
