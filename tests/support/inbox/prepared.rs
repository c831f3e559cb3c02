use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use voipbin_receiver::inbox::{
    Begun, Durability, Inbox, InboxStats, Incoming, KeepError, KeepErrorKind, Promises, Receipt,
    Settled, Taken,
};

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
