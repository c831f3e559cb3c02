use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::{BackendError, StorageBackend};

/// Opens a file, or creates it for its owner alone. The mode of one that is there stays as it is.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    options.create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = match options.open(path) {
        // Another process was faster. Which of the two gets it is decided by its lock.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return OpenOptions::new().read(true).write(true).open(path);
        }
        created => created?,
    };
    sync_folder_of(path)?;
    Ok(file)
}

/// After a power cut, a file is there only if its folder was written too.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// A backend whose length is known without asking it, and that is empty when its creation was cut
/// off.
#[derive(Debug)]
pub(super) struct Measured<B> {
    inner: B,
    len: Arc<AtomicU64>,
    asked: AtomicBool,
}

impl<B: StorageBackend> Measured<B> {
    /// The backend, and where its length is kept.
    pub(super) fn new(inner: B) -> (Self, Arc<AtomicU64>) {
        let len = Arc::<AtomicU64>::default();
        let backend = Self {
            inner,
            len: Arc::clone(&len),
            asked: AtomicBool::new(false),
        };
        (backend, len)
    }

    /// redb writes its magic number last when it creates a file, and refuses a file without one.
    /// Until then the file has a header and is zero beyond it, so there is nothing to lose.
    fn is_unfinished(&self, len: u64) -> io::Result<bool> {
        const MAGIC: usize = 9;
        const HEADER: u64 = 4096;
        const BLOCK: usize = 1 << 16;

        let mut block = vec![0; BLOCK];
        let mut is_zero = |from: u64, len: u64| {
            let len = usize::try_from(len).unwrap_or(BLOCK).min(BLOCK);
            let Some(block) = block.get_mut(..len) else {
                return Ok(false);
            };
            self.inner.read(from, block)?;
            Ok::<_, io::Error>(block.iter().all(|byte| *byte == 0))
        };
        if !is_zero(0, len.min(MAGIC as u64))? {
            return Ok(false);
        }
        for from in (HEADER..len).step_by(BLOCK) {
            if !is_zero(from, len - from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<B: StorageBackend> StorageBackend for Measured<B> {
    /// redb asks first when it holds its lock, so that no other process is creating the file now.
    fn len(&self) -> io::Result<u64> {
        let mut len = self.inner.len()?;
        if !self.asked.swap(true, Ordering::Relaxed) && len > 0 && self.is_unfinished(len)? {
            self.inner.set_len(0)?;
            len = 0;
        }
        self.len.store(len, Ordering::Relaxed);
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)?;
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.inner.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.inner.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.inner.query_lock_range(start, end)
    }
}
