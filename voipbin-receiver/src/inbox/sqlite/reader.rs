//! The one thread that reads what is asked for while the inbox is open: a runtime's own threads for
//! blocking work may all be taken by handlers, and events must come all the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::{io, thread};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::schema::{self, Role};
use super::store_error::{StoreError, StoreErrorKind};

type Work = Box<dyn FnOnce(&mut Option<Connection>) + Send>;

/// Dropping it ends the thread.
pub(super) struct Reader(mpsc::Sender<Work>);

impl Reader {
    pub(super) fn start(path: PathBuf) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (work, given) = mpsc::channel::<Work>();
        let run = move || {
            let mut connection = None;
            for work in given {
                if connection.is_none() {
                    connection = schema::open(&path, Role::Reader).ok();
                }
                // Whoever waits for it is told by the end of its side.
                let read = AssertUnwindSafe(|| work(&mut connection));
                if catch_unwind(read).is_err() {
                    tracing::error!("a read of the inbox panicked");
                }
            }
        };
        let builder = thread::Builder::new().name("voipbin-inbox-read".into());
        let thread = builder.spawn(run)?;
        Ok((Self(work), thread))
    }

    /// Reads in turn, the first asked for first, whether or not anybody waits for it. The other
    /// side is gone when the read panicked. After a failure the file is opened anew.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StoreError>> {
        let (told, result) = oneshot::channel();
        let work = move |connection: &mut Option<Connection>| {
            let found = match connection {
                Some(connection) => read(connection),
                None => Err(StoreError::new(StoreErrorKind::Io)),
            };
            if found.is_err() {
                *connection = None;
            }
            let _ = told.send(found);
        };
        let _ = self.0.send(Box::new(work));
        result
    }
}
