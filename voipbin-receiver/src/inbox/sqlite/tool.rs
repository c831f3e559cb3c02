//! An inbox on disk as a tool sees it.

use std::collections::BTreeSet;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::copy::{CopyReport, copy};
use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::lock::holder_of;
use super::names::Names;
use super::records::Store;
use super::requests::{self, Request, RequestError, Response};
use super::schema::FILE;
use super::snapshot::Snapshot;
use super::view::{Page, Query, View};
use super::{DiskInbox, directory, time};
use crate::catalog::EventType;
use crate::event::HandlerName;
use crate::inbox::RecordsError;

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
        check(&directory)?;
        let orphaned = holder_of(&directory).is_none();
        let snapshot = Snapshot::open(&directory).map_err(|error| error.at(&directory))?;
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
        check(directory)?;
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
        let within = file.parent().filter(|path| !path.as_os_str().is_empty());
        let refuse = |kind, path: &Path| Err(DiskInboxError::new(kind).at(path));
        if file.exists() {
            return refuse(DiskInboxErrorKind::AlreadyExists, &file);
        }
        if let Some(within) = within.filter(|path| !path.is_dir()) {
            return refuse(DiskInboxErrorKind::NotADirectory, within);
        }
        let copied = self.read(move |connection| copy(connection, &file)).await;
        copied.map_err(|error| error.at(&self.directory))
    }

    /// The handlers that events were kept for so far.
    ///
    /// # Errors
    ///
    /// When the inbox cannot be read.
    pub async fn handlers(&self) -> Result<BTreeSet<HandlerName>, RecordsError> {
        let read = self.read(|connection| Ok(Names::load(connection)?.handlers()));
        Ok(read.await?)
    }

    /// The types of the events that are there, also those that are not in the catalogue.
    ///
    /// # Errors
    ///
    /// When the inbox cannot be read.
    pub async fn event_types(&self) -> Result<Vec<EventType>, RecordsError> {
        const TYPES: &str =
            "SELECT text FROM name WHERE id IN (SELECT DISTINCT type FROM event) ORDER BY text";
        let read = self.read(|connection| {
            let mut select = connection.prepare(TYPES)?;
            let names = select.query_map([], |row| row.get::<_, String>(0))?;
            let types = names.map(|name| Ok(EventType::parse(&name?)));
            types.collect()
        });
        Ok(read.await?)
    }

    /// Lets the inbox go, where it was opened for a change, and waits until it is closed.
    pub async fn closed(self) {
        if let Some(inbox) = self.opened.into_inner() {
            inbox.closed().await;
        }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let snapshot = Arc::clone(&self.snapshot);
        let read = spawn_blocking(move || {
            let snapshot = snapshot.lock().unwrap_or_else(PoisonError::into_inner);
            read(&snapshot.connection)
        });
        let panicked = |error| Err(DiskInboxError::of(DiskInboxErrorKind::Io, error));
        read.await.unwrap_or_else(panicked)
    }

    /// The handlers that the process has none of.
    async fn held(&self) -> Arc<BTreeSet<HandlerName>> {
        let ask = async || match self.execute(Request::Held).await {
            Ok(Response::Held(names)) => names.iter().map(|name| HandlerName::new(name)).collect(),
            _ => BTreeSet::new(),
        };
        let held = self.held.get_or_init(async || match self.is_served() {
            true => Arc::new(ask().await),
            false => Arc::default(),
        });
        Arc::clone(held.await)
    }
}

impl Store for DiskRecords {
    async fn page(&self, query: Query) -> Result<Page, RecordsError> {
        let (held, orphaned) = (self.held().await, self.orphaned);
        let read = self.read(move |connection| {
            let view = View {
                wall: &time::unix,
                is_held: &|_, handler| held.contains(handler),
                orphaned,
            };
            view.page(connection, &query)
        });
        Ok(read.await?)
    }

    /// Has the process do this that has the inbox, or does it.
    async fn execute(&self, request: Request) -> Result<Response, RecordsError> {
        /// One that starts or ends has the directory for a moment and answers nobody.
        const PATIENCE: Duration = Duration::from_secs(3);
        const PAUSE: Duration = Duration::from_millis(50);
        let mut opened = self.opened.lock().await;
        let since = Instant::now();
        loop {
            if let Some(inbox) = &*opened {
                return inbox.execute(request).await;
            }
            let error = if holder_of(&self.directory).is_some() {
                let (directory, asked) = (self.directory.clone(), request.clone());
                let answered = spawn_blocking(move || requests::send(&directory, &asked)).await;
                match answered.map_err(RecordsError::storage)? {
                    Ok(Response::Failed(why)) => return Err(RecordsError::storage(why)),
                    Ok(response) => return Ok(response),
                    Err(RequestError::Ended) => {
                        return Err(RecordsError::storage(
                            "the process that has the inbox ended before it answered: look what is done, and try again",
                        ));
                    }
                    Err(RequestError::Table(error)) => RecordsError::storage(error),
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
fn check(directory: &Path) -> Result<()> {
    let not_found = || DiskInboxError::new(DiskInboxErrorKind::NotFound);
    let checked =
        directory::check(directory).and_then(|()| match std::fs::metadata(directory.join(FILE)) {
            Ok(file) if file.len() > 0 => Ok(()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(error.into()),
            _ => Err(not_found()),
        });
    checked.map_err(|error| error.at(directory))
}

/// Opens an inbox and removes nothing from it by its age or for want of room.
async fn open(directory: PathBuf) -> Result<DiskInbox> {
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

impl fmt::Debug for DiskRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskRecords")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
