use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::job::{Held, Job};
use super::lanes::Lanes;
use super::schedule::{Schedule, Ticket};
use super::shutdown::{JobState, ShutdownReport, Unfinished};
use super::stale::Completed;
use crate::clock::Clock;
use crate::handler::{HandlerName, RetryPolicy, States};
use crate::inbox::{Attempt, Durability, Inbox, Settled, Taken};
use crate::observe::Counters;
use crate::router::Handlers;

/// How many jobs are asked of the inbox at once.
const BATCH: usize = 64;

/// Of how many resources, times handlers, it is remembered which state was completed last.
const RESOURCES: usize = 32_768;

/// How many jobs are taken before there is a slot for them: the turns that types of event take would
/// otherwise come too late for what is still behind a flood in the inbox.
const AHEAD: usize = 4096;

/// Bodies of jobs that wait for their lane, their handler or a slot; what comes beyond that is put
/// away, where the inbox can read it again.
const MOST_BYTES: usize = 16 << 20;

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
    lanes: Lanes,
    slots: usize,
    /// Every job that was taken out of the inbox and is not settled. It does not live in the pump,
    /// which can go away with its runtime.
    open: DashMap<u64, Open>,
    next_job: AtomicU64,
    running: Arc<AtomicUsize>,
    /// Whether a shutdown has begun.
    draining: AtomicBool,
    /// Whether the pump ended before its time.
    abandoned: Arc<AtomicBool>,
    /// Jobs that failed during a shutdown, for which nobody will make the next attempt.
    left_failed: Mutex<Vec<Unfinished>>,
    /// Handlers that events are held for because they are not registered.
    pub(super) missing: DashMap<HandlerName, ()>,
    pub(super) completed: Completed,
}

struct Open {
    job: Held,
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
    pub(crate) lanes: Lanes,
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
            lanes,
        } = parts;
        Self {
            inbox,
            handlers,
            states: Arc::new(states),
            counters,
            retry,
            clock,
            lanes,
            slots: concurrency,
            open: DashMap::new(),
            next_job: AtomicU64::new(0),
            running: Arc::default(),
            draining: AtomicBool::new(false),
            abandoned: Arc::default(),
            left_failed: Mutex::default(),
            missing: DashMap::new(),
            completed: Completed::new(RESOURCES),
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
        let abandoned = Abandoned {
            inbox: Some(Arc::clone(&self.inbox)),
            told: Arc::clone(&self.abandoned),
        };
        self.run(control, abandoned)
    }

    async fn run(self: Arc<Self>, control: Control, mut abandoned: Abandoned) {
        let Control { deadlines, report } = control;
        let mut pump = Pump::new(self);
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
        let _ = dispatch.inbox.flush().await;
        abandoned.inbox = None;
        report.send_replace(Some(ShutdownReport::new(unfinished)));
    }

    /// From here on a failure is the last word where nothing outlives the process.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.inbox.close();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub(super) fn loses_what_waits(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
            && self.inbox.promises().durability == Durability::Process
    }

    fn open(&self, job: Held, state: JobState) -> Job {
        let id = self.next_job.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            job: job.clone(),
            state,
        };
        self.open.insert(id, open);
        Job { id, job }
    }

    pub(super) fn begin(&self, id: u64, taken: &Taken) -> Running {
        if let Some(mut open) = self.open.get_mut(&id) {
            open.state = JobState::Running;
            open.job = Held::Here(taken.clone());
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

    /// The job is not there any more: it was given up, or its bytes are damaged.
    pub(super) fn forget(&self, id: u64) {
        self.open.remove(&id);
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
            match self.open.remove(&id).map(|(_, open)| open.job) {
                Some(Held::Here(taken)) => self.inbox.settle(&taken, Settled::Released),
                Some(Held::Parked(parked)) => self.inbox.put_back(&parked),
                None => {}
            }
        }
    }

    /// The jobs that are not settled: first those that run, each in the order in which they
    /// were taken. With an inbox that loses nothing, only those that run: the others stay there.
    pub(crate) fn unsettled(&self) -> Vec<Unfinished> {
        let loses = self.inbox.promises().durability == Durability::Process;
        let mut open: Vec<(u64, Unfinished)> = self
            .open
            .iter()
            .filter_map(|entry| {
                let Open { job, state } = entry.value();
                let Held::Here(taken) = job else { return None };
                let counts = loses || *state == JobState::Running;
                counts.then(|| (*entry.key(), Unfinished::new(taken.clone(), *state)))
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
struct Abandoned {
    inbox: Option<Arc<dyn Inbox>>,
    told: Arc<AtomicBool>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(inbox) = self.inbox.take() else {
            return;
        };
        self.told.store(true, Ordering::Relaxed);
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
    schedule: Schedule<Job>,
    /// Where jobs that have ended tell so, however they ended.
    endings: mpsc::UnboundedReceiver<Ticket>,
    end: mpsc::UnboundedSender<Ticket>,
    /// Bytes of the bodies of jobs that wait here.
    waiting_bytes: usize,
}

/// Gives a ticket back when it is dropped.
struct Seat {
    ticket: Option<Ticket>,
    end: mpsc::UnboundedSender<Ticket>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // Nobody listens when the pump is gone.
            let _ = self.end.send(ticket);
        }
    }
}

impl Pump {
    fn new(dispatch: Arc<Dispatch>) -> Self {
        let (end, endings) = mpsc::unbounded_channel();
        let schedule = Schedule::new(dispatch.slots, &dispatch.lanes.limits());
        Self {
            dispatch,
            jobs: JoinSet::new(),
            schedule,
            endings,
            end,
            waiting_bytes: 0,
        }
    }

    /// Dropping this future at any await loses nothing: an event is in the inbox, or its jobs are
    /// open.
    async fn run(&mut self) {
        let inbox = Arc::clone(&self.dispatch.inbox);
        let mut taking: Option<BoxFuture<'_, Vec<Taken>>> = None;
        let mut ended = false;
        loop {
            while let Some((job, ticket)) = self.schedule.next() {
                self.spawn(job, ticket);
            }
            while self.jobs.try_join_next().is_some() {}
            if ended && self.schedule.running() == 0 && self.schedule.waiting() == 0 {
                break;
            }
            let wanted = self.wanted();
            if wanted > 0 && !ended && taking.is_none() {
                taking = Some(inbox.take(wanted));
            }
            let take = async {
                match &mut taking {
                    Some(taking) if wanted > 0 => taking.await,
                    _ => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(ticket) = self.endings.recv() => {
                    self.schedule.ended(ticket);
                    while let Ok(ticket) = self.endings.try_recv() {
                        self.schedule.ended(ticket);
                    }
                }
                taken = take => {
                    taking = None;
                    ended = taken.is_empty();
                    for job in taken {
                        self.admit(job);
                    }
                }
            }
        }
        while self.jobs.join_next().await.is_some() {}
    }

    /// How many jobs to take out of the inbox now: not many more than can begin at once, so that the
    /// rest stays where it is safe.
    fn wanted(&self) -> usize {
        // What would be put away again is not taken early.
        let ahead = if self.waiting_bytes < MOST_BYTES {
            AHEAD.saturating_sub(self.schedule.waiting())
        } else {
            0
        };
        self.schedule.free().max(ahead).min(BATCH)
    }

    /// Puts a job where it waits for its turn.
    fn admit(&mut self, taken: Taken) {
        let dispatch = Arc::clone(&self.dispatch);
        let (flow, lane) = dispatch.lanes.place(&taken);
        let suspect = taken.is_suspect();
        let state = JobState::before_a_run(&taken);
        let bytes = taken.delivery().body().len();
        let job = if self.waiting_bytes.saturating_add(bytes) > MOST_BYTES {
            match dispatch.inbox.park(&taken) {
                Some(parked) => Held::Parked(parked),
                None => Held::Here(taken),
            }
        } else {
            Held::Here(taken)
        };
        self.waiting_bytes = self.waiting_bytes.saturating_add(job.bytes());
        let job = dispatch.open(job, state);
        self.schedule.admit(job, flow, lane, suspect);
    }

    fn spawn(&mut self, job: Job, ticket: Ticket) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(job.job.bytes());
        let seat = Seat {
            ticket: Some(ticket),
            end: self.end.clone(),
        };
        let dispatch = Arc::clone(&self.dispatch);
        self.jobs.spawn(async move {
            job.run(dispatch).await;
            drop(seat);
        });
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
