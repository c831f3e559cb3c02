//! The inbox of a receiver that runs step by step: it stands before a real one, hands out a job when it
//! is asked to, and lets none begin before it is told to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{self, Poll, Wake, Waker};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::step::Step;
use crate::handler::HandlerName;
use crate::inbox::{
    Begun, Durability, Inbox, InboxError, InboxStats, Incoming, Parked, Promises, Receipt, Records,
    Settled, Starter, Taken,
};

pub(super) struct Gate {
    inner: Arc<dyn Inbox>,
    runtime: Handle,
    state: Mutex<State>,
    asked: Notify,
}

#[derive(Default)]
struct State {
    /// Whoever asks for a job, to be told whether there is one.
    asking: Option<oneshot::Sender<bool>>,
    /// Jobs that were handed out and wait in the dispatcher: for their lane, a slot or a time.
    out: HashSet<JobKey>,
    /// Jobs that wait here to begin.
    door: VecDeque<(Taken, Starter)>,
    begun: HashMap<JobKey, Running>,
    /// What ended without having begun, and nobody was told of.
    unrun: VecDeque<Step>,
    /// When failed jobs are due.
    waiting: HashMap<JobKey, Instant>,
    /// How often a parked job's event was asked for, and how often it was given.
    reads: u64,
    steps: Vec<Step>,
    /// The receiver is shutting down: everything may pass.
    open: bool,
}

/// How often everybody else has its turn before nothing more is expected of them: far more than there
/// are tasks between the inbox and the door.
const TURNS: usize = 32;

/// An event's number in the inbox, and a handler.
type JobKey = (u64, HandlerName);

/// A job that was let begin and is not settled.
struct Running {
    since: Instant,
    ended: oneshot::Sender<Step>,
}

/// What is next.
pub(super) enum Next {
    /// A job that begins now, and where its end is told.
    Begins(Taken, oneshot::Receiver<Step>),
    /// A job that ended without a run.
    Ended(Step),
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn Inbox>, runtime: Handle) -> Self {
        Self {
            inner,
            runtime,
            state: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// Lets the next job begin, if one may now.
    pub(super) async fn next(&self) -> Option<Next> {
        loop {
            if let Some(next) = self.at_the_door() {
                return Some(next);
            }
            let more = self.let_out().await;
            // What is handed out comes to the door unless its lane or its slot is taken; and what
            // waited for one of these may come to it by itself.
            if more || !self.state().out.is_empty() {
                self.settle_down().await;
            }
            if !more {
                let next = self.at_the_door();
                if next.is_none() {
                    self.state().forget_overdue();
                }
                return next;
            }
        }
    }

    fn at_the_door(&self) -> Option<Next> {
        let (job, starter, ended) = {
            let mut state = self.state();
            if state.open {
                return None;
            }
            if let Some(step) = state.unrun.pop_front() {
                return Some(Next::Ended(step));
            }
            let (job, starter) = state.door.pop_front()?;
            let ended = state.begin(&job);
            (job, starter, ended)
        };
        self.start(&job, starter);
        Some(Next::Begins(job, ended))
    }

    /// Has one job more handed out, if one is due.
    async fn let_out(&self) -> bool {
        let (tell, told) = oneshot::channel();
        {
            let mut state = self.state();
            if state.open {
                return false;
            }
            state.asking = Some(tell);
        }
        self.asked.notify_one();
        told.await.unwrap_or(false)
    }

    /// Waits until something is next, or the dispatcher has done what it can.
    async fn settle_down(&self) {
        loop {
            let before = self.state().reads;
            for _ in 0..TURNS {
                if self.state().has_next() {
                    return;
                }
                yield_now().await;
            }
            if self.is_quick() {
                return;
            }
            // The dispatcher may wait for what another thread reads.
            let _ = self.flush().await;
            after_the_others().await;
            if self.state().reads == before {
                return;
            }
        }
    }

    /// Whether it answers without waiting for another thread.
    fn is_quick(&self) -> bool {
        self.inner.promises().durability == Durability::Process
    }

    /// Everything that has ended, in order.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    /// When the next failed job is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.state().waiting.values().min().copied()
    }

    /// The next job that is due now, in a list; an empty one when the inbox is closed.
    async fn due(&self) -> Option<Vec<Taken>> {
        let mut take = self.inner.take(1);
        let told = Arc::new(Told::default());
        let waker = Waker::from(Arc::clone(&told));
        loop {
            told.0.store(false, Ordering::SeqCst);
            let polled = take.as_mut().poll(&mut task::Context::from_waker(&waker));
            if let Poll::Ready(taken) = polled {
                return Some(taken);
            }
            if self.is_quick() || self.inner.stats().events == 0 {
                return None;
            }
            // It may have to read, and then it is told something. Else it waits for a time.
            let _ = self.flush().await;
            after_the_others().await;
            if !told.0.load(Ordering::SeqCst) {
                return None;
            }
        }
    }

    /// Hands a job out and tells whoever asks.
    async fn answer(&self, asking: oneshot::Sender<bool>) -> Option<Vec<Taken>> {
        let due = self.due().await;
        for job in due.iter().flatten() {
            let mut state = self.state();
            state.waiting.remove(&key(job));
            state.out.insert(key(job));
        }
        let any = due.as_ref().is_some_and(|jobs| !jobs.is_empty());
        // Whoever asked may be gone; the job then waits at the door.
        let _ = asking.send(any);
        due
    }

    /// Lets a job begin as soon as the inbox has written that down.
    fn start(&self, job: &Taken, starter: Starter) {
        let mut begun = self.inner.begin(job);
        match (&mut begun).now_or_never() {
            Some(true) => starter.start(),
            Some(false) => {}
            None => {
                self.runtime.spawn(async move {
                    if standing_still(begun).await {
                        starter.start();
                    }
                });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_next(&self) -> bool {
        !self.door.is_empty() || !self.unrun.is_empty()
    }

    fn begin(&mut self, job: &Taken) -> oneshot::Receiver<Step> {
        let (ended, ending) = oneshot::channel();
        let running = Running {
            since: Instant::now(),
            ended,
        };
        self.begun.insert(key(job), running);
        ending
    }

    /// What should be there by now was given up, or waits for more than its time.
    fn forget_overdue(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|_, due| *due > now);
    }

    /// Writes down what became of a job, and gives whom to tell.
    fn settle(&mut self, job: &Taken, outcome: Settled) -> Option<(Running, Step)> {
        let key = key(job);
        self.out.remove(&key);
        if let Settled::Retry { after, .. } | Settled::Delayed { after, .. } = &outcome
            && let Some(due) = Instant::now().checked_add(*after)
        {
            self.waiting.insert(key.clone(), due);
        }
        if matches!(outcome, Settled::Delayed { .. }) {
            // It stays in the dispatcher.
            self.out.insert(key.clone());
        }
        let running = self.begun.remove(&key);
        let took = running.as_ref().map(|running| running.since.elapsed());
        let step = Step::settled(job.clone(), outcome, took);
        self.steps.push(step.clone());
        match running {
            Some(running) => Some((running, step)),
            None => {
                self.unrun.push_back(step);
                None
            }
        }
    }
}

fn key(job: &Taken) -> JobKey {
    (job.id(), job.handler().clone())
}

/// Lets everybody else do what they can do now.
pub(super) async fn after_the_others() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// Waits for what another thread does. A paused clock, which would jump to the next timer because
/// the runtime has nothing to do, stands still meanwhile: so it does while a blocking task runs.
pub(super) async fn standing_still<F: Future>(future: F) -> F::Output {
    let (release, held) = mpsc::channel::<()>();
    let holding = tokio::task::spawn_blocking(move || held.recv());
    let output = future.await;
    drop(release);
    drop(holding);
    output
}

/// Whether a future that is not ready was told to look again.
#[derive(Default)]
struct Told(AtomicBool);

impl Wake for Told {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Inbox for Gate {
    fn attach(&self) -> Result<(), InboxError> {
        self.inner.attach()
    }

    fn detach(&self) {
        self.inner.detach();
    }

    fn keep(&self, incoming: Incoming) -> Receipt {
        let mut receipt = self.inner.keep(incoming);
        if let Some(kept) = (&mut receipt).now_or_never() {
            return Receipt::ready(kept);
        }
        let (pending, told) = Receipt::pending();
        self.runtime.spawn(async move {
            pending.settle(standing_still(receipt).await);
        });
        told
    }

    async fn take(&self, max: usize) -> Vec<Taken> {
        loop {
            let (is_open, asking) = {
                let mut state = self.state();
                // Who gave up asking gets nothing.
                let asking = state.asking.take().filter(|asking| !asking.is_closed());
                (state.open, asking)
            };
            if is_open {
                return self.inner.take(max).await;
            }
            match asking {
                Some(asking) => {
                    if let Some(taken) = self.answer(asking).await {
                        return taken;
                    }
                }
                None => self.asked.notified().await,
            }
        }
    }

    fn begin(&self, job: &Taken) -> Begun {
        let (starter, begun) = Begun::pending();
        let mut state = self.state();
        let key = key(job);
        state.out.remove(&key);
        state.waiting.remove(&key);
        if state.open {
            drop(state.begin(job));
            drop(state);
            self.start(job, starter);
        } else {
            state.door.push_back((job.clone(), starter));
        }
        begun
    }

    fn settle(&self, job: &Taken, outcome: Settled) {
        self.inner.settle(job, outcome.clone());
        if let Some((running, step)) = self.state().settle(job, outcome) {
            // Nobody listens to a run that took too long for a step.
            drop(running.ended.send(step));
        }
    }

    fn park(&self, job: &Taken) -> Option<Parked> {
        self.inner.park(job)
    }

    async fn unpark(&self, parked: &Parked) -> Option<Taken> {
        self.state().reads += 1;
        let taken = self.inner.unpark(parked).await;
        self.state().reads += 1;
        taken
    }

    fn put_back(&self, parked: &Parked) {
        self.inner.put_back(parked);
    }

    fn close(&self) {
        let door = {
            let mut state = self.state();
            state.open = true;
            state.asking = None;
            let door = std::mem::take(&mut state.door);
            for (job, _) in &door {
                drop(state.begin(job));
            }
            door
        };
        for (job, starter) in door {
            self.start(&job, starter);
        }
        self.inner.close();
        self.asked.notify_one();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        standing_still(self.inner.flush()).await
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

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.inner).finish()
    }
}
