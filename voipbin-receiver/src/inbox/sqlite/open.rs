//! Opening an inbox, on the thread that writes it from then on.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tracing::dispatcher;

use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::files::InboxFiles;
use super::lock::DirLock;
use super::read::{Readability, can_be_read};
use super::reader::Reader;
use super::schema::{self, Access};
use super::settings::Settings;
use super::shared::Shared;
use super::time::InboxTime;
use super::writer::Writer;
use super::{DiskInbox, Handle, LOCK_FILE, directory, load, records, requests};

/// Opens the inbox on the thread of its writer, so that no thread of a runtime is blocked.
pub(super) async fn open(settings: Settings) -> Result<DiskInbox> {
    let directory = settings.directory.clone();
    let failed = |error: io::Error| DiskInboxError::from(error).at(&directory);
    let (sender, opened) = oneshot::channel();
    // What opening logs is the caller's.
    let logs = dispatcher::get_default(Clone::clone);
    let run = move || {
        let threads = dispatcher::with_default(&logs, || Threads::open(settings));
        drop(logs);
        match threads {
            Ok((inbox, threads)) => {
                // Where nobody waits any more, the handle is dropped here and the threads end.
                let _ = sender.send(Ok(inbox));
                threads.run();
            }
            Err(error) => drop(sender.send(Err(error))),
        }
    };
    let thread = thread::Builder::new().name("voipbin-inbox".into());
    thread.spawn(run).map_err(failed)?;
    let panicked = || failed(io::Error::other("the thread that opens it panicked"));
    opened.await.unwrap_or_else(|_| Err(panicked()))
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
    fn open(settings: Settings) -> Result<(DiskInbox, Self)> {
        let path = settings.directory.clone();
        Self::of(settings).map_err(|error| error.at(&path))
    }

    fn of(settings: Settings) -> Result<(DiskInbox, Self)> {
        let path = settings.directory.clone();
        directory::create(&path)?;
        let (lock, open) = DirLock::acquire(&path, LOCK_FILE)?;
        warn_if_old(rusqlite::version_number());
        let (shared, writer) = match load(&settings).map_err(|error| unmasked(&path, error)) {
            Err(error) if settings.recreate && has_nothing_to_open(&error) => {
                begin_anew(&path, &error)?;
                load(&settings)?
            }
            loaded => loaded?,
        };
        let (reader, reads) = Reader::start(path.join(schema::FILE))?;
        let mut requests = None;
        let handle = Arc::new_cyclic(|handle| {
            let server = requests::serve(&path, records::execute_in(handle.clone()));
            // Without it the inbox serves all the same.
            let server = server.inspect_err(|error| {
                tracing::warn!(%error, "tools cannot ask this process: they need it stopped");
            });
            let (server, thread) = server.ok().unzip();
            requests = thread;
            Handle {
                shared: Arc::clone(&shared),
                reader,
                _requests: server,
                _open: open,
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
fn load(settings: &Settings) -> Result<(Arc<Shared>, Writer)> {
    let directory = &settings.directory;
    directory::prepare(directory)?;
    let path = directory.join(schema::FILE);
    let file = File::open(&path)?;
    let connection = schema::open(&path, Access::Write)?;
    directory::mark(directory)?;
    let saved = load::saved(&connection)?;
    let time = InboxTime::new(Arc::clone(&settings.clock), saved);
    let down_since = load::down_since(&connection, settings, saved)?;
    let readable = Readability::of(file);
    let (shared, received) = Shared::new(settings.clone(), readable, time, down_since);
    let shared = Arc::new(shared);
    let next_seq = load::load(&shared, &connection)?;
    let files = InboxFiles::of(path)?;
    let mut writer = Writer::new(Arc::clone(&shared), received, files, connection, next_seq);
    writer.write_received();
    Ok((shared, writer))
}

fn has_nothing_to_open(error: &DiskInboxError) -> bool {
    error.is_damaged() || error.kind() == DiskInboxErrorKind::Missing
}

fn begin_anew(directory: &Path, error: &DiskInboxError) -> Result<()> {
    let aside = directory::set_aside(directory)?;
    tracing::error!(
        %error,
        aside = %aside.display(),
        "the inbox begins anew: what is left of the one before is set aside, to be salvaged"
    );
    Ok(())
}

/// SQLite tells a page that the disk does not give as a damaged one.
fn unmasked(directory: &Path, error: DiskInboxError) -> DiskInboxError {
    let is_readable =
        || File::open(directory.join(schema::FILE)).is_ok_and(|file| can_be_read(&file));
    match error.is_of_page() && !is_readable() {
        true => DiskInboxError::new(DiskInboxErrorKind::Io),
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
