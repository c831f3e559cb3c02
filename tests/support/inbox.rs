use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, watch};
use voipbin_receiver::inbox::{
    Begun, Durability, Inbox, InboxError, InboxStats, Incoming, KeepError, KeepErrorKind,
    MemoryInbox, Parked, Pending, Promises, Receipt, Records, Settled, Taken,
};

/// A memory inbox that says what becomes of a delivery only when the test lets it, as one that
/// writes to a disk does.
#[derive(Clone)]
pub struct HeldInbox(Arc<Held>);

struct Held {
    inner: MemoryInbox,
    holding: Mutex<Option<Vec<(Incoming, Pending)>>>,
    came: mpsc::UnboundedSender<()>,
    seen: AsyncMutex<mpsc::UnboundedReceiver<()>>,
}

impl HeldInbox {
    /// An inbox that holds everything.
    #[allow(clippy::new_without_default, reason = "nobody asks for one")]
    pub fn new() -> Self {
        let (came, seen) = mpsc::unbounded_channel();
        Self(Arc::new(Held {
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

    /// Keeps or refuses what it holds, in the order in which it came, and whatever comes from now on
    /// at once.
    pub fn release(&self) {
        let held = self.0.holding.lock().unwrap().take().unwrap_or_default();
        for (incoming, pending) in held {
            pending.settle(self.0.inner.keep(incoming).now_or_never().unwrap());
        }
    }

    /// Refuses what it holds as a broken store does, and takes what comes from now on.
    pub fn fail(&self) {
        let held = self.0.holding.lock().unwrap().take().unwrap_or_default();
        for (_, pending) in held {
            pending.settle(Err(KeepError::storage("the disk is gone")));
        }
    }
}

impl fmt::Debug for HeldInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldInbox").field(&self.0.inner).finish()
    }
}

#[async_trait]
impl Inbox for HeldInbox {
    fn attach(&self) -> Result<(), InboxError> {
        self.0.inner.attach()
    }

    fn detach(&self) {
        self.0.inner.detach();
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        let receipt = match &mut *self.0.holding.lock().unwrap() {
            Some(holding) => {
                let (pending, receipt) = Receipt::pending();
                holding.push((incoming, pending));
                receipt
            }
            None => self.0.inner.keep(incoming),
        };
        self.0.came.send(()).unwrap();
        receipt
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        self.0.inner.take(max).await
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        self.0.inner.settle(job, outcome);
    }

    fn close(&self) {
        self.0.inner.close();
    }

    fn promises(&self) -> Promises {
        self.0.inner.promises()
    }

    fn stats(&self) -> InboxStats {
        self.0.inner.stats()
    }
}

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

/// A durable inbox that hands out the jobs it was made with, and passes on what became of each.
#[derive(Clone)]
pub struct PreparedInbox(Arc<Prepared>);

struct Prepared {
    jobs: Mutex<VecDeque<Taken>>,
    came: Notify,
    closed: AtomicBool,
    refusals: AtomicU32,
    settled: mpsc::UnboundedSender<(Taken, Settled)>,
    seen: AsyncMutex<mpsc::UnboundedReceiver<(Taken, Settled)>>,
}

impl PreparedInbox {
    /// An inbox with these jobs, which refuses this many times to let one begin.
    pub fn new(jobs: impl IntoIterator<Item = Taken>, refusals: u32) -> Self {
        let (settled, seen) = mpsc::unbounded_channel();
        Self(Arc::new(Prepared {
            jobs: Mutex::new(jobs.into_iter().collect()),
            came: Notify::new(),
            closed: AtomicBool::new(false),
            refusals: AtomicU32::new(refusals),
            settled,
            seen: AsyncMutex::new(seen),
        }))
    }

    /// Waits until one more job has been settled.
    pub async fn settled(&self) -> (Taken, Settled) {
        self.0.seen.lock().await.recv().await.unwrap()
    }

    /// What was settled and not looked at.
    pub async fn rest(&self) -> Vec<(Taken, Settled)> {
        let mut seen = self.0.seen.lock().await;
        std::iter::from_fn(|| seen.try_recv().ok()).collect()
    }
}

impl fmt::Debug for PreparedInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedInbox").finish_non_exhaustive()
    }
}

#[async_trait]
impl Inbox for PreparedInbox {
    fn keep(&self, _: Incoming) -> Receipt {
        Receipt::ready(Err(KeepError::new(KeepErrorKind::Full)))
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        loop {
            let came = self.0.came.notified();
            if self.0.closed.load(Ordering::SeqCst) {
                return Vec::new();
            }
            let jobs: Vec<_> = {
                let mut jobs = self.0.jobs.lock().unwrap();
                let count = max.min(jobs.len());
                jobs.drain(..count).collect()
            };
            if !jobs.is_empty() {
                return jobs;
            }
            came.await;
        }
    }

    fn begin(&self, _: &Taken) -> Begun {
        let left = |left: u32| left.checked_sub(1);
        let refusals = &self.0.refusals;
        match refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => Begun::pending().1,
            Err(_) => Begun::now(),
        }
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        if outcome == Settled::Released {
            self.0.jobs.lock().unwrap().push_back(job.clone());
            self.0.came.notify_waiters();
        }
        self.0.settled.send((job.clone(), outcome)).unwrap();
    }

    fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.came.notify_waiters();
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Machine)
    }

    fn stats(&self) -> InboxStats {
        InboxStats::default()
    }
}

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
