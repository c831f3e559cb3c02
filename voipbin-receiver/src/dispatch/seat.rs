use tokio::sync::mpsc;

use super::job::Job;
use super::schedule::{Ticket, Trial};
use crate::sync::{Arc, Mutex, PoisonError};

/// What a run takes up, its slot and its lane: given back when the last clone of its `Arc` is dropped. A
/// blocking handler holds one in its thread, which goes on after the time for the run is over.
pub(super) struct Seat {
    ticket: Option<Ticket>,
    /// The job, when it is to keep its lane until its next attempt.
    delayed: Mutex<Option<Job>>,
    tell: mpsc::UnboundedSender<Told>,
}

/// What a run tells the pump.
pub(super) enum Told {
    /// It has ended.
    Ended(Ticket),
    /// It has ended, and its job keeps the lane.
    Delayed(Ticket, Job),
    /// The process has outlived it so far.
    Outlived(Trial),
}

impl Seat {
    pub(super) fn new(ticket: Ticket, tell: mpsc::UnboundedSender<Told>) -> Self {
        Self {
            ticket: Some(ticket),
            delayed: Mutex::default(),
            tell,
        }
    }

    /// The run of a suspect, if it is one.
    pub(super) fn trial(&self) -> Option<Trial> {
        self.ticket.as_ref().and_then(Ticket::trial)
    }

    pub(super) fn outlived(&self, trial: Trial) {
        let _ = self.tell.send(Told::Outlived(trial));
    }

    /// Whether there is a lane to keep.
    pub(super) fn has_lane(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::has_lane)
    }

    /// The job keeps its lane when the run is over.
    pub(super) fn delay(self: &Arc<Self>, job: Job) {
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        *delayed = Some(job);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let delayed = self.delayed.get_mut();
        let told = match delayed.unwrap_or_else(PoisonError::into_inner).take() {
            Some(job) => Told::Delayed(ticket, job),
            None => Told::Ended(ticket),
        };
        // Nobody listens when the pump is gone.
        let _ = self.tell.send(told);
    }
}
