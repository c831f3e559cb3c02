//! An inbox on disk: the file that it is kept in, the thread that writes it, and what is known of
//! it in memory.
//!
//! ```text
//! keep  -> shared: is it a copy? -> writer: all that waits, one commit, answers -> queue
//! take  <- queue: from memory, or read back by the reader
//! begin, settle -> queue -> writer: rows of jobs
//! ```
//!
//! The file is one of SQLite's, with a write-ahead log: one writer, any readers beside it, a format
//! that is documented and that every tool can read. Identities are looked up in memory, bodies lie
//! in a table of their own, and one commit serves all that wait.
//! `cargo bench -p voipbin-receiver-tests --bench inbox` sets it beside a plain file with the same
//! group commit.

mod adapter;
mod batch;
mod checksum;
mod clean;
mod copy;
mod directory;
mod error;
mod files;
#[cfg(feature = "postgres")]
mod leaving;
mod load;
mod lock;
mod names;
mod open;
mod queue;
mod read;
mod reader;
mod records;
mod requests;
mod row;
mod salvage;
mod schema;
#[cfg(test)]
mod seeded;
mod settings;
mod settle;
mod shared;
mod snapshot;
#[cfg(test)]
mod tests;
mod time;
mod tool;
mod view;
mod wal;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use self::batch::Batch;
pub use self::copy::{CopyReport, LostEvent};
use self::error::Result;
pub use self::error::{DiskInboxError, DiskInboxErrorKind};
#[cfg(feature = "postgres")]
pub(super) use self::leaving::{Leaving, LeavingEvent};
use self::lock::OpenGuard;
use self::reader::Reader;
use self::requests::RequestServer;
pub use self::settings::DiskInboxBuilder;
use self::shared::{Flush, OnCommit, Shared, Work};
pub use self::tool::{DiskRecords, Holder};
use super::Inbox;

const LOCK_FILE: &str = "inbox.lock";

/// An inbox in a directory on disk: a 200 means that the event survives `kill -9` and a power cut.
///
/// An event and its identity are written and synced together before the answer; all that wait share
/// one sync. What is unfinished when the process ends, however it ends, is taken up by the next one
/// that opens the directory. One process at a time can.
///
/// The beginning of a run is on disk before the handler is called, its end shortly after, together
/// with others or with the next beginning. So when a process is killed, what is handled again are
/// the runs that had begun and whose end was not written: never more than there are handlers at
/// once, [`ReceiverBuilder::concurrency`](crate::ReceiverBuilder::concurrency). Each of them has a
/// higher number of the attempt then, and they begin one after another: the next one when one has
/// ended or gone on for a second, so that what kills the process takes no other along.
///
/// It is cheap to clone; keep a clone to look into it while a receiver uses it. Threads of its own
/// write and read the file and answer tools, so that it goes on whatever blocks the runtime's.
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::inbox::DiskInbox;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::Event;
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().join("inbox");
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .inbox(DiskInbox::open(directory).await?)
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
    _requests: Option<RequestServer>,
    _open: OpenGuard,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.push(Work::Stop);
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
    /// The default of [`DiskInboxBuilder::max_dead`].
    pub const DEFAULT_MAX_DEAD: usize = 100_000;
    /// The default of [`DiskInboxBuilder::retain_dead`]: 30 days.
    pub const DEFAULT_RETAIN_DEAD: Duration = Duration::from_secs(30 * 24 * 3600);

    /// Opens the inbox in a directory with the default settings; see [`DiskInboxBuilder::open`].
    ///
    /// # Errors
    ///
    /// When the directory cannot be used, is in use, or holds a file that cannot be read.
    ///
    /// # Cancel safety
    ///
    /// As [`DiskInboxBuilder::open`].
    pub async fn open(directory: impl Into<PathBuf>) -> Result<Self, DiskInboxError> {
        Self::builder(directory).open().await
    }

    /// The settings of an inbox in this directory, to change them.
    pub fn builder(directory: impl Into<PathBuf>) -> DiskInboxBuilder {
        DiskInboxBuilder::new(directory.into())
    }

    /// Waits until the file is closed and the directory may be opened again: everything is written,
    /// and this was the last handle. A receiver holds one until it and its services are dropped.
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

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Reads on the thread for it.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0.reader.read(read).await
    }

    /// Writes within the next commit, which others wait for too: no more than some hundred rows.
    /// What fails is undone alone.
    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Batch<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, written) = oneshot::channel();
        let command = move |batch: &mut Batch<'_>| -> OnCommit {
            let result = batch.nested(write);
            Box::new(move |committed| {
                let failed = || Err(DiskInboxError::unanswered());
                let _ = sender.send(if committed { result } else { failed() });
            })
        };
        self.shared().push(Work::Command(Some(Box::new(command))));
        let answered = written.await;
        answered.unwrap_or_else(|_| Err(DiskInboxError::unanswered()))
    }

    /// Brings the write-ahead log into the file and empties it. False when somebody reads what is
    /// in it.
    async fn truncate(&self) -> Result<bool> {
        let truncated = self.flush_writes(true).await;
        truncated.ok_or_else(DiskInboxError::unanswered)
    }

    /// Waits until all that came before is stored. False when that failed.
    async fn stored(&self) -> bool {
        self.flush_writes(false).await.is_some()
    }

    async fn flush_writes(&self, truncate: bool) -> Option<bool> {
        let (done, flushed) = oneshot::channel();
        self.shared().push(Work::Flush(Flush { truncate, done }));
        flushed.await.ok()
    }
}

impl fmt::Debug for DiskInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskInbox")
            .field("directory", &self.shared().settings.directory)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
