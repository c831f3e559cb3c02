use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

/// One process at a time uses a directory: this lock goes with the process, however it ends.
///
/// The file tells who has it, and how many processes in a row died in their first write to the inbox.
#[derive(Debug)]
pub(super) struct DirLock {
    file: File,
    unclean_starts: u32,
    tried: bool,
    proven: bool,
}

/// Why a directory cannot be locked.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process has it, or another inbox of this one.
    Held(Option<u32>),
    Io(io::Error),
}

impl DirLock {
    pub(super) fn acquire(path: &Path) -> Result<Self, LockError> {
        /// An inbox of this process that was just dropped takes a moment to let go.
        const PATIENCE: Duration = Duration::from_secs(5);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(LockError::Io)?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
                Err(TryLockError::WouldBlock) => {
                    let (holder, _) = read(&mut file);
                    if holder != Some(process::id()) || since.elapsed() > PATIENCE {
                        return Err(LockError::Held(holder));
                    }
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
        let (_, starts) = read(&mut file);
        let mut lock = Self {
            file,
            unclean_starts: starts.unwrap_or(0),
            tried: false,
            proven: false,
        };
        lock.write(lock.unclean_starts);
        Ok(lock)
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

/// The process that has it, and the number of starts.
fn read(file: &mut File) -> (Option<u32>, Option<u32>) {
    let mut text = String::new();
    if file.rewind().is_err() || file.read_to_string(&mut text).is_err() {
        return (None, None);
    }
    let mut words = text.split_whitespace().map(|word| word.parse().ok());
    (words.next().flatten(), words.next().flatten())
}
