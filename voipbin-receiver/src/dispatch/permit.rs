use std::any::Any;

use tokio::time::Instant;

use super::dispatcher::Dispatch;
use super::queue::JobKey;
use super::schedule::{QuarantineId, RunSlot};
use crate::handler::RunPermit;
use crate::inbox::{Job, Lease};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};

/// What a running job holds: its slot and its lane, given back when the last clone of the `Arc` is
/// dropped. A blocking handler's thread holds one, as it goes on after a timeout.
pub(super) struct JobPermit {
    dispatch: Arc<Dispatch>,
    slot: Option<RunSlot>,
    lease: Option<Arc<dyn Lease>>,
    /// Whether its handler was called, and is counted as running.
    begun: AtomicBool,
    /// The job, when it is to keep its lane until its next attempt at this time.
    next: Mutex<Option<(JobKey, Instant)>>,
}

impl JobPermit {
    pub(super) fn new(dispatch: Arc<Dispatch>, slot: RunSlot, job: &Job) -> Self {
        Self {
            dispatch,
            slot: Some(slot),
            lease: job.lease().cloned(),
            begun: AtomicBool::new(false),
            next: Mutex::default(),
        }
    }

    /// The quarantine of a poison suspect.
    pub(super) fn quarantine(&self) -> Option<QuarantineId> {
        self.slot.as_ref().and_then(RunSlot::quarantine)
    }

    /// Whether there is a lane to keep.
    pub(super) fn has_lane(&self) -> bool {
        self.slot.as_ref().is_some_and(RunSlot::has_lane)
    }

    /// The handler is called.
    pub(super) fn begin(&self, key: JobKey) {
        self.begun.store(true, Ordering::Relaxed);
        self.dispatch.begin(key);
    }

    /// The job keeps its lane after the run, until its retry.
    pub(super) fn retry_in_place(&self, key: JobKey, at: Instant) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, at));
    }
}

impl RunPermit for JobPermit {
    fn is_lost(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_lost())
    }

    fn lease(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self.lease.clone()?)
    }
}

impl Drop for JobPermit {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            let next = self.next.get_mut();
            let next = next.unwrap_or_else(PoisonError::into_inner).take();
            self.dispatch.end(slot, *self.begun.get_mut(), next);
        }
    }
}
