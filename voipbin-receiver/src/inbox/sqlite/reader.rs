//! The one thread that reads what is asked for while the inbox is open: a runtime's own threads for
//! blocking work may all be taken by handlers, and events must come all the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::{io, thread};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::{DiskInboxError, Result};
use super::schema::{self, Access};

type Read = Box<dyn FnOnce(&mut Option<Connection>) + Send>;

/// Dropping it ends the thread.
pub(super) struct Reader(mpsc::Sender<Read>);

impl Reader {
    pub(super) fn start(path: PathBuf) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (reads, received) = mpsc::channel::<Read>();
        let run = move || {
            let mut connection = None;
            for read in received {
                if connection.is_none() {
                    connection = schema::open(&path, Access::Read).ok();
                }
                // Whoever waits for it is told by the end of its side.
                if catch_unwind(AssertUnwindSafe(|| read(&mut connection))).is_err() {
                    tracing::error!("a read of the inbox panicked");
                }
            }
        };
        let builder = thread::Builder::new().name("voipbin-inbox-read".into());
        let thread = builder.spawn(run)?;
        Ok((Self(reads), thread))
    }

    /// Reads in turn, the first asked for first, whether or not anybody waits for it. After a
    /// failure the file is opened anew.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, result) = oneshot::channel();
        let read = move |connection: &mut Option<Connection>| {
            let opened = connection.as_ref().ok_or_else(DiskInboxError::unanswered);
            let found = opened.and_then(read);
            if found.is_err() {
                *connection = None;
            }
            let _ = sender.send(found);
        };
        let _ = self.0.send(Box::new(read));
        let answered = result.await;
        answered.unwrap_or_else(|_| Err(DiskInboxError::unanswered()))
    }
}
