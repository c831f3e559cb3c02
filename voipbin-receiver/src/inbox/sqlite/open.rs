//! Opening an inbox, on the thread that writes it from then on.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tracing::dispatcher;

use super::lock::DirLock;
use super::place::Place;
use super::read::{Readability, can_be_read};
use super::reader::Reader;
use super::schema::{self, Role};
use super::settings::Settings;
use super::shared::Shared;
use super::store_error::{StoreError, StoreErrorKind};
use super::time::InboxTime;
use super::writer::Writer;
use super::{DiskInbox, DiskInboxError, Handle, LOCK_FILE, directory, load, records, requests};

/// Opens the inbox on the thread of its writer, so that no thread of a runtime is blocked.
pub(super) async fn open(settings: Settings) -> Result<DiskInbox, DiskInboxError> {
    let directory = settings.directory.clone();
    let failed = |error| DiskInboxError::io(&directory, error);
    let (opened, inbox) = oneshot::channel();
    // What opening logs is the caller's.
    let logs = dispatcher::get_default(Clone::clone);
    let run = move || {
        let threads = dispatcher::with_default(&logs, || Threads::open(settings));
        drop(logs);
        match threads {
            Ok((inbox, threads)) => {
                // Where nobody waits any more, the handle is dropped here and the threads end.
                let _ = opened.send(Ok(inbox));
                threads.run();
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    };
    let thread = thread::Builder::new().name("voipbin-inbox".into());
    thread.spawn(run).map_err(failed)?;
    inbox.await.unwrap_or_else(|_| {
        Err(failed(io::Error::other(
            "the thread that opens it panicked",
        )))
    })
}

/// What ends with the last handle.
struct Threads {
    shared: Arc<Shared>,
    writer: Writer,
    reader: JoinHandle<()>,
    requests: Option<JoinHandle<()>>,
    lock: DirLock,
}

impl Threads {
    fn open(settings: Settings) -> Result<(DiskInbox, Self), DiskInboxError> {
        let path = settings.directory.clone();
        directory::create(&path)?;
        let (lock, user) = DirLock::acquire(&path, LOCK_FILE)
            .map_err(|error| DiskInboxError::locked(&path, error))?;
        warn_if_old(rusqlite::version_number());
        let opened = match load(&settings).map_err(|error| unmasked(&path, error)) {
            Err(error) if settings.recreate && has_nothing_to_open(&error) => {
                begin_anew(&path, &error).and_then(|()| load(&settings))
            }
            opened => opened,
        };
        let (shared, writer) = opened.map_err(|error| DiskInboxError::store(&path, error))?;
        let (reader, reads) = Reader::start(path.join(schema::FILE))
            .map_err(|error| DiskInboxError::io(&path, error))?;
        let mut requests = None;
        let handle = Arc::new_cyclic(|handle| {
            let served = requests::serve(&path, records::carry_out(handle.clone()));
            // Without them it serves all the same.
            let served = served.inspect_err(|error| {
                tracing::warn!(%error, "tools cannot ask this process: they need it stopped");
            });
            let (served, thread) = served.ok().unzip();
            requests = thread;
            Handle {
                shared: Arc::clone(&shared),
                reader,
                _served: served,
                _user: user,
            }
        });
        directory::warn(&path);
        let threads = Self {
            shared,
            writer,
            reader: reads,
            requests,
            lock,
        };
        Ok((DiskInbox(handle), threads))
    }

    /// Writes until the last handle is gone, and closes the file.
    fn run(self) {
        self.writer.run();
        let _ = self.reader.join();
        drop(self.requests.map(JoinHandle::join));
        drop(self.lock);
        self.shared.closed.send_replace(true);
    }
}

/// What the file holds, in memory, and whoever writes it.
fn load(settings: &Settings) -> Result<(Arc<Shared>, Writer), StoreError> {
    let directory = &settings.directory;
    directory::prepare(directory)?;
    let path = directory.join(schema::FILE);
    let file = File::open(&path)?;
    let connection = schema::open(&path, Role::Writer)?;
    directory::mark(directory)?;
    let time = InboxTime::new(Arc::clone(&settings.clock), load::saved(&connection)?);
    let shared = Arc::new(Shared::new(settings.clone(), Readability::of(file), time));
    let next_seq = load::load(&shared, &connection)?;
    let place = Place::of(path)?;
    let writer = Writer::new(Arc::clone(&shared), place, connection, next_seq);
    Ok((shared, writer))
}

fn has_nothing_to_open(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::Gone | StoreErrorKind::Damaged | StoreErrorKind::Foreign
    )
}

fn begin_anew(directory: &Path, error: &StoreError) -> Result<(), StoreError> {
    let aside = directory::set_aside(directory)?;
    tracing::error!(
        %error,
        aside = %aside.display(),
        "the inbox begins anew: what is left of the one before is set aside, to be salvaged"
    );
    Ok(())
}

/// SQLite tells a page that the disk does not give as a damaged one.
fn unmasked(directory: &Path, error: StoreError) -> StoreError {
    let is_readable =
        || File::open(directory.join(schema::FILE)).is_ok_and(|file| can_be_read(&file));
    match error.is_of_page() && !is_readable() {
        true => StoreError::new(StoreErrorKind::Io),
        false => error,
    }
}

/// An older SQLite can damage a file when one connection checkpoints while another commits. Here
/// only one does either, but whoever opens the file with another program may.
fn warn_if_old(version: i32) {
    let good = version >= 3_051_003
        || (3_050_007..3_051_000).contains(&version)
        || (3_044_006..3_045_000).contains(&version);
    if !good {
        tracing::warn!(
            sqlite = rusqlite::version(),
            "this SQLite can damage the inbox while another program writes to it: link 3.51.3 or a later one"
        );
    }
}
