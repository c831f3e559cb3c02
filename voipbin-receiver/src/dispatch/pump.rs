use std::collections::VecDeque;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::job::Job;
use super::shutdown::{JobState, ShutdownReport, Unfinished};
use crate::event::Delivery;
use crate::handler::{HandlerName, States};
use crate::inbox::{Durability, Inbox, Settled, Taken};
use crate::observe::Counters;
use crate::router::Handlers;

/// How many events are asked of the inbox at once.
const BATCH: usize = 64;

/// How long what is cut short has to let go. One that blocks its thread does not.
const GRACE: Duration = Duration::from_millis(100);

/// What jobs need to run, and which ones there are.
pub(crate) struct Dispatch {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) handlers: Handlers,
    pub(crate) states: Arc<States>,
    pub(crate) counters: Arc<Counters>,
    slots: Arc<Semaphore>,
    /// Every job that was taken out of the inbox and is not settled. It does not live in the pump,
    /// which can go away with its runtime.
    open: DashMap<u64, Open>,
    next_job: AtomicU64,
    running: Arc<AtomicUsize>,
}

struct Open {
    delivery: Delivery,
    handler: HandlerName,
    state: JobState,
}

/// Counts a run for as long as it lives.
pub(super) struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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
        slots: Semaphore,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            inbox,
            handlers,
            states: Arc::new(states),
            counters,
            slots: Arc::new(slots),
            open: DashMap::new(),
            next_job: AtomicU64::new(0),
            running: Arc::default(),
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Takes events out of the inbox and runs their handlers, until the inbox is closed and nothing
    /// is left, or until the drain has taken too long.
    ///
    /// Also a future that is dropped before its first poll, as by a runtime that ends at once, lets
    /// the inbox know that nobody takes from it.
    pub(crate) fn pump(self: Arc<Self>, control: Control) -> impl Future<Output = ()> + Send {
        let abandoned = Abandoned(Some(Arc::clone(&self.inbox)));
        self.run(control, abandoned)
    }

    async fn run(self: Arc<Self>, control: Control, mut abandoned: Abandoned) {
        let Control { deadlines, report } = control;
        let mut pump = Pump {
            jobs: JoinSet::new(),
            waiting: VecDeque::new(),
            dispatch: self,
        };
        let drained = tokio::select! {
            biased;
            () = passed(deadlines) => false,
            () = pump.run() => true,
        };
        if !drained {
            pump.cut_short().await;
        }
        // After a full drain this is what no handler is registered for any more.
        let mut unfinished = pump.dispatch.unsettled();
        if !drained {
            let left = timeout(GRACE, pump.dispatch.left_behind()).await;
            unfinished.extend(left.unwrap_or_default());
        }
        abandoned.0 = None;
        report.send_replace(Some(ShutdownReport::new(unfinished)));
    }

    fn open(&self, event: &Arc<Taken>, handler: &HandlerName) -> Job {
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            delivery: event.delivery().clone(),
            handler: handler.clone(),
            state: JobState::Queued,
        };
        self.open.insert(id, open);
        Job {
            id,
            event: Arc::clone(event),
            handler: handler.clone(),
        }
    }

    fn begin(&self, job: &Job) -> Running {
        if let Some(mut open) = self.open.get_mut(&job.id) {
            open.state = JobState::Running;
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.running))
    }

    pub(super) fn settle(&self, id: u64, event: &Taken, handler: &HandlerName, outcome: Settled) {
        match outcome {
            Settled::Done => self.counters.handled.add(),
            Settled::Failed => self.counters.failed.add(),
        }
        self.open.remove(&id);
        self.inbox.settle(event, handler, outcome);
    }

    /// The jobs that are not settled: first those that have begun, each in the order in which they
    /// were taken.
    pub(crate) fn unsettled(&self) -> Vec<Unfinished> {
        let mut open: Vec<(u64, Unfinished)> = self
            .open
            .iter()
            .map(|entry| {
                let Open {
                    delivery,
                    handler,
                    state,
                } = entry.value();
                (
                    *entry.key(),
                    Unfinished::new(delivery.clone(), handler.clone(), *state),
                )
            })
            .collect();
        open.sort_by_key(|(id, job)| (job.state == JobState::Queued, *id));
        open.into_iter().map(|(_, job)| job).collect()
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
                    left.extend(event.jobs().iter().map(|handler| {
                        let (delivery, handler) = (event.delivery().clone(), handler.clone());
                        Unfinished::new(delivery, handler, JobState::Queued)
                    }));
                }
            }
        }
        left
    }
}

/// Dropped when the pump ends before its time, with its runtime or by a panic of the inbox: nobody
/// would handle what is kept from there on, so an inbox that loses it must refuse.
struct Abandoned(Option<Arc<dyn Inbox>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(inbox) = self.0.take() else { return };
        tracing::error!("the handlers' runtime is gone: new events are refused");
        let close = AssertUnwindSafe(move || inbox.close());
        if let Err(payload) = catch_unwind(close) {
            std::mem::forget(payload);
        }
    }
}

struct Pump {
    dispatch: Arc<Dispatch>,
    jobs: JoinSet<()>,
    /// Jobs that have no slot yet.
    waiting: VecDeque<Job>,
}

impl Pump {
    /// Dropping this future at any await loses nothing: an event is in the inbox, or its jobs are
    /// open.
    async fn run(&mut self) {
        let slots = Arc::clone(&self.dispatch.slots);
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            while self.jobs.try_join_next().is_some() {}
            if self.waiting.is_empty() {
                // Not more than can begin at once, so that the rest stays where it is safe.
                let free = slots.available_permits() + 1;
                let taken = self.dispatch.inbox.take(free.min(BATCH)).await;
                if taken.is_empty() {
                    break;
                }
                for event in taken {
                    let event = Arc::new(event);
                    let jobs = event.jobs().iter();
                    self.waiting
                        .extend(jobs.map(|handler| self.dispatch.open(&event, handler)));
                }
            }
            self.begin(&slots, slot);
        }
        while self.jobs.join_next().await.is_some() {}
    }

    /// Begins as many waiting jobs as there are slots, one of them at hand.
    fn begin(&mut self, slots: &Arc<Semaphore>, slot: OwnedSemaphorePermit) {
        let mut slot = Some(slot);
        while let Some(slot) = slot
            .take()
            .or_else(|| Arc::clone(slots).try_acquire_owned().ok())
        {
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            let running = self.dispatch.begin(&job);
            self.jobs
                .spawn(job.run(Arc::clone(&self.dispatch), slot, running));
        }
    }

    /// Ends what runs at its next await, and waits a moment for it: what still comes to its own end
    /// meanwhile is settled.
    async fn cut_short(&mut self) {
        self.jobs.abort_all();
        let ended = async { while self.jobs.join_next().await.is_some() {} };
        let _ = timeout(GRACE, ended).await;
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
