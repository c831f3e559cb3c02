use super::words::words;
use crate::event::{Delivery, HandlerName};
use crate::inbox::Job;

/// What a shutdown left undone.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "what is left is lost with the process unless the inbox is durable"]
pub struct ShutdownReport {
    /// The handlers that did not end well, those that ran first.
    pub unfinished: Vec<Unfinished>,
    /// Whether the inbox has stored how far everything has come. When it has not, because its disk
    /// is full or fails, handlers that ended well may run again in the next process.
    pub stored: bool,
    /// How many events are kept and not finished, those of `unfinished` included. An inbox that
    /// outlives the process has them for the next one; of one that several processes share they are
    /// all that there are.
    pub remaining: usize,
}

impl ShutdownReport {
    pub(crate) fn new(mut unfinished: Vec<Unfinished>, stored: bool, remaining: usize) -> Self {
        unfinished.sort_by_key(|left| left.state == JobState::Queued);
        Self {
            unfinished,
            stored,
            remaining,
        }
    }

    /// Whether nothing is lost and nothing need be done again: with the memory inbox, every kept
    /// event was handled to its end; with one that outlives the process, no run was cut short and
    /// all that ended is stored. What such an inbox still holds is for the next process.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unfinished.is_empty() && self.stored
    }

    /// Whether nothing is left: every kept event was handled to its end, and that is stored.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.is_clean() && self.remaining == 0
    }
}

/// A handler that did not run to its end for an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unfinished {
    /// The event.
    pub delivery: Delivery,
    /// The handler.
    pub handler: HandlerName,
    /// How far it had come.
    pub state: JobState,
}

impl Unfinished {
    pub(crate) fn new(job: &Job, state: JobState) -> Self {
        Self {
            delivery: job.delivery().clone(),
            handler: job.handler().clone(),
            state,
        }
    }
}

words! {
    /// How far a run had come.
    JobState {
        /// It had not begun, and never had before.
        Queued = "queued",
        /// It had begun: an async handler was dropped at an await, a blocking one goes on by
        /// itself.
        Running = "running",
        /// It had failed, with attempts left for which there is no more time.
        Failed = "failed",
    }
}

impl JobState {
    /// The state of a job that does not run now.
    pub(crate) fn before_a_run(job: &Job) -> Self {
        if job.attempts() == 0 {
            Self::Queued
        } else {
            Self::Failed
        }
    }
}
