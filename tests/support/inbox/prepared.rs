use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc};
use voipbin_receiver::inbox::{
    Consumer, Durability, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError,
    KeepErrorKind, Kept, Prefetch, Reply, Settled,
};

/// A durable inbox that hands out the jobs it was made with, and passes on what became of each.
#[derive(Clone)]
pub struct PreparedInbox(Arc<Prepared>);

struct Prepared {
    jobs: Mutex<VecDeque<Job>>,
    came: Notify,
    drained: AtomicBool,
    refusals: AtomicU32,
    settled: mpsc::UnboundedSender<(Job, Settled)>,
    seen: AsyncMutex<mpsc::UnboundedReceiver<(Job, Settled)>>,
}

impl PreparedInbox {
    /// An inbox with these jobs, which refuses this many times to let one begin.
    pub fn new(jobs: impl IntoIterator<Item = Job>, refusals: u32) -> Self {
        let (settled, seen) = mpsc::unbounded_channel();
        Self(Arc::new(Prepared {
            jobs: Mutex::new(jobs.into_iter().collect()),
            came: Notify::new(),
            drained: AtomicBool::new(false),
            refusals: AtomicU32::new(refusals),
            settled,
            seen: AsyncMutex::new(seen),
        }))
    }

    /// Waits until one more job has been settled.
    pub async fn settled(&self) -> (Job, Settled) {
        self.0.seen.lock().await.recv().await.unwrap()
    }

    /// What was settled and not looked at.
    pub async fn rest(&self) -> Vec<(Job, Settled)> {
        let mut seen = self.0.seen.lock().await;
        std::iter::from_fn(|| seen.try_recv().ok()).collect()
    }
}

impl fmt::Debug for PreparedInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedInbox").finish_non_exhaustive()
    }
}

impl Inbox for PreparedInbox {
    fn keep(&self, _: Incoming) -> Reply<Kept, KeepError> {
        Reply::ready(Err(KeepError::new(KeepErrorKind::Full)))
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        Ok(Box::new(PreparedConsumer {
            inbox: Arc::clone(&self.0),
            taken: Mutex::default(),
        }))
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees::new(Durability::Machine)
    }

    fn stats(&self) -> InboxStats {
        InboxStats::default()
    }
}

/// What it has taken is released when it ends.
struct PreparedConsumer {
    inbox: Arc<Prepared>,
    taken: Mutex<Vec<Job>>,
}

impl Drop for PreparedConsumer {
    fn drop(&mut self) {
        for job in self.taken.get_mut().unwrap().drain(..) {
            let _ = self.inbox.settled.send((job, Settled::Released));
        }
    }
}

#[async_trait]
impl Consumer for PreparedConsumer {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        loop {
            let came = self.inbox.came.notified();
            if self.inbox.drained.load(Ordering::SeqCst) {
                return None;
            }
            let jobs: Vec<_> = {
                let mut jobs = self.inbox.jobs.lock().unwrap();
                let count = room.jobs.min(jobs.len());
                jobs.drain(..count).collect()
            };
            if !jobs.is_empty() {
                self.taken.lock().unwrap().extend(jobs.iter().cloned());
                return Some(jobs);
            }
            came.await;
        }
    }

    fn begin(&self, _: &Job) -> Reply<(), InboxError> {
        let left = |left: u32| left.checked_sub(1);
        let refusals = &self.inbox.refusals;
        match refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => Reply::pending().1,
            Err(_) => Reply::ready(Ok(())),
        }
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let stays = matches!(outcome, Settled::Retry { in_place: true, .. });
        self.taken
            .lock()
            .unwrap()
            .retain(|taken| stays || taken.token() != job.token());
        if outcome == Settled::Released {
            self.inbox.jobs.lock().unwrap().push_back(job.clone());
            self.inbox.came.notify_waiters();
        }
        self.inbox.settled.send((job.clone(), outcome)).unwrap();
    }

    fn drain(&self) {
        self.inbox.drained.store(true, Ordering::SeqCst);
        self.inbox.came.notify_waiters();
    }
}
