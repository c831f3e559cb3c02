use std::collections::VecDeque;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::job::{Job, Place};
use super::retry::RetryPolicy;
use super::shutdown::{JobState, ShutdownReport, Unfinished};
use crate::clock::Clock;
use crate::handler::States;
use crate::inbox::{Attempt, Durability, Inbox, Settled, Taken};
use crate::observe::Counters;
use crate::router::Handlers;

/// How many jobs are asked of the inbox at once.
const BATCH: usize = 64;

/// How long what is cut short has to let go. One that blocks its thread does not.
const GRACE: Duration = Duration::from_millis(100);

/// What jobs need to run, and which ones there are.
pub(crate) struct Dispatch {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) handlers: Handlers,
    pub(crate) states: Arc<States>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) retry: RetryPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    slots: Arc<Semaphore>,
    /// One permit: for a job during which the process died before. The one that kills the process
    /// again takes no other with it.
    suspects: Arc<Semaphore>,
    /// Every job that was taken out of the inbox and is not settled. It does not live in the pump,
    /// which can go away with its runtime.
    open: DashMap<u64, Open>,
    next_job: AtomicU64,
    running: Arc<AtomicUsize>,
    /// Whether a shutdown has begun.
    draining: AtomicBool,
    /// Jobs that failed during a shutdown, for which nobody will make the next attempt.
    left_failed: Mutex<Vec<Unfinished>>,
}

struct Open {
    taken: Taken,
    state: JobState,
}

/// What a dispatcher is made of.
pub(crate) struct Parts {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) handlers: Handlers,
    pub(crate) states: States,
    pub(crate) counters: Arc<Counters>,
    pub(crate) retry: RetryPolicy,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) concurrency: usize,
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
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            inbox,
            handlers,
            states,
            counters,
            retry,
            clock,
            concurrency,
        } = parts;
        Self {
            inbox,
            handlers,
            states: Arc::new(states),
            counters,
            retry,
            clock,
            slots: Arc::new(Semaphore::new(concurrency)),
            suspects: Arc::new(Semaphore::new(1)),
            open: DashMap::new(),
            next_job: AtomicU64::new(0),
            running: Arc::default(),
            draining: AtomicBool::new(false),
            left_failed: Mutex::default(),
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
            suspects: VecDeque::new(),
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
        let dispatch = &pump.dispatch;
        let mut unfinished = dispatch.unsettled();
        if !drained {
            unfinished.extend(dispatch.left_behind());
        }
        unfinished.extend(dispatch.take_failed());
        dispatch.release_all();
        dispatch.inbox.flush().await;
        abandoned.0 = None;
        report.send_replace(Some(ShutdownReport::new(unfinished)));
    }

    /// From here on a failure is the last word where nothing outlives the process.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.inbox.close();
    }

    pub(super) fn loses_what_waits(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
            && self.inbox.promises().durability == Durability::Process
    }

    fn open(&self, taken: Taken) -> Job {
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            taken: taken.clone(),
            state: JobState::before_a_run(&taken),
        };
        self.open.insert(id, open);
        Job { id, taken }
    }

    pub(super) fn begin(&self, id: u64) -> Running {
        if let Some(mut open) = self.open.get_mut(&id) {
            open.state = JobState::Running;
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.running))
    }

    pub(super) fn settle(&self, id: u64, taken: &Taken, outcome: Settled) {
        // Whoever takes it out of the open ones settles it: here, or the end of a drain.
        if self.open.remove(&id).is_some() {
            self.inbox.settle(taken, outcome);
        }
    }

    /// The job failed with attempts left that nobody will make.
    pub(super) fn leave_failed(&self, id: u64, taken: &Taken, attempt: Attempt) {
        self.counters.dead.add();
        self.tell(taken, &attempt, None);
        let left = Unfinished::new(taken.clone(), JobState::Failed);
        self.left_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(left);
        let failed = Some(attempt);
        self.settle(id, taken, Settled::Dead { failed });
    }

    pub(crate) fn take_failed(&self) -> Vec<Unfinished> {
        let mut left = self
            .left_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut left)
    }

    /// Puts back what was taken and not settled.
    fn release_all(&self) {
        let ids: Vec<u64> = self.open.iter().map(|open| *open.key()).collect();
        for id in ids {
            if let Some((_, open)) = self.open.remove(&id) {
                self.inbox.settle(&open.taken, Settled::Released);
            }
        }
    }

    /// The jobs that are not settled: first those that run, each in the order in which they
    /// were taken.
    pub(crate) fn unsettled(&self) -> Vec<Unfinished> {
        let mut open: Vec<(u64, Unfinished)> = self
            .open
            .iter()
            .map(|entry| {
                let Open { taken, state } = entry.value();
                (*entry.key(), Unfinished::new(taken.clone(), *state))
            })
            .collect();
        open.sort_by_key(|(id, job)| (job.state != JobState::Running, *id));
        open.into_iter().map(|(_, job)| job).collect()
    }

    /// What is left in an inbox that loses it with the process. A durable one keeps it.
    pub(crate) fn left_behind(&self) -> Vec<Unfinished> {
        let mut left = Vec::new();
        if self.inbox.promises().durability == Durability::Process {
            while let Some(taken) = self.inbox.take(BATCH).now_or_never() {
                if taken.is_empty() {
                    break;
                }
                let jobs = taken.into_iter();
                left.extend(jobs.map(|job| {
                    let state = JobState::before_a_run(&job);
                    Unfinished::new(job, state)
                }));
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
    /// Those of them that wait for the end of another suspect, and hold up nobody else.
    suspects: VecDeque<Job>,
}

impl Pump {
    /// Dropping this future at any await loses nothing: an event is in the inbox, or its jobs are
    /// open.
    async fn run(&mut self) {
        let slots = Arc::clone(&self.dispatch.slots);
        // The semaphore is never closed.
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            while self.jobs.try_join_next().is_some() {}
            // Not more than can begin at once, so that the rest stays where it is safe.
            let free = slots.available_permits() + 1;
            let taken = tokio::select! {
                biased;
                Some(alone) = self.next_suspect() => {
                    self.begin_suspect(slot, alone);
                    continue;
                }
                taken = self.dispatch.inbox.take(free.min(BATCH)) => taken,
            };
            if taken.is_empty() {
                break;
            }
            let mut slot = Some(slot);
            for taken in taken {
                let job = self.dispatch.open(taken);
                self.waiting.push_back(job);
                let free = slot.take();
                if let Some(slot) = free.or_else(|| Arc::clone(&slots).try_acquire_owned().ok()) {
                    self.begin(slot);
                }
            }
            // Somebody else may have taken a slot meanwhile.
            while !self.waiting.is_empty() {
                match Arc::clone(&slots).acquire_owned().await {
                    Ok(slot) => self.begin(slot),
                    Err(_) => break,
                }
            }
        }
        while let Some(alone) = self.next_suspect().await {
            match Arc::clone(&slots).acquire_owned().await {
                Ok(slot) => self.begin_suspect(slot, alone),
                Err(_) => break,
            }
        }
        while self.jobs.join_next().await.is_some() {}
    }

    /// Begins the job that has waited longest and may begin.
    fn begin(&mut self, slot: OwnedSemaphorePermit) {
        while let Some(job) = self.waiting.pop_front() {
            if !job.taken.is_suspect() {
                return self.spawn(job, slot, None);
            }
            self.suspects.push_back(job);
            if let Ok(alone) = Arc::clone(&self.dispatch.suspects).try_acquire_owned() {
                return self.begin_suspect(slot, alone);
            }
        }
    }

    /// Waits until a suspect may begin; `None` when there is none.
    async fn next_suspect(&self) -> Option<OwnedSemaphorePermit> {
        if self.suspects.is_empty() {
            return None;
        }
        let suspects = Arc::clone(&self.dispatch.suspects);
        suspects.acquire_owned().await.ok()
    }

    fn begin_suspect(&mut self, slot: OwnedSemaphorePermit, alone: OwnedSemaphorePermit) {
        if let Some(job) = self.suspects.pop_front() {
            self.spawn(job, slot, Some(alone));
        }
    }

    fn spawn(&mut self, job: Job, slot: OwnedSemaphorePermit, alone: Option<OwnedSemaphorePermit>) {
        let place = Place {
            _slot: slot,
            _alone: alone,
        };
        self.jobs.spawn(job.run(Arc::clone(&self.dispatch), place));
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
