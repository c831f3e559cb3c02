use std::collections::BTreeSet;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use tokio::sync::watch;

use super::lanes::Lanes;
use super::open::{JobId, OpenJobs};
use super::shutdown::{JobState, Unfinished};
use super::stale::Completed;
use crate::clock::Clock;
use crate::handler::HandlerName;
use crate::inbox::{Durability, Inbox, Settled, Taken};
use crate::observe::{Counters, Hooks};
use crate::router::Handlers;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many jobs are asked of the inbox at once.
pub(super) const BATCH: usize = 64;

/// Of how many resources, times handlers, it is remembered which state was completed last.
const RESOURCES: usize = 32_768;

/// What jobs need to run, and which ones there are.
pub(crate) struct Dispatch {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) handlers: Handlers,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hooks: Arc<Hooks>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(super) lanes: Lanes,
    pub(crate) slots: usize,
    pub(super) open: OpenJobs,
    running: Arc<AtomicUsize>,
    /// Whether a shutdown has begun.
    draining: watch::Sender<bool>,
    /// Whether the inbox is this receiver's.
    attached: Mutex<bool>,
    /// Whether the pump ended before its time.
    abandoned: AtomicBool,
    /// Jobs that failed during a shutdown, for which nobody will make the next attempt.
    left_failed: Mutex<Vec<Unfinished>>,
    /// Handlers that events are held for because they are not registered.
    missing: Mutex<BTreeSet<HandlerName>>,
    pub(super) completed: Completed,
}

/// What a dispatcher is made of. The inbox is attached.
pub(crate) struct Parts {
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) handlers: Handlers,
    pub(crate) counters: Arc<Counters>,
    pub(crate) hooks: Arc<Hooks>,
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

impl Dispatch {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts {
            inbox,
            handlers,
            counters,
            hooks,
            clock,
            concurrency,
            lanes,
        } = parts;
        Self {
            inbox,
            handlers,
            counters,
            hooks,
            clock,
            lanes,
            slots: concurrency,
            open: OpenJobs::default(),
            running: Arc::default(),
            draining: watch::Sender::new(false),
            attached: Mutex::new(true),
            abandoned: AtomicBool::new(false),
            left_failed: Mutex::default(),
            missing: Mutex::default(),
            completed: Completed::new(RESOURCES),
        }
    }

    /// How many handlers run, those included whose thread goes on after their time was over.
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn count_run(&self) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(&self.running))
    }

    /// From here on a failure is the last word where nothing outlives the process.
    pub(crate) fn drain(&self) {
        self.draining.send_replace(true);
        self.close();
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Ends when a shutdown begins.
    pub(super) fn drained(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // Cannot fail: whoever waits has this dispatcher.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }

    /// Nothing new is to be taken. Once the pump has ended the inbox may be another receiver's.
    pub(crate) fn close(&self) {
        let attached = self.attached();
        if *attached {
            self.inbox.close();
        }
    }

    /// Nobody takes from the inbox any more.
    pub(crate) fn detach(&self) {
        let mut attached = self.attached();
        if std::mem::take(&mut *attached) {
            self.inbox.detach();
        }
    }

    /// Held for as long as what it says must be true.
    fn attached(&self) -> MutexGuard<'_, bool> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pump has ended with its runtime, or by a panic of the inbox: nobody handles what is kept from
    /// here on, so an inbox that loses it must refuse.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
        tracing::warn!(
            durable = self.is_durable(),
            "the handlers' runtime has ended before the receiver was shut down: nothing is handled any more, and what an inbox in memory holds is lost"
        );
        let end = AssertUnwindSafe(|| {
            self.close();
            // What a memory inbox holds is still to be reported by a shutdown.
            if self.is_durable() {
                self.open.release_all(&*self.inbox);
                self.detach();
            }
        });
        if let Err(payload) = catch_unwind(end) {
            std::mem::forget(payload);
        }
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Whether what is kept outlives the process.
    pub(crate) fn is_durable(&self) -> bool {
        self.inbox.promises().durability != Durability::Process
    }

    pub(super) fn loses_what_waits(&self) -> bool {
        self.is_draining() && !self.is_durable()
    }

    pub(super) fn begin(&self, id: JobId, taken: &Taken) -> Running {
        self.open.begin(id, taken);
        self.count_run()
    }

    /// Whoever closes an open job settles it: here, or the end of a drain.
    pub(super) fn settle(&self, id: JobId, taken: &Taken, outcome: Settled) -> bool {
        let closed = self.open.close(id);
        if closed {
            self.inbox.settle(taken, outcome);
        }
        closed
    }

    pub(super) fn missing(&self) -> MutexGuard<'_, BTreeSet<HandlerName>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leave_failed(&self, taken: &Taken) {
        let left = Unfinished::new(taken.clone(), JobState::Failed);
        self.left_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(left);
    }

    /// What was not done, when the time is over. With an inbox that loses nothing, only what runs: the
    /// rest stays there.
    pub(crate) fn unfinished(&self) -> Vec<Unfinished> {
        self.tell_unfinished(|| {})
    }

    /// The same, and all of it is in the inbox again.
    pub(super) fn release(&self) -> Vec<Unfinished> {
        self.tell_unfinished(|| self.open.release_all(&*self.inbox))
    }

    /// Lets go of what was taken before what is found in the inbox is put back: so it is handed out in its
    /// order again.
    fn tell_unfinished(&self, let_go: impl FnOnce()) -> Vec<Unfinished> {
        let mut unfinished = self.open.unfinished(!self.is_durable());
        unfinished.extend(self.left_behind(let_go));
        let mut failed = self
            .left_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        unfinished.append(&mut failed);
        unfinished
    }

    /// What is left in an inbox that loses it with the process.
    fn left_behind(&self, let_go: impl FnOnce()) -> Vec<Unfinished> {
        let mut jobs = Vec::new();
        let attached = self.attached();
        if !self.is_durable() && *attached {
            while let Some(taken) = self.inbox.take(BATCH).now_or_never() {
                if taken.is_empty() {
                    break;
                }
                jobs.extend(taken);
            }
        }
        let_go();
        // Back again: another receiver may be built on this inbox.
        let back = jobs.into_iter().map(|job| {
            self.inbox.settle(&job, Settled::Released);
            let state = JobState::before_a_run(&job);
            Unfinished::new(job, state)
        });
        back.collect()
    }
}

/// The inbox is free for another receiver, whatever became of this one.
impl Drop for Dispatch {
    fn drop(&mut self) {
        self.detach();
    }
}

#[cfg(test)]
mod tests;
