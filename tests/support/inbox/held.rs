use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use voipbin_receiver::inbox::{
    Consumer, Guarantees, Inbox, InboxError, InboxStats, Incoming, KeepError, Kept, MemoryInbox,
    Reply, ReplySender,
};

/// A memory inbox that says what becomes of a delivery only when the test lets it, as one that
/// writes to a disk does.
#[derive(Clone)]
pub struct HeldInbox(Arc<HeldState>);

struct HeldState {
    inner: MemoryInbox,
    holding: Mutex<Option<Vec<HeldEvent>>>,
    came: mpsc::UnboundedSender<()>,
    seen: AsyncMutex<mpsc::UnboundedReceiver<()>>,
}

type HeldEvent = (Incoming, ReplySender<Kept, KeepError>);

impl HeldInbox {
    /// An inbox that holds everything.
    #[allow(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        let (came, seen) = mpsc::unbounded_channel();
        Self(Arc::new(HeldState {
            inner: MemoryInbox::new(),
            holding: Mutex::new(Some(Vec::new())),
            came,
            seen: AsyncMutex::new(seen),
        }))
    }

    /// Waits until one more delivery has been handed over.
    pub async fn handed_over(&self) {
        self.0.seen.lock().await.recv().await.unwrap();
    }

    /// Keeps or refuses what it holds, in the order in which it came, and whatever comes from now
    /// on at once.
    pub fn release(&self) {
        let held = self.0.holding.lock().unwrap().take().unwrap_or_default();
        for (incoming, sender) in held {
            sender.send(self.0.inner.keep(incoming).now_or_never().unwrap());
        }
    }

    /// Refuses what it holds as a broken store does, and takes what comes from now on.
    pub fn fail(&self) {
        let held = self.0.holding.lock().unwrap().take().unwrap_or_default();
        for (_, sender) in held {
            sender.send(Err(KeepError::storage("the disk is gone")));
        }
    }
}

impl fmt::Debug for HeldInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldInbox").field(&self.0.inner).finish()
    }
}

impl Inbox for HeldInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let reply = match &mut *self.0.holding.lock().unwrap() {
            Some(holding) => {
                let (sender, reply) = Reply::pending();
                holding.push((incoming, sender));
                reply
            }
            None => self.0.inner.keep(incoming),
        };
        self.0.came.send(()).unwrap();
        reply
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        self.0.inner.consume()
    }

    fn guarantees(&self) -> Guarantees {
        self.0.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.0.inner.stats()
    }
}
