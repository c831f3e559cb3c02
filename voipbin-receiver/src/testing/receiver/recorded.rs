//! The inbox of a receiver that runs step by step: it stands before a real one, writes down what
//! becomes of each job, and has the clock stand still while another thread reads or writes.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{self, Poll, Wake, Waker};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::step::Step;
use crate::handler::HandlerName;
use crate::inbox::{
    Consumer, Durability, Guarantees, Inbox, InboxError, InboxStats, Incoming, Job, KeepError,
    Kept, Prefetch, Records, Reply, Settled,
};

pub(super) struct RecordedInbox {
    inner: Arc<dyn Inbox>,
    runtime: Handle,
    journal: Arc<Journal>,
}

/// What became of jobs.
#[derive(Default)]
pub(super) struct Journal(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    /// Since when jobs run.
    begun: HashMap<JobKey, Instant>,
    /// When failed jobs are due.
    delayed: HashMap<JobKey, Instant>,
    steps: Vec<Step>,
}

/// An event's number in the inbox, and a handler.
type JobKey = (u64, HandlerName);

fn key(job: &Job) -> JobKey {
    (job.id(), job.handler().clone())
}

impl Journal {
    /// Everything that has ended, in order.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.entries().steps.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.entries().steps.len()
    }

    /// The end of a job that came after so many others.
    pub(super) fn end_of(&self, job: &Job, after: usize) -> Option<Step> {
        let entries = self.entries();
        let mut later = entries.steps.iter().skip(after);
        later.find(|step| key(step.job()) == key(job)).cloned()
    }

    /// When the next failed job is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.entries().delayed.values().min().copied()
    }

    /// What should be there by now was given up, or waits for more than its time.
    pub(super) fn forget_overdue(&self) {
        let now = Instant::now();
        self.entries().delayed.retain(|_, due| *due > now);
    }

    fn begin(&self, job: &Job) {
        let mut entries = self.entries();
        entries.delayed.remove(&key(job));
        entries.begun.insert(key(job), Instant::now());
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        let mut entries = self.entries();
        let key = key(job);
        entries.delayed.remove(&key);
        let took = entries.begun.remove(&key).map(|since| since.elapsed());
        if let Settled::Retry { after, .. } = &outcome
            && let Some(due) = Instant::now().checked_add(*after)
        {
            entries.delayed.insert(key, due);
        }
        entries
            .steps
            .push(Step::settled(job.clone(), outcome, took));
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordedInbox {
    pub(super) fn new(inner: Arc<dyn Inbox>, runtime: Handle) -> Self {
        Self {
            inner,
            runtime,
            journal: Arc::default(),
        }
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The next job that is due now; `None` when there is none.
    pub(super) async fn due(&self, consumer: &dyn Consumer) -> Option<Vec<Job>> {
        let mut take = consumer.take(Prefetch::for_jobs(1));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        loop {
            woken.0.store(false, Ordering::SeqCst);
            let polled = take.as_mut().poll(&mut task::Context::from_waker(&waker));
            if let Poll::Ready(taken) = polled {
                return taken;
            }
            let guarantees = self.inner.guarantees();
            if guarantees.durability == Durability::Process || self.inner.stats().events == 0 {
                return None;
            }
            // If it has to read, the answer is there once all that it was asked before is done.
            // Else it waits for a time.
            let _ = consumer.flush().await;
            if !woken.0.load(Ordering::SeqCst) {
                return None;
            }
        }
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

/// The same for what an inbox replies.
fn reply_standing_still<T, E>(runtime: &Handle, mut reply: Reply<T, E>) -> Reply<T, E>
where
    T: Unpin + Send + 'static,
    E: From<crate::inbox::Unanswered> + Unpin + Send + 'static,
{
    if let Some(answer) = (&mut reply).now_or_never() {
        return Reply::ready(answer);
    }
    let (sender, later) = Reply::pending();
    runtime.spawn(async move { sender.send(standing_still(reply).await) });
    later
}

/// Whether a future that is not ready was woken.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Inbox for RecordedInbox {
    fn keep(&self, incoming: Incoming) -> Reply<Kept, KeepError> {
        reply_standing_still(&self.runtime, self.inner.keep(incoming))
    }

    fn consume(&self) -> Result<Box<dyn Consumer>, InboxError> {
        Ok(Box::new(RecordedConsumer {
            inner: self.inner.consume()?,
            runtime: self.runtime.clone(),
            journal: Arc::clone(&self.journal),
        }))
    }

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    fn stats(&self) -> InboxStats {
        self.inner.stats()
    }

    fn records(&self) -> Option<&dyn Records> {
        self.inner.records()
    }

    fn transactions(&self) -> usize {
        self.inner.transactions()
    }

    fn down_since(&self) -> Option<SystemTime> {
        self.inner.down_since()
    }

    fn caught_up(&self) -> Reply<(), InboxError> {
        self.inner.caught_up()
    }
}

struct RecordedConsumer {
    inner: Box<dyn Consumer>,
    runtime: Handle,
    journal: Arc<Journal>,
}

#[async_trait]
impl Consumer for RecordedConsumer {
    async fn take(&self, room: Prefetch) -> Option<Vec<Job>> {
        self.inner.take(room).await
    }

    fn begin(&self, job: &Job) -> Reply<(), InboxError> {
        self.journal.begin(job);
        reply_standing_still(&self.runtime, self.inner.begin(job))
    }

    fn settle(&self, job: &Job, outcome: Settled) {
        self.inner.settle(job, outcome.clone());
        self.journal.settle(job, outcome);
    }

    fn drain(&self) {
        self.inner.drain();
    }

    async fn flush(&self) -> Result<(), InboxError> {
        standing_still(self.inner.flush()).await
    }
}

impl fmt::Debug for RecordedInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordedInbox").field(&self.inner).finish()
    }
}
