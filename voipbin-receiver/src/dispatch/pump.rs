use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::batches::InBatches;
use super::job::{Job, run, unpark};
use super::open::{Held, JobId};
use super::schedule::{Delayed, Schedule, Ticket};
use super::seat::{Seat, Told};
use super::shared::{BATCH, Dispatch};
use super::shutdown::{JobState, ShutdownReport};
use super::tasks::Tasks;
use crate::inbox::Taken;
use crate::observe::Transition;

/// How many jobs are taken before there is a slot for them: the turns that types of event take would
/// otherwise come too late for what is still behind a flood in the inbox.
const AHEAD: usize = 4096;

/// Bodies of jobs that wait for their lane, their handler or a slot; what comes beyond that is put
/// away, where the inbox can read it again.
const MOST_BYTES: usize = 16 << 20;

/// How long what is cut short has to let go. One that blocks its thread does not.
const GRACE: Duration = Duration::from_millis(100);

/// The pump's end of the line to whoever shuts the receiver down.
pub(crate) struct Control {
    /// How long the drain may still take, told once or more.
    pub(crate) deadlines: mpsc::UnboundedReceiver<Duration>,
    pub(crate) report: watch::Sender<Option<ShutdownReport>>,
}

impl Dispatch {
    /// Takes events out of the inbox and runs their handlers, until the inbox is closed and nothing
    /// is left, or until the drain has taken too long.
    ///
    /// Also a future that is dropped before its first poll, as by a runtime that ends at once, lets
    /// the inbox know that nobody takes from it.
    pub(crate) fn pump(self: Arc<Self>, control: Control) -> impl Future<Output = ()> + Send {
        let unended = Unended(Some(Arc::clone(&self)));
        InBatches::new(self.run(control, unended))
    }

    async fn run(self: Arc<Self>, control: Control, mut unended: Unended) {
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
        let unfinished = dispatch.release();
        for left in &unfinished {
            dispatch.hooks.tell(|| Transition::dropped(left));
        }
        let stored = dispatch.inbox.flush().await.is_ok();
        unended.0 = None;
        dispatch.detach();
        report.send_replace(Some(ShutdownReport::new(unfinished, stored)));
    }
}

/// Dropped with something in it when the pump ends before its time.
struct Unended(Option<Arc<Dispatch>>);

impl Drop for Unended {
    fn drop(&mut self) {
        if let Some(dispatch) = self.0.take() {
            dispatch.abandon();
        }
    }
}

struct Pump {
    dispatch: Arc<Dispatch>,
    schedule: Schedule<Job>,
    tasks: Tasks,
    delays: Delays,
    /// Where jobs tell what becomes of their seats.
    told: mpsc::UnboundedReceiver<Told>,
    tell: mpsc::UnboundedSender<Told>,
    /// Bytes of the bodies of jobs that wait here.
    waiting_bytes: usize,
    /// Whether nothing further is to begin: the inbox keeps it for the next receiver.
    stopping: bool,
}

/// Jobs that wait for their next attempt in their lane.
#[derive(Default)]
struct Delays {
    jobs: HashMap<JobId, (Job, Delayed)>,
    due: BinaryHeap<Reverse<(Instant, JobId)>>,
}

impl Delays {
    fn add(&mut self, job: Job, delayed: Delayed, until: Instant) {
        self.due.push(Reverse((until, job.id)));
        self.jobs.insert(job.id, (job, delayed));
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// One whose time has come.
    fn pop(&mut self, now: Instant) -> Option<(Job, Delayed)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse((_, id)) = self.due.pop()?;
        self.jobs.remove(&id)
    }
}

impl Pump {
    fn new(dispatch: Arc<Dispatch>) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let schedule = Schedule::new(dispatch.slots, &dispatch.lanes.limits());
        Self {
            dispatch,
            schedule,
            tasks: Tasks::default(),
            delays: Delays::default(),
            told,
            tell,
            waiting_bytes: 0,
            stopping: false,
        }
    }

    /// Dropping this future at any await loses nothing: an event is in the inbox, or its jobs are
    /// open.
    async fn run(&mut self) {
        let inbox = Arc::clone(&self.dispatch.inbox);
        let drained = self.dispatch.drained();
        tokio::pin!(drained);
        let mut draining = false;
        let mut taking: Option<BoxFuture<'_, Vec<Taken>>> = None;
        let mut ended = false;
        loop {
            if !self.stopping {
                self.begin_what_may();
            }
            let nothing_waits = self.schedule.waiting() == 0 && self.delays.jobs.is_empty();
            if ended && self.schedule.running() == 0 && (nothing_waits || self.stopping) {
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
            let delay = async {
                match self.delays.next_due() {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(told) = self.told.recv() => {
                    self.hear(told);
                    while let Ok(told) = self.told.try_recv() {
                        self.hear(told);
                    }
                }
                () = &mut drained, if !draining => {
                    draining = true;
                    self.stop();
                }
                () = delay => self.resume(Instant::now()),
                taken = take => {
                    taking = None;
                    if taken.is_empty() {
                        ended = true;
                        self.stop();
                    }
                    for job in taken {
                        self.admit(job);
                    }
                }
            }
        }
        self.tasks.join().await;
    }

    fn begin_what_may(&mut self) {
        while let Some((job, ticket)) = self.schedule.next() {
            match job.not_before.filter(|at| *at > Instant::now()) {
                Some(until) => {
                    let delayed = self.schedule.delayed(ticket);
                    self.delay(job, delayed, until);
                }
                None => self.spawn(job, ticket),
            }
        }
    }

    /// Nothing new will come. What waits goes on at once where it is lost otherwise, and stays for the
    /// next receiver where it is not.
    fn stop(&mut self) {
        if self.dispatch.is_durable() {
            self.stopping = true;
        } else {
            for (mut job, delayed) in std::mem::take(&mut self.delays).jobs.into_values() {
                job.not_before = None;
                self.schedule.resume(job, delayed);
            }
        }
    }

    fn hear(&mut self, told: Told) {
        match told {
            Told::Ended(ticket) => {
                self.tasks.ended(ticket.slot());
                self.schedule.ended(ticket);
            }
            Told::Outlived(trial) => self.schedule.acquit(trial),
            Told::Delayed(ticket, job) => {
                self.tasks.ended(ticket.slot());
                let delayed = self.schedule.delayed(ticket);
                let until = job.not_before.filter(|_| !self.dispatch.loses_what_waits());
                self.delay(job, delayed, until.unwrap_or_else(Instant::now));
            }
        }
    }

    fn delay(&mut self, job: Job, delayed: Delayed, until: Instant) {
        self.waiting_bytes = self.waiting_bytes.saturating_add(job.held.bytes());
        self.delays.add(job, delayed, until);
    }

    fn resume(&mut self, now: Instant) {
        while let Some((job, delayed)) = self.delays.pop(now) {
            self.schedule.resume(job, delayed);
        }
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
        let place = dispatch.lanes.place(&taken);
        let state = JobState::before_a_run(&taken);
        let not_before = taken.wait().map(|wait| Instant::now() + wait);
        let bytes = taken.delivery().body().len();
        let held = if self.waiting_bytes.saturating_add(bytes) > MOST_BYTES {
            match dispatch.inbox.park(&taken) {
                Some(parked) => Held::Parked(parked),
                None => Held::Here(taken),
            }
        } else {
            Held::Here(taken)
        };
        self.waiting_bytes = self.waiting_bytes.saturating_add(held.bytes());
        let id = dispatch.open.add(held.clone(), state);
        let job = Job {
            id,
            held,
            not_before,
        };
        self.schedule.admit(job, place);
    }

    fn spawn(&mut self, job: Job, ticket: Ticket) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(job.held.bytes());
        let slot = ticket.slot();
        let seat = Arc::new(Seat::new(ticket, self.tell.clone()));
        let dispatch = Arc::clone(&self.dispatch);
        let Job { id, held, .. } = job;
        // In memory of its own: a runtime moves a future about, and keeps the room that it took until somebody
        // has looked at its end.
        let run: BoxFuture<'static, ()> = match held {
            Held::Here(taken) => Box::pin(run(id, taken, dispatch, seat)),
            Held::Parked(parked) => Box::pin(unpark(id, parked, dispatch, seat)),
        };
        self.tasks.spawn(slot, run);
    }

    /// Ends what runs at its next await, and waits a moment for it: what still comes to its own end
    /// meanwhile is settled.
    async fn cut_short(&mut self) {
        self.tasks.abort();
        let _ = timeout(GRACE, self.tasks.join()).await;
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
