use std::time::Duration;

use crate::catalog::EventType;
use crate::event::Delivery;
use crate::inbox::{AttemptEnd, Job, Settled};

/// One job that a [`TestReceiver`](super::TestReceiver) let run: which handler, for which event,
/// and how it ended.
#[derive(Clone, Debug)]
pub struct Step {
    job: Job,
    end: StepEnd,
    took: Duration,
}

/// How a [`Step`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepEnd {
    /// The handler returned without an error.
    Done,
    /// It did not run: it had completed a later state of the resource, and is registered with
    /// [`skip_stale`](crate::HandlerOptions::skip_stale).
    Skipped,
    /// The attempt failed, and there is another one.
    Retry {
        /// How it failed.
        failed: AttemptEnd,
        /// How long after.
        after: Duration,
    },
    /// There will be no further attempt: the event is a dead letter for this handler.
    Dead {
        /// How the last attempt failed; `None` when no attempt was left to begin with.
        failed: Option<AttemptEnd>,
    },
    /// No handler of this name is registered: the inbox keeps the job for a later process, or it is
    /// a dead letter.
    Unroutable,
    /// It did not run to its end, through no fault of its own: the inbox did not let it begin, or a
    /// shutdown cut it short. It is handed out again.
    Released,
    /// It runs still, after all the time that a step may take.
    Running,
}

impl Step {
    pub(super) fn running(job: Job, took: Duration) -> Self {
        Self {
            job,
            end: StepEnd::Running,
            took,
        }
    }

    /// What became of a job; the time is that of its run, if there was one.
    pub(super) fn settled(job: Job, outcome: Settled, took: Option<Duration>) -> Self {
        let end = match outcome {
            Settled::Done if took.is_some() => StepEnd::Done,
            Settled::Done => StepEnd::Skipped,
            Settled::Retry { failed, after, .. } => StepEnd::Retry {
                failed: failed.ended,
                after,
            },
            Settled::Dead { failed } => StepEnd::Dead {
                failed: failed.map(|failed| failed.ended),
            },
            Settled::Released => StepEnd::Released,
            Settled::Unroutable => StepEnd::Unroutable,
        };
        let took = took.unwrap_or_default();
        Self { job, end, took }
    }

    pub(super) fn job(&self) -> &Job {
        &self.job
    }

    /// The handler's name.
    #[must_use]
    pub fn handler(&self) -> &str {
        self.job.handler().as_str()
    }

    /// The event.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        self.job.delivery()
    }

    /// The type of the event under its current name; `None` for a custom delivery.
    #[must_use]
    pub fn event_type(&self) -> Option<EventType> {
        self.delivery().event_type()
    }

    /// Which attempt of the handler at this event it is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.job.attempts().saturating_add(1)
    }

    /// How it ended.
    #[must_use]
    pub fn end(&self) -> &StepEnd {
        &self.end
    }

    /// How long it took, by tokio's clock; zero when it did not run.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Whether the handler returned without an error.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.end == StepEnd::Done
    }

    /// Whether the event is now a dead letter for this handler.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        matches!(self.end, StepEnd::Dead { .. })
    }

    /// How long the handler waits for its next attempt, where it failed and has one.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self.end {
            StepEnd::Retry { after, .. } => Some(after),
            _ => None,
        }
    }
}
