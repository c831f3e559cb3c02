use std::sync::Mutex;

use voipbin_receiver::inbox::{
    Consumer, Guarantees, Inbox, InboxError, InboxStats, Incoming, KeepError, KeepErrorKind, Kept,
    MemoryInbox, Reply,
};

/// A memory inbox that refuses a number of deliveries before it takes any.
#[derive(Debug)]
pub struct RefusingInbox {
    inner: MemoryInbox,
    left: Mutex<u32>,
}

impl RefusingInbox {
    /// An inbox that has no room this many times.
    pub fn new(times: u32) -> Self {
        Self {
            inner: MemoryInbox::new(),
            left: Mutex::new(times),
        }
    }
}

impl Inbox for RefusingInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        let mut left = self.left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Reply::ready(Err(KeepError::new(KeepErrorKind::Full)));
        }
        self.inner.keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        self.inner.consume()
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}
