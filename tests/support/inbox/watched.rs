use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use voipbin_receiver::inbox::{
    Consumer, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError, Kept, Prefetch,
    Records, Reply, Settled,
};

/// An inbox that passes on what becomes of the jobs of another.
#[derive(Debug)]
pub struct Watched<I> {
    inner: I,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    settled: Vec<(Job, Settled)>,
    taken: usize,
}

impl<I: Inbox> Watched<I> {
    /// Watches this one.
    pub fn new(inner: I) -> Arc<Self> {
        Arc::new(Self {
            inner,
            seen: Arc::default(),
        })
    }

    /// What was settled since this was asked last.
    pub fn settled(&self) -> Vec<(Job, Settled)> {
        std::mem::take(&mut self.seen.lock().unwrap().settled)
    }

    /// How many jobs were taken so far.
    pub fn taken(&self) -> usize {
        self.seen.lock().unwrap().taken
    }
}

impl<I: Inbox> Inbox for Watched<I> {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        self.inner.keep(incoming)
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        Ok(Box::new(Watching {
            inner: self.inner.consume()?,
            seen: Arc::clone(&self.seen),
        }))
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }

    fn records(&self) -> Option<&dyn Records> {
        self.inner.records()
    }
}

struct Watching {
    inner: Box<dyn Consumer>,
    seen: Arc<Mutex<Seen>>,
}

#[async_trait]
impl Consumer for Watching {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        let jobs = self.inner.take(room).await?;
        self.seen.lock().unwrap().taken += jobs.len();
        Some(jobs)
    }

    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        self.inner.begin(job)
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let settled = (job.clone(), outcome.clone());
        self.seen.lock().unwrap().settled.push(settled);
        self.inner.settle(job, outcome);
    }

    fn drain(&self) {
        self.inner.drain();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        self.inner.flush().await
    }
}
