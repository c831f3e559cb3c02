use std::fmt;

use async_trait::async_trait;
use voipbin_receiver::inbox::{
    Inbox, InboxError, InboxStats, Incoming, MemoryInbox, Promises, Receipt, Settled, Taken,
};

/// A memory inbox that does something just before it puts a failed job back.
pub struct BeforeRetry<F> {
    inner: MemoryInbox,
    before: F,
}

impl<F: Fn()> BeforeRetry<F> {
    /// An inbox that does this.
    pub fn new(before: F) -> Self {
        Self {
            inner: MemoryInbox::new(),
            before,
        }
    }
}

impl<F> fmt::Debug for BeforeRetry<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BeforeRetry").field(&self.inner).finish()
    }
}

#[async_trait]
impl<F: Fn() + Send + Sync + 'static> Inbox for BeforeRetry<F> {
    fn attach(&self) -> Result<(), InboxError> {
        self.inner.attach()
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        self.inner.keep(incoming)
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        self.inner.take(max).await
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        if matches!(outcome, Settled::Retry { .. }) {
            (self.before)();
        }
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
