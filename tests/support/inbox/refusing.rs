use std::sync::Mutex;

use async_trait::async_trait;
use voipbin_receiver::inbox::{
    Inbox, InboxError, InboxStats, Incoming, KeepError, KeepErrorKind, MemoryInbox, Promises,
    Receipt, Settled, Taken,
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

#[async_trait]
impl Inbox for RefusingInbox {
    fn attach(&self) -> Result<(), InboxError> {
        self.inner.attach()
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        let mut left = self.left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Receipt::ready(Err(KeepError::new(KeepErrorKind::Full)));
        }
        self.inner.keep(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        self.inner.take(max).await
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        self.inner.settle(job, outcome);
    }

    fn close(&self) {
        self.inner.close();
    }

    fn promises(&self) -> Promises {
        self.inner.promises()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}
