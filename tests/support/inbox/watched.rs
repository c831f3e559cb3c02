use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use voipbin_receiver::inbox::{
    Begun, Inbox, InboxError, InboxStats, Incoming, Parked, Promises, Receipt, Records, Settled,
    Taken,
};

/// An inbox that passes on what becomes of the jobs of another.
#[derive(Debug)]
pub struct Watched<I> {
    inner: I,
    settled: Mutex<Vec<(Taken, Settled)>>,
    parked: watch::Sender<usize>,
    unparked: AtomicU32,
}

impl<I: Inbox> Watched<I> {
    /// Watches this one.
    pub fn new(inner: I) -> Arc<Self> {
        Arc::new(Self {
            inner,
            settled: Mutex::default(),
            parked: watch::Sender::new(0),
            unparked: AtomicU32::new(0),
        })
    }

    /// What was settled since this was asked last.
    pub fn settled(&self) -> Vec<(Taken, Settled)> {
        std::mem::take(&mut self.settled.lock().unwrap())
    }

    /// Waits until this many jobs were parked.
    pub async fn parked(&self, jobs: usize) {
        let mut parked = self.parked.subscribe();
        parked.wait_for(|parked| *parked >= jobs).await.unwrap();
    }

    /// How many jobs were parked, and how many of them came back.
    pub fn parkings(&self) -> (usize, usize) {
        let unparked = self.unparked.load(Ordering::SeqCst);
        (*self.parked.borrow(), unparked as usize)
    }
}

#[async_trait]
impl<I: Inbox> Inbox for Watched<I> {
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

    fn begin(&self, job: &Taken) -> Begun {
        self.inner.begin(job)
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        let settled = (job.clone(), outcome.clone());
        self.settled.lock().unwrap().push(settled);
        self.inner.settle(job, outcome);
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        let parked = self.inner.park(job)?;
        self.parked.send_modify(|parked| *parked += 1);
        Some(parked)
    }

    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        let taken = self.inner.unpark(parked).await?;
        self.unparked.fetch_add(1, Ordering::SeqCst);
        Some(taken)
    }

    fn put_back(&self, parked: &Parked) {
        self.inner.put_back(parked);
    }

    fn close(&self) {
        self.inner.close();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        self.inner.flush().await
    }

    fn promises(&self) -> Promises {
        self.inner.promises()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }

    fn records(&self) -> Option<&dyn Records> {
        self.inner.records()
    }
}
