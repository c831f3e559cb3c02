//! An inbox on disk: what its rows look like, the file that they are kept in, the thread that writes
//! it, and what is known of it in memory.
//!
//! ```text
//! keep  -> shared: is it a copy? -> writer: gathers, commits, answers -> ready
//! take  <- ready: from memory, or read back through store
//! begin, settle -> shared -> writer: index -> progress rows
//! ```
//!
//! The file is one of redb's: written in Rust, one file, transactions, a stable format, no threads of
//! its own, and a storage below it that tests can break. Events lie in rows of up to 60 KB in the order
//! in which they came, identities are looked up in memory, and one commit serves all that wait. Rows of
//! one event each were tried first: they reached 0.15 of a plain file with the same group commit, these
//! 0.43 (256 senders of 1.5 KB events; `cargo bench -p voipbin-receiver-tests --bench inbox` measures
//! what it is now).

mod convert;
mod error;
#[cfg(test)]
mod faults;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod index;
mod load;
mod lock;
#[cfg(all(test, shuttle))]
mod model;
mod place;
mod read;
mod reader;
mod ready;
mod record;
mod records;
mod rescue;
mod salvage;
mod settings;
mod shared;
mod store;
mod store_error;
mod taking;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::DirBuilder;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::error::{DiskInboxError, DiskInboxErrorKind};
use self::load::load;
use self::lock::{DirLock, User};
use self::place::{FilePlace, Place};
use self::reader::Reader;
pub use self::rescue::SalvageReport;
pub use self::settings::DiskInboxBuilder;
use self::settings::Settings;
use self::shared::{Command, Shared};
use self::store_error::{StoreError, StoreErrorKind};
use self::writer::Writer;
use super::Inbox;

/// The files in the directory.
const EVENTS_FILE: &str = "events.redb";
const LOCK_FILE: &str = "inbox.lock";

/// After so many processes in a row that died in their first write, every page of the file is checked: damage may be
/// what ends the process.
const DOUBTFUL_STARTS: u32 = 2;

/// Memory of the engine for pages of the file.
const CACHE_BYTES: usize = 16 << 20;

/// An inbox in a directory on disk: a 200 means that the event survives `kill -9` and a power cut.
///
/// An event and its identity are written and synced together before the answer; all that wait share
/// one sync. What is unfinished when the process ends, however it ends, is taken up by the next one
/// that opens the directory. One process at a time can.
///
/// The beginning of a run is on disk before the handler is called, its end shortly after, together
/// with others or with the next beginning. So when a process is killed, what is handled again are the
/// runs that had begun and whose end was not written: never more than there are handlers at once,
/// [`ReceiverBuilder::concurrency`](crate::ReceiverBuilder::concurrency). Each of them has a higher
/// number of the attempt then, and they begin one after another: the next one when one has ended or gone on for
/// a moment, half a minute after a second death, so that what kills the process takes no other along.
///
/// It is cheap to clone; keep a clone to look into it while a receiver uses it.
/// Two threads of its own write and read the file, so that it goes on whatever blocks the runtime's.
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::inbox::DiskInbox;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::Event;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().join("inbox");
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .inbox(DiskInbox::open(directory)?)
///     .on(CallHangup, |call: Event<Call>| async move { drop(call) })
///     .build()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DiskInbox(Arc<Handle>);

/// The writer ends with the last of these.
struct Handle {
    shared: Arc<Shared>,
    reader: Reader,
    _user: Option<User>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl DiskInbox {
    /// The default of [`DiskInboxBuilder::max_events`].
    pub const DEFAULT_MAX_EVENTS: usize = 4_000_000;
    /// The default of [`DiskInboxBuilder::max_bytes`]: 8 GiB.
    pub const DEFAULT_MAX_BYTES: u64 = 8 << 30;
    /// The default of [`DiskInboxBuilder::memory`]: 32 MiB.
    pub const DEFAULT_MEMORY: usize = 32 << 20;
    /// The default of [`DiskInboxBuilder::max_identities`].
    pub const DEFAULT_MAX_IDENTITIES: usize = 1_000_000;
    /// The default of [`DiskInboxBuilder::identity_ttl`]: one hour.
    pub const DEFAULT_IDENTITY_TTL: Duration = Duration::from_secs(3600);
    /// The default of [`DiskInboxBuilder::retain_done`]: 24 hours.
    pub const DEFAULT_RETAIN_DONE: Duration = Duration::from_secs(24 * 3600);
    /// The default of [`DiskInboxBuilder::retain_dead`]: 30 days.
    pub const DEFAULT_RETAIN_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Opens the inbox in a directory with the default settings; see [`DiskInboxBuilder::open`].
    ///
    /// # Errors
    ///
    /// When the directory cannot be used, is in use, or holds a file that cannot be read.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, DiskInboxError> {
        Self::builder(directory).open()
    }

    /// The settings of an inbox in this directory, to change them.
    pub fn builder(directory: impl Into<PathBuf>) -> DiskInboxBuilder {
        DiskInboxBuilder::new(directory.into())
    }

    /// Waits until the file is closed and the directory may be opened again: everything is written, and
    /// this was the last handle. A receiver holds one until it and its services are dropped.
    ///
    /// Not needed before a process ends.
    ///
    /// # Cancel safety
    ///
    /// The handle is gone when the future is dropped, and the file is closed without being waited
    /// for.
    pub async fn closed(self) {
        let mut closed = self.shared().closed.subscribe();
        drop(self);
        // It is told before the sender goes.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    fn with(settings: Settings) -> Result<Self, DiskInboxError> {
        let directory = settings.directory.clone();
        create(&directory)?;
        let lock = DirLock::acquire(&directory, LOCK_FILE)
            .map_err(|error| DiskInboxError::locked(&directory, error))?;
        warn_if_others_may(&directory);
        let path = directory.join(EVENTS_FILE);
        warn_if_empty(&path);
        let checked = lock.unclean_starts() >= DOUBTFUL_STARTS;
        if checked {
            tracing::warn!(
                "several processes in a row died while they wrote to the inbox: checking its file"
            );
        }
        Self::on(settings, FilePlace::new(path), checked, Some(lock))
            .map_err(|error| DiskInboxError::store(&directory, error))
    }

    /// An inbox on whatever this opens; with a check of all of it where that is asked for.
    fn on(
        settings: Settings,
        place: impl Place,
        check: bool,
        lock: Option<DirLock>,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(settings, place.open(check)?));
        let damaged = load(&shared)?;
        if damaged && !check {
            // Where rows are damaged the tables may be: nothing is written before that is known.
            let mut store = shared.store.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(store) = store.take() {
                store.abandon();
            }
            *store = Some(place.open(true)?);
        }
        let reader =
            Reader::start().map_err(|error| StoreError::caused(StoreErrorKind::Io, error))?;
        let user = lock.as_ref().map(DirLock::user);
        let writer = Writer::new(Arc::clone(&shared), Box::new(place), lock);
        let held = Arc::clone(&shared);
        let run = move || {
            let lock = writer.run();
            let mut store = held.store.write().unwrap_or_else(PoisonError::into_inner);
            *store = None;
            drop(lock);
            held.closed.send_replace(true);
        };
        thread::Builder::new()
            .name("voipbin-inbox".into())
            .spawn(run)
            .map_err(|error| StoreError::caused(StoreErrorKind::Io, error))?;
        Ok(Self(Arc::new(Handle {
            shared,
            reader,
            _user: user,
        })))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Reads on the thread for it.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let shared = Arc::clone(self.shared());
        self.0.reader.read(move || read(&shared))
    }

    /// Waits until all that came before is stored. False when that failed.
    async fn stored(&self) -> bool {
        let (told, done) = oneshot::channel();
        self.shared().command(Command::Flush(told));
        done.await.is_ok()
    }
}

fn create(directory: &Path) -> Result<(), DiskInboxError> {
    let none = || DiskInboxError::new(directory, DiskInboxErrorKind::NotADirectory);
    if directory.as_os_str().is_empty() {
        return Err(none());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let created = builder.create(directory);
    created.map_err(|error| match directory.ancestors().any(Path::is_file) {
        true => none(),
        false => DiskInboxError::io(directory, error),
    })
}

/// A process that dies as it makes the file leaves it empty. So does whatever cuts one off with events in it.
fn warn_if_empty(file: &Path) {
    if std::fs::metadata(file).is_ok_and(|metadata| metadata.len() == 0) {
        tracing::warn!(
            path = %file.display(),
            "the file of the inbox is there and empty: it begins anew, and events that were in it are lost"
        );
    }
}

/// Bodies are personal data. A directory that somebody made may be for others too, so its mode is left
/// as it is; the file in it is for its owner alone.
fn warn_if_others_may(directory: &Path) {
    #[cfg(unix)]
    for path in [directory.to_owned(), directory.join(EVENTS_FILE)] {
        let mode = std::fs::metadata(&path)
            .map(|metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()));
        if let Ok(mode) = mode
            && mode & 0o077 != 0
        {
            tracing::warn!(
                path = %path.display(),
                mode = format_args!("{:o}", mode & 0o777),
                "others than the owner may use this part of the inbox, which holds personal data: \
                 take the permission away with `chmod go=`"
            );
        }
    }
    #[cfg(not(unix))]
    let _ = directory;
}

impl fmt::Debug for DiskInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskInbox")
            .field("directory", &self.shared().settings.directory)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
