use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The directories that this process has, each with whether somebody still uses it: without a handle
/// it is being closed. The number of a process does not tell, as there is a process 1 in every
/// container.
static HERE: Mutex<BTreeMap<PathBuf, Uses>> = Mutex::new(BTreeMap::new());

/// How many locks there were.
static LOCKS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Uses {
    /// Tells this lock from a later one of the same directory.
    number: u64,
    ending: bool,
}

fn here() -> MutexGuard<'static, BTreeMap<PathBuf, Uses>> {
    HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever uses the directory of a lock. Dropping it tells that it is about to be closed.
#[derive(Debug)]
pub(super) struct User {
    directory: PathBuf,
    number: u64,
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(uses) = here().get_mut(&self.directory)
            && uses.number == self.number
        {
            uses.ending = true;
        }
    }
}

/// One process at a time uses a directory: this lock goes with the process, however it ends.
///
/// The file tells who has it, and how many processes in a row died in their first write to the inbox.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
    directory: PathBuf,
    number: u64,
    unclean_starts: u32,
    tried: bool,
    proven: bool,
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
    /// Locks a directory by this file in it.
    pub(super) fn acquire(directory: &Path, name: &str) -> Result<Self, LockError> {
        /// An inbox of this process that was just dropped takes a moment to let go.
        const PATIENCE: Duration = Duration::from_secs(5);
        let directory = fs::canonicalize(directory).map_err(LockError::Io)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(directory.join(name)).map_err(LockError::Io)?;
        let since = Instant::now();
        let number = loop {
            // Under the lock of the list, so that what it tells is of this moment.
            let mut here = here();
            match (file.try_lock(), here.get(&directory)) {
                (Ok(()), _) => {
                    let number = LOCKS.fetch_add(1, Ordering::Relaxed);
                    let ending = false;
                    here.insert(directory.clone(), Uses { number, ending });
                    break number;
                }
                (Err(TryLockError::Error(error)), _) => return Err(LockError::Io(error)),
                (Err(TryLockError::WouldBlock), None) => {
                    return Err(LockError::Held(read(&mut file).0));
                }
                (Err(TryLockError::WouldBlock), Some(uses)) => {
                    if !uses.ending || since.elapsed() > PATIENCE {
                        return Err(LockError::Here);
                    }
                }
            }
            drop(here);
            thread::sleep(Duration::from_millis(10));
        };
        let (_, starts) = read(&mut file);
        let mut lock = Self {
            file,
            directory,
            number,
            unclean_starts: starts.unwrap_or(0),
            tried: false,
            proven: false,
        };
        lock.write(lock.unclean_starts);
        Ok(lock)
    }

    /// Whoever uses the directory.
    pub(super) fn user(&self) -> User {
        User {
            directory: self.directory.clone(),
            number: self.number,
        }
    }

    /// How many processes in a row died in their first write.
    pub(super) fn unclean_starts(&self) -> u32 {
        self.unclean_starts
    }

    /// The inbox is about to be written.
    pub(super) fn attempt(&mut self) {
        if !self.tried {
            self.tried = true;
            self.write(self.unclean_starts.saturating_add(1));
        }
    }

    /// The inbox was written, or is closed.
    pub(super) fn prove(&mut self) {
        if !self.proven {
            self.proven = true;
            self.write(0);
        }
    }

    /// It only helps: a full disk must not keep the inbox closed.
    fn write(&mut self, starts: u32) {
        let text = format!("{} {starts}\n", process::id());
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, "the inbox's lock file cannot be written");
        }
    }
}

impl Drop for DirLock {
    fn drop(&mut self) {
        let mut here = here();
        // Whoever finds it locked from here on finds another process.
        let _ = self.file.unlock();
        here.remove(&self.directory);
    }
}

/// The process that has it, and the number of starts.
fn read(file: &mut File) -> (Option<u32>, Option<u32>) {
    let mut text = String::new();
    if file.rewind().is_err() || file.read_to_string(&mut text).is_err() {
        return (None, None);
    }
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    (words.next().flatten(), words.next().flatten())
}
