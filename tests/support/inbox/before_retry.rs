use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use voipbin_receiver::inbox::{
    Consumer, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError, Kept,
    MemoryInbox, Prefetch, Reply, Settled,
};

/// A memory inbox that does something just before a failed job is settled.
pub struct BeforeRetry<F> {
    inner: MemoryInbox,
    before: Arc<F>,
}

impl<F: Fn()> BeforeRetry<F> {
    /// An inbox that does this.
    pub fn new(before: F) -> Self {
        Self {
            inner: MemoryInbox::new(),
            before: Arc::new(before),
        }
    }
}

impl<F> fmt::Debug for BeforeRetry<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BeforeRetry").field(&self.inner).finish()
    }
}

impl<F: Fn() + Send + Sync + 'static> Inbox for BeforeRetry<F> {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        self.inner.keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        Ok(Box::new(Consuming {
            inner: self.inner.consume()?,
            before: Arc::clone(&self.before),
        }))
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }
}

struct Consuming<F> {
    inner: Box<dyn Consumer>,
    before: Arc<F>,
}

#[async_trait]
impl<F: Fn() + Send + Sync + 'static> Consumer for Consuming<F> {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        self.inner.take(room).await
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        if matches!(outcome, Settled::Retry { .. }) {
            (self.before)();
        }
        self.inner.settle(job, outcome);
    }

    fn drain(&self) {
        self.inner.drain();
    }
}
