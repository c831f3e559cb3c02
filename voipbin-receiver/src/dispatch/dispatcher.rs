use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{OnceLock, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::age::EventAges;
use super::hold::Hold;
use super::permit::JobPermit;
use super::placement::Placements;
use super::queue::{JobKey, JobQueue, Plan};
use super::run::log;
use super::schedule::{QuarantineId, RunSlot};
use super::stale::Completed;
use super::worker::Workers;
use crate::catalog::EventType;
use crate::clock::Clock;
#[cfg(feature = "history")]
use crate::event::Delivery;
use crate::handler::HandlerName;
use crate::inbox::{Consumer, Durability, Inbox, Job, Settled};
use crate::observe::{Counters, Hooks, Unfinished};
use crate::router::Handlers;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many last completed states are remembered: one for each resource and handler.
const RESOURCES: usize = 32_768;

/// A run that takes longer is warned of: it may hang, and holds up its lane.
const LONG_RUN: Duration = Duration::from_secs(5 * 60);

/// What jobs need to run, and which ones there are.
pub(crate) struct Dispatch {
    pub(crate) inbox: Arc<dyn Inbox>,
    /// Owned by the pump, which ends it; `None` in a receiver that only takes in.
    consumer: Option<Weak<dyn Consumer>>,
    pub(crate) handlers: Handlers,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) ages: EventAges,
    pub(super) completed: Completed,
    pub(super) hold: Option<Hold>,
    /// What was received before is left from an earlier process.
    pub(crate) built_at: SystemTime,
    pub(crate) slots: usize,
    pub(super) stepped: bool,
    placements: Placements,
    queue: Mutex<JobQueue>,
    /// Wakes the pump.
    progress: Notify,
    workers: OnceLock<Workers>,
    running: AtomicUsize,
    lifecycle: Lifecycle,
    /// Handlers of jobs in the inbox that are not registered here.
    unroutable: Mutex<BTreeSet<HandlerName>>,
}

struct Lifecycle {
    /// Whether a shutdown has begun.
    draining: watch::Sender<bool>,
    /// Whether the pump ended before its time.
    abandoned: AtomicBool,
    /// Jobs whose next attempt will not be made.
    left: Mutex<Vec<Unfinished>>,
}

/// What a dispatcher is made of.
pub(crate) struct DispatchParts {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) consumer: Option<Weak<dyn Consumer>>,
    pub(crate) handlers: Handlers,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) concurrency: usize,
    /// Whether jobs run by [`Dispatch::step`] alone, and by workers only once a shutdown begins.
    pub(crate) stepped: bool,
    /// How long handlers wait at most until what was missed is recovered.
    pub(crate) hold: Option<Duration>,
}

impl Dispatch {
    pub(crate) fn new(parts: DispatchParts) -> Self {
        let slots = parts.concurrency;
        let placements = Placements::new(&parts.handlers);
        let in_memory = parts.inbox.guarantees().durability == Durability::Process;
        Self {
            inbox: parts.inbox,
            consumer: parts.consumer,
            queue: Mutex::new(JobQueue::new(slots, &placements.limits(), in_memory)),
            handlers: parts.handlers,
            counters: parts.counters,
            hooks: parts.hooks,
            ages: EventAges::new(Arc::clone(&parts.clock)),
            hold: parts.hold.map(Hold::new),
            built_at: parts.clock.wall(),
            clock: parts.clock,
            completed: Completed::new(RESOURCES),
            slots,
            stepped: parts.stepped,
            placements,
            progress: Notify::new(),
            workers: OnceLock::new(),
            running: AtomicUsize::new(0),
            lifecycle: Lifecycle {
                draining: watch::Sender::new(false),
                abandoned: AtomicBool::new(false),
                left: Mutex::default(),
            },
            unroutable: Mutex::default(),
        }
    }

    /// Remembers a state that a handler completed in an earlier process.
    #[cfg(feature = "history")]
    pub(crate) fn note_completed(&self, delivery: &Delivery, handler: &HandlerName) {
        if let Some(version) = self.completed.version_of(delivery, handler) {
            self.completed.add(version);
        }
    }

    /// How many handlers run, those included whose thread goes on after their time was over.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// How many runs have been going on for more than five minutes; looked at once a minute.
    pub(crate) fn long_running(&self) -> usize {
        self.queue().long_running()
    }

    /// Warns once of each.
    pub(super) fn warn_of_long_runs(&self) {
        let found = self.queue().find_long(LONG_RUN);
        for job in found {
            let delivery = job.delivery();
            log(|| {
                tracing::warn!(
                    handler = %job.handler(),
                    event = delivery.received_as().map(EventType::loggable),
                    resource_id = delivery.loggable_id().map(tracing::field::display),
                    identity = %delivery.identity(),
                    "the handler has been running for more than 5 minutes, and what comes for the same resource waits behind it; a timeout would end it"
                );
            });
        }
    }

    /// Pauses or resumes a handler; false when there is none of this name.
    pub(crate) fn pause(self: &Arc<Self>, handler: &str, paused: bool) -> bool {
        let Some(index) = self.placements.index(&HandlerName::new(handler)) else {
            return false;
        };
        let mut queue = self.queue();
        queue.pause(index, paused);
        self.wake(queue);
        true
    }

    pub(crate) fn paused(&self) -> Vec<HandlerName> {
        let paused = self.queue().paused();
        self.placements.names(&paused)
    }

    /// Begins a shutdown: from here on no job is retried that the process would take with it.
    pub(crate) fn drain(&self) {
        self.lifecycle.draining.send_replace(true);
        self.close();
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.lifecycle.draining.borrow()
    }

    /// Ends when a shutdown begins.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.lifecycle.draining.subscribe();
        async move {
            // Cannot fail: the sender lives as long as this dispatcher.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Takes nothing new. Once the pump has ended the inbox may have another consumer.
    pub(crate) fn close(&self) {
        if let Some(consumer) = self.consumer() {
            consumer.drain();
        }
    }

    /// Until the pump has ended.
    pub(crate) fn consumer(&self) -> Option<Arc<dyn Consumer>> {
        self.consumer.as_ref()?.upgrade()
    }

    /// The pump has ended with its runtime, or by a panic of the inbox.
    pub(super) fn abandon(&self, consumer: Arc<dyn Consumer>) {
        self.lifecycle.abandoned.store(true, Ordering::Relaxed);
        tracing::warn!(
            durable = self.is_durable(),
            "the handlers' runtime has ended before the receiver was shut down: nothing is handled any more, and what an inbox in memory holds is lost"
        );
        let end = AssertUnwindSafe(|| {
            consumer.drain();
            let left = self.take_rest(&*consumer);
            self.left().extend(left);
            if self.keeps_rest() {
                self.queue().close_all();
            }
            drop(consumer);
        });
        if let Err(payload) = catch_unwind(end) {
            std::mem::forget(payload);
        }
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.lifecycle.abandoned.load(Ordering::Relaxed)
    }

    /// Whether what is kept outlives the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.inbox.guarantees().durability != Durability::Process
    }

    /// Whether what is left at a shutdown stays in the inbox, for another consumer.
    pub(super) fn keeps_rest(&self) -> bool {
        self.is_durable() || self.inbox.guarantees().shared
    }

    pub(super) fn loses_what_waits(&self) -> bool {
        self.is_draining() && !self.keeps_rest()
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, JobQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues jobs that were taken.
    pub(crate) fn admit(self: &Arc<Self>, jobs: Vec<Job>) {
        let now = Instant::now();
        let jobs = jobs.into_iter().map(|job| (self.placements.of(&job), job));
        let jobs: Vec<_> = jobs.collect();
        let mut queue = self.queue();
        for (placement, job) in jobs {
            queue.admit(job, placement, now);
        }
        self.wake(queue);
    }

    /// What the pump is to do next. Where it `waits` then, the next progress wakes it.
    pub(super) fn plan(self: &Arc<Self>, waits: impl FnOnce(&Plan) -> bool) -> Plan {
        let mut queue = self.queue();
        let plan = queue.plan(Instant::now());
        queue.pump_waits = waits(&plan);
        self.start_worker(queue);
        plan
    }

    /// Nothing new will come.
    pub(super) fn stop(self: &Arc<Self>) {
        let mut queue = self.queue();
        queue.stop(self.keeps_rest());
        self.wake(queue);
    }

    /// Nothing further begins.
    pub(super) fn stop_now(&self) {
        self.queue().stop(true);
    }

    pub(super) async fn progress(&self) {
        self.progress.notified().await;
    }

    /// Begins to run jobs, on the current runtime.
    pub(super) fn start_workers(self: &Arc<Self>) -> &Workers {
        let workers = self.workers.get_or_init(Workers::here);
        self.wake(self.queue());
        workers
    }

    pub(super) fn workers(&self) -> Option<&Workers> {
        self.workers.get()
    }

    /// The next job that may run now. A worker is no longer counted when there is none.
    pub(super) fn next(self: &Arc<Self>, is_worker: bool) -> Option<(JobKey, Job, Arc<JobPermit>)> {
        let mut queue = self.queue();
        let Some((key, job, slot)) = queue.next() else {
            queue.workers -= usize::from(is_worker);
            if std::mem::take(&mut queue.pump_waits) {
                self.progress.notify_one();
            }
            return None;
        };
        self.wake(queue);
        let permit = Arc::new(JobPermit::new(Arc::clone(self), slot, &job));
        Some((key, job, permit))
    }

    /// A worker ended before its time.
    pub(super) fn worker_ended(&self) {
        self.queue().workers -= 1;
    }

    /// Wakes the pump, if it waits, and starts a worker, if there is something to run.
    fn wake(self: &Arc<Self>, mut queue: MutexGuard<'_, JobQueue>) {
        if std::mem::take(&mut queue.pump_waits) {
            self.progress.notify_one();
        }
        self.start_worker(queue);
    }

    /// Starts one more even where one runs: that one may block its thread.
    fn start_worker(self: &Arc<Self>, mut queue: MutexGuard<'_, JobQueue>) {
        let workers = self.workers.get();
        let workers = workers.filter(|_| !self.stepped || self.is_draining());
        let workers = workers.filter(|workers| queue.workers < workers.most);
        let workers = workers.filter(|_| queue.may_have_next());
        queue.workers += usize::from(workers.is_some());
        // A runtime that ends drops the task at once, whose Drop locks the queue.
        drop(queue);
        if let Some(workers) = workers {
            workers.start(self);
        }
    }

    pub(super) fn begin(&self, key: JobKey) {
        self.running.fetch_add(1, Ordering::Relaxed);
        self.queue().begin(key);
    }

    /// A run gives back its slot. `next` is its job, where that keeps the lane until its retry.
    pub(super) fn end(
        self: &Arc<Self>,
        slot: RunSlot,
        begun: bool,
        next: Option<(JobKey, Instant)>,
    ) {
        if begun {
            self.running.fetch_sub(1, Ordering::Relaxed);
        }
        let mut queue = self.queue();
        match next {
            Some((key, at)) => {
                let at = match self.loses_what_waits() {
                    true => Instant::now(),
                    false => at,
                };
                queue.park(key, slot, at);
            }
            None => queue.end(slot),
        }
        self.wake(queue);
    }

    /// The suspect survived its quarantine: the next one may begin.
    pub(super) fn end_quarantine(self: &Arc<Self>, quarantine: QuarantineId) {
        let mut queue = self.queue();
        queue.end_quarantine(quarantine);
        self.wake(queue);
    }

    /// Settles a job, unless the end of a drain closed it before.
    pub(super) fn settle(&self, key: JobKey, job: &Job, outcome: Settled) -> bool {
        let closed = self.queue().close(key).is_some();
        if closed && let Some(consumer) = self.consumer() {
            consumer.settle(job, outcome);
        }
        closed
    }

    /// Its lease is lost: another consumer settles it.
    pub(super) fn forget(&self, key: JobKey) {
        self.queue().close(key);
    }

    /// Whether it is the first job for a handler of this name that is not registered.
    pub(super) fn is_new_unroutable(&self, handler: &HandlerName) -> bool {
        let mut unroutable = self
            .unroutable
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unroutable.insert(handler.clone())
    }

    pub(super) fn left(&self) -> MutexGuard<'_, Vec<Unfinished>> {
        let left = self.lifecycle.left.lock();
        left.unwrap_or_else(PoisonError::into_inner)
    }
}
