use std::collections::VecDeque;
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::job::{Job, Running};
use super::shutdown::{JobState, ShutdownReport, Unfinished};
use crate::handler::{HandlerName, States};
use crate::inbox::{Durability, Inbox, Taken};
use crate::observe::Counters;
use crate::router::Handlers;

/// How many events are asked of the inbox at once.
const BATCH: usize = 64;

/// What jobs need to run, and which ones do.
pub(crate) struct Dispatch {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) handlers: Handlers,
    pub(crate) states: Arc<States>,
    pub(crate) concurrency: NonZeroUsize,
    pub(crate) counters: Arc<Counters>,
    running: DashMap<u64, Running>,
    next_job: AtomicU64,
}

/// The pump's end of the line to whoever shuts the receiver down.
pub(crate) struct Control {
    /// How long the drain may still take, told once or more.
    pub(crate) deadlines: mpsc::UnboundedReceiver<Duration>,
    pub(crate) report: watch::Sender<Option<ShutdownReport>>,
}

impl Dispatch {
    pub(crate) fn new(
        inbox: Arc<dyn Inbox>,
        handlers: Handlers,
        states: States,
        concurrency: NonZeroUsize,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            inbox,
            handlers,
            states: Arc::new(states),
            concurrency,
            counters,
            running: DashMap::new(),
            next_job: AtomicU64::new(0),
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    /// Enters a job into the list of those that run, until the entry is dropped.
    pub(super) fn enter(&self, event: &Taken, handler: &HandlerName) -> Entered<'_> {
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        let (delivery, handler) = (event.delivery.clone(), handler.clone());
        self.running.insert(id, Running { delivery, handler });
        Entered { dispatch: self, id }
    }

    /// Takes events out of the inbox and runs their handlers, until the inbox is closed and nothing
    /// is left, or until the drain has taken too long.
    pub(crate) async fn pump(self: Arc<Self>, control: Control) {
        let Control { deadlines, report } = control;
        let mut pump = Pump {
            slots: Arc::new(Semaphore::new(self.concurrency.get())),
            jobs: JoinSet::new(),
            waiting: VecDeque::new(),
            dispatch: self,
        };
        let drained = tokio::select! {
            biased;
            () = passed(deadlines) => false,
            () = pump.run() => true,
        };
        let unfinished = if drained {
            Vec::new()
        } else {
            pump.cut_short().await
        };
        report.send_replace(Some(ShutdownReport::new(unfinished)));
    }

    /// What has begun and not ended.
    pub(crate) fn still_running(&self) -> Vec<Unfinished> {
        self.running
            .iter()
            .map(|job| {
                Unfinished::new(job.delivery.clone(), job.handler.clone(), JobState::Running)
            })
            .collect()
    }

    /// What is left in an inbox that loses it with the process. A durable one keeps it.
    pub(crate) async fn left_behind(&self) -> Vec<Unfinished> {
        let mut left = Vec::new();
        if self.inbox.promises().durability == Durability::Process {
            loop {
                let taken = self.inbox.take(BATCH).await;
                if taken.is_empty() {
                    break;
                }
                for event in taken {
                    left.extend(event.jobs.iter().map(|handler| {
                        let (delivery, handler) = (event.delivery.clone(), handler.clone());
                        Unfinished::new(delivery, handler, JobState::Queued)
                    }));
                }
            }
        }
        left
    }
}

/// A job's place in the list of those that run.
pub(super) struct Entered<'a> {
    dispatch: &'a Dispatch,
    id: u64,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.dispatch.running.remove(&self.id);
    }
}

struct Pump {
    dispatch: Arc<Dispatch>,
    slots: Arc<Semaphore>,
    jobs: JoinSet<()>,
    /// Jobs of taken events that have no slot yet.
    waiting: VecDeque<(Arc<Taken>, HandlerName)>,
}

impl Pump {
    /// Dropping this future at any await loses no job: each is in the inbox, in `waiting`, or in
    /// the list of those that run.
    async fn run(&mut self) {
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await {
            while self.jobs.try_join_next().is_some() {}
            if self.waiting.is_empty() {
                // Not more than can begin at once, so that the rest stays where it is safe.
                let free = self.slots.available_permits() + 1;
                let taken = self.dispatch.inbox.take(free.min(BATCH)).await;
                if taken.is_empty() {
                    break;
                }
                for event in taken {
                    let event = Arc::new(event);
                    let jobs = event.jobs.iter().cloned();
                    self.waiting
                        .extend(jobs.map(|handler| (Arc::clone(&event), handler)));
                }
            }
            self.begin(slot);
        }
        while self.jobs.join_next().await.is_some() {}
    }

    /// Begins as many waiting jobs as there are slots, one of them at hand.
    fn begin(&mut self, slot: OwnedSemaphorePermit) {
        let mut slot = Some(slot);
        while let Some(slot) = slot
            .take()
            .or_else(|| Arc::clone(&self.slots).try_acquire_owned().ok())
        {
            let Some((event, handler)) = self.waiting.pop_front() else {
                return;
            };
            let job = Job {
                event,
                handler,
                slot,
            };
            self.jobs.spawn(job.run(Arc::clone(&self.dispatch)));
        }
    }

    /// Ends what runs at its next await and tells what is left.
    async fn cut_short(mut self) -> Vec<Unfinished> {
        let mut left = self.dispatch.still_running();
        self.jobs.abort_all();
        left.extend(self.waiting.drain(..).map(|(event, handler)| {
            Unfinished::new(event.delivery.clone(), handler, JobState::Queued)
        }));
        left.extend(self.dispatch.left_behind().await);
        left
    }
}

/// Waits until the time for the drain has passed. A later word may shorten it and not prolong it.
async fn passed(mut deadlines: mpsc::UnboundedReceiver<Duration>) {
    // When the receiver is dropped without a shutdown, what it kept runs to its end.
    let Some(left) = deadlines.recv().await else {
        return pending().await;
    };
    let mut until = from_now(left);
    loop {
        tokio::select! {
            () = sleep_until(until) => return,
            left = deadlines.recv() => match left {
                Some(left) => until = until.min(from_now(left)),
                None => return sleep_until(until).await,
            },
        }
    }
}

/// A deadline beyond what the clock can count is as good as a century.
fn from_now(left: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    Instant::now() + left.min(CENTURY)
}
