use tokio::sync::mpsc;

use super::job::Job;
use super::schedule::{Ticket, Trial};
use super::shared::Running;
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// What a run takes up, its slot and its lane: given back when the last clone of its `Arc` is dropped. A
/// blocking handler holds one in its thread, which goes on after the time for the run is over.
pub(super) struct Seat {
    ticket: Option<Ticket>,
    state: Mutex<State>,
    tell: mpsc::UnboundedSender<Told>,
}

#[derive(Default)]
struct State {
    /// While its handler runs.
    running: Option<Running>,
    /// The job, when it is to keep its lane until its next attempt.
    delayed: Option<Box<Job>>,
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
            state: Mutex::default(),
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

    /// The handler runs, and is counted until the seat is given back.
    pub(super) fn begin(&self, running: Running) {
        self.state().running = Some(running);
    }

    /// The job keeps its lane when the run is over.
    pub(super) fn delay(&self, job: Job) {
        self.state().delayed = Some(Box::new(job));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let state = self.state.get_mut();
        let State { running, delayed } =
            std::mem::take(state.unwrap_or_else(PoisonError::into_inner));
        drop(running);
        let told = match delayed {
            Some(job) => Told::Delayed(ticket, *job),
            None => Told::Ended(ticket),
        };
        // Nobody listens when the pump is gone.
        let _ = self.tell.send(told);
    }
}
