//! An inbox on disk as a tool sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::copy::{CopyReport, copy};
use super::error::{DiskInboxError, DiskInboxErrorKind};
use super::lock::holder_of;
use super::records::{after, found, list, truncate};
use super::requests::{self, Answer, Ask, AskError, MOST, Refused};
use super::schema::FILE;
use super::snapshot::Snapshot;
use super::store_error::StoreError;
use super::view::{First, Page, View};
use super::{DiskInbox, directory, time};
use crate::event::HandlerName;
use crate::event::RecordId;
use crate::inbox::{Record, RecordFilter, RecordPage, Records, RecordsError};

/// An inbox on disk for a tool of a process of its own: it can be looked into and changed while
/// another process has it, and while none does.
///
/// Reading never waits for that process, nor holds it up. What is to be changed that process is
/// asked for, in a file of its directory; without one the inbox is opened for it, and no handler
/// runs. Nothing is removed for its age: how long events stay is the affair of the process that has
/// it.
///
/// Only whoever may write to the directory can use it, but for reading on a volume that nobody can
/// write to. Needs a runtime of tokio.
///
/// ```
/// use voipbin_receiver::inbox::{DiskInbox, DiskRecords, RecordFilter, RecordState, Records};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// # DiskInbox::open(directory).await?.closed().await;
/// let records = DiskRecords::open(directory)?;
/// let dead = RecordFilter::new().state(RecordState::Dead);
/// println!("{} events are handled again", records.replay_all(&dead, None).await?);
/// records.closed().await;
/// # Ok(()) }
/// ```
pub struct DiskRecords {
    directory: PathBuf,
    snapshot: Arc<Mutex<Snapshot>>,
    /// Where no process has it, since something was changed.
    opened: tokio::sync::Mutex<Option<DiskInbox>>,
    /// Whether no process had it at the beginning.
    orphaned: bool,
    /// What that process has no handlers for.
    held: OnceCell<Arc<BTreeSet<HandlerName>>>,
}

impl DiskRecords {
    /// Opens the inbox in this directory to look into it. Nothing in it is changed by that.
    ///
    /// # Errors
    ///
    /// When there is none, or it cannot be read.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, DiskInboxError> {
        let directory = directory.into();
        look(&directory)?;
        let orphaned = holder_of(&directory).is_none();
        let snapshot =
            Snapshot::open(&directory).map_err(|error| DiskInboxError::store(&directory, error))?;
        Ok(Self {
            snapshot: Arc::new(Mutex::new(snapshot)),
            opened: tokio::sync::Mutex::new(None),
            held: OnceCell::new(),
            orphaned,
            directory,
        })
    }

    /// Looks whether the inbox in this directory could be opened, and changes nothing there: the
    /// process that has it, where that is known, or `None` when none has it.
    ///
    /// # Errors
    ///
    /// [`DiskInboxErrorKind::NotFound`] when there is none, [`DiskInboxErrorKind::Missing`] when
    /// there was one, and what else its file tells by its header alone.
    pub fn check(directory: impl AsRef<Path>) -> Result<Option<Holder>, DiskInboxError> {
        let directory = directory.as_ref();
        look(directory)?;
        Ok(holder_of(directory).map(|pid| Holder { pid }))
    }

    /// Whether another process has it now: what is replayed is handled at once.
    #[must_use]
    pub fn is_served(&self) -> bool {
        let opened = self.opened.try_lock();
        opened.is_ok_and(|opened| opened.is_none()) && holder_of(&self.directory).is_some()
    }

    /// Copies the inbox into a new file, whether or not a process has it: all that was kept before,
    /// each event checked and as far as it had come when it was copied. To go on with it, it
    /// becomes `inbox.db` in an empty directory.
    ///
    /// # Errors
    ///
    /// When the file is there already or cannot be written, or the inbox cannot be read.
    pub async fn backup(&self, file: impl Into<PathBuf>) -> Result<CopyReport, DiskInboxError> {
        let file = file.into();
        if file.exists() {
            return Err(DiskInboxError::new(
                &file,
                DiskInboxErrorKind::AlreadyExists,
            ));
        }
        let within = file.parent().filter(|path| !path.as_os_str().is_empty());
        if let Some(within) = within.filter(|path| !path.is_dir()) {
            return Err(DiskInboxError::new(
                within,
                DiskInboxErrorKind::NotADirectory,
            ));
        }
        let copied = self.read(move |connection| copy(connection, &file)).await;
        copied.map_err(|error| DiskInboxError::store(&self.directory, error))
    }

    /// Lets the inbox go, where it was opened for a change, and waits until it is closed.
    pub async fn closed(self) {
        if let Some(inbox) = self.opened.into_inner() {
            inbox.closed().await;
        }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let snapshot = Arc::clone(&self.snapshot);
        let read = spawn_blocking(move || read(&locked(&snapshot).connection));
        read.await
            .unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    async fn page(
        &self,
        filter: &RecordFilter,
        from: i64,
        most: usize,
    ) -> Result<Page, RecordsError> {
        let held = self.held().await;
        let (filter, orphaned) = (filter.clone(), self.orphaned);
        let read = self.read(move |connection| {
            view(orphaned, &|_, handler| held.contains(handler)).page(
                connection,
                &filter,
                First::Earliest,
                from,
                most,
            )
        });
        Ok(read.await?)
    }

    /// The handlers that the process has none of.
    async fn held(&self) -> Arc<BTreeSet<HandlerName>> {
        let held = self.held.get_or_init(async || match self.is_served() {
            true => match self.ask(Ask::Held).await {
                Ok(Answer::Held(names)) => {
                    Arc::new(names.iter().map(|name| HandlerName::new(name)).collect())
                }
                _ => Arc::default(),
            },
            false => Arc::default(),
        });
        Arc::clone(held.await)
    }

    /// Has the process do this that has the inbox, or does it.
    async fn ask(&self, ask: Ask) -> Result<Answer, RecordsError> {
        /// One that starts or ends has the directory for a moment and answers nobody.
        const PATIENCE: Duration = Duration::from_secs(3);
        const PAUSE: Duration = Duration::from_millis(50);
        let mut opened = self.opened.lock().await;
        let since = Instant::now();
        loop {
            if let Some(inbox) = &*opened {
                return answered(inbox.carry_out(ask).await);
            }
            let error = if holder_of(&self.directory).is_some() {
                let (directory, asked) = (self.directory.clone(), ask.clone());
                let asked = spawn_blocking(move || requests::ask(&directory, &asked)).await;
                match asked.map_err(RecordsError::storage)? {
                    Ok(answer) => return answered(answer),
                    Err(AskError::Ended) => {
                        return Err(RecordsError::storage(
                            "the process that has the inbox ended before it answered: look what is done, and try again",
                        ));
                    }
                    Err(AskError::Table(error)) => RecordsError::storage(error),
                }
            } else {
                match open(self.directory.clone()).await {
                    Ok(inbox) => {
                        *opened = Some(inbox);
                        continue;
                    }
                    Err(error) => RecordsError::storage(error),
                }
            };
            if since.elapsed() > PATIENCE {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }
}

/// The process that has an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its number, where that is known.
    pub pid: Option<u32>,
}

/// What a header tells, and that there is one.
fn look(path: &Path) -> Result<(), DiskInboxError> {
    directory::look(path).map_err(|error| DiskInboxError::store(path, error))?;
    match std::fs::metadata(path.join(FILE)) {
        Ok(file) if file.len() > 0 => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(DiskInboxError::io(path, error))
        }
        _ => Err(DiskInboxError::new(path, DiskInboxErrorKind::NotFound)),
    }
}

/// Opens an inbox and removes nothing from it by its age or for want of room.
async fn open(directory: PathBuf) -> Result<DiskInbox, DiskInboxError> {
    DiskInbox::builder(directory)
        .max_events(usize::MAX)
        .max_bytes(u64::MAX)
        .max_dead(usize::MAX)
        .identity_ttl(Duration::MAX)
        .retain_done(Duration::MAX)
        .retain_dead(Duration::MAX)
        .open()
        .await
}

fn view<'a>(orphaned: bool, is_held: &'a dyn Fn(i64, &HandlerName) -> bool) -> View<'a> {
    View {
        wall: &time::unix,
        is_held,
        orphaned,
    }
}

fn answered(answer: Answer) -> Result<Answer, RecordsError> {
    match answer {
        Answer::Failed(why) => Err(RecordsError::storage(why)),
        answer => Ok(answer),
    }
}

fn locked(snapshot: &Mutex<Snapshot>) -> MutexGuard<'_, Snapshot> {
    snapshot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn misunderstood() -> RecordsError {
    RecordsError::storage(
        "the process that has the inbox answers something else: use the tools of its release",
    )
}

#[async_trait]
impl Records for DiskRecords {
    async fn list(
        &self,
        filter: &RecordFilter,
        from: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        list(most, after(from), |from, most| {
            self.page(filter, from, most)
        })
        .await
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
        let (held, orphaned) = (self.held().await, self.orphaned);
        let read = self.read(move |connection| {
            let is_held = |_, handler: &HandlerName| held.contains(handler);
            view(orphaned, &is_held).one(connection, id.get().cast_signed())
        });
        Ok(read.await?)
    }

    async fn replay(
        &self,
        id: RecordId,
        handlers: Option<&[HandlerName]>,
    ) -> Result<RecordId, RecordsError> {
        let mut replays = self.replay_many(&[id], handlers).await;
        replays
            .pop()
            .unwrap_or_else(|| Err(RecordsError::not_found()))
    }

    async fn replay_many(
        &self,
        ids: &[RecordId],
        handlers: Option<&[HandlerName]>,
    ) -> Vec<Result<RecordId, RecordsError>> {
        let mut replays = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOST) {
            let ask = Ask::Replay {
                ids: some.iter().map(|id| id.get()).collect(),
                handlers: handlers
                    .map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
            };
            let failed = match self.ask(ask).await {
                Ok(Answer::Replayed(replayed)) if replayed.len() == some.len() => {
                    replays.extend(replayed.into_iter().map(|replay| match replay {
                        Ok(id) => Ok(RecordId::new(id)),
                        Err(Refused::NotFound) => Err(RecordsError::not_found()),
                        Err(Refused::Replayed) => Err(RecordsError::replayed()),
                        Err(Refused::Storage) => Err(RecordsError::storage("the write failed")),
                    }));
                    continue;
                }
                Ok(_) => misunderstood(),
                Err(error) => error,
            };
            let why: Arc<str> = failed.to_string().into();
            let why = some
                .iter()
                .map(|_| Err(RecordsError::storage(why.to_string())));
            replays.extend(why);
        }
        replays
    }

    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError> {
        let mut all = 0;
        for some in ids.chunks(MOST) {
            let ids = some.iter().map(|id| id.get()).collect();
            match self.ask(Ask::Discard { ids }).await? {
                Answer::Discarded(discarded) => all += discarded,
                _ => return Err(misunderstood()),
            }
        }
        Ok(all)
    }

    async fn erase(&self, filter: &RecordFilter) -> Result<usize, RecordsError> {
        let mut erased = 0;
        let mut next = Some(1);
        while let Some(from) = next {
            let page = self.page(filter, from, MOST).await?;
            erased += self.discard(&found(&page)).await?;
            next = page.next;
        }
        let ask = || async {
            match self.ask(Ask::Truncate).await? {
                Answer::Truncated(truncated) => Ok(truncated),
                _ => Err(misunderstood()),
            }
        };
        truncate(ask).await?;
        Ok(erased)
    }
}

impl fmt::Debug for DiskRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskRecords")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
