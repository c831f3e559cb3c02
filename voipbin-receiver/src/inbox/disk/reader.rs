//! The one thread that reads what is asked for while the inbox is open: a runtime's own threads for
//! blocking work may all be taken by handlers, and events must come all the same.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::sync::{mpsc, thread};

/// The name of the thread.
pub(super) const READER: &str = "voipbin-inbox-read";

type Work = Box<dyn FnOnce() + Send>;

/// Dropping it ends the thread.
pub(super) struct Reader(mpsc::Sender<Work>);

impl Reader {
    pub(super) fn start() -> io::Result<Self> {
        let (work, given) = mpsc::channel::<Work>();
        let run = move || {
            for work in given {
                // Whoever waits for it is told by the end of its side.
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    tracing::error!("a read of the inbox panicked");
                }
            }
        };
        thread::Builder::new().name(READER.into()).spawn(run)?;
        Ok(Self(work))
    }

    /// Reads in turn, the first asked for first, whether or not anybody waits for it. The other side
    /// is gone when the read panicked.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (told, result) = oneshot::channel();
        let work = move || {
            let _ = told.send(read());
        };
        let _ = self.0.send(Box::new(work));
        result
    }
}
