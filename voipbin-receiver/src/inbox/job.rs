use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::attempt::{Attempt, JobHistory};
use super::kept_event::KeptEvent;
use crate::event::{Delivery, HandlerName, RecordId};

/// A handler that is to run for an event, as a consumer takes it. Cheap to clone.
#[derive(Clone)]
pub struct Job {
    event: Arc<KeptEvent>,
    handler: HandlerName,
    token: u64,
    /// Only there when it ran before.
    history: Option<Arc<JobHistory>>,
    lease: Option<Arc<dyn Lease>>,
}

/// For how long a job is its consumer's, where that can end before it is settled: as with an inbox
/// that several processes share.
///
/// The inbox renews a lease by itself, for all jobs that its consumer holds. A job whose lease is
/// lost is not begun and not settled; a run is dropped at its next await, and one that blocks its
/// thread can ask [`Context::is_lost`](crate::Context::is_lost). An argument of handlers that
/// belongs to the inbox finds its own type by [`RunParts::lease`](crate::handler::RunParts::lease).
#[async_trait]
pub trait Lease: Any + fmt::Debug + Send + Sync {
    /// Whether somebody else may have the job by now. It is asked often and must not block: an
    /// inbox whose lease counts by time looks at a clock, one that goes on while the machine is
    /// suspended.
    fn is_lost(&self) -> bool;

    /// Ends when it is lost.
    async fn lost(&self);
}

impl Job {
    /// A job of this event that never ran. The token is the inbox's own, to find the job by when it
    /// is settled.
    #[must_use]
    pub fn new(event: Arc<KeptEvent>, handler: HandlerName, token: u64) -> Self {
        Self {
            event,
            handler,
            token,
            history: None,
            lease: None,
        }
    }

    /// Says what came of it so far.
    #[must_use]
    pub fn after(self, history: JobHistory) -> Self {
        let history = (history != JobHistory::default()).then(|| Arc::new(history));
        Self { history, ..self }
    }

    /// The same job after one more attempt that ended badly.
    #[must_use]
    pub fn after_failure(self, failed: Attempt) -> Self {
        let mut history = self.history().cloned().unwrap_or_default();
        history.fail(failed);
        self.after(history)
    }

    /// Says for how long it is its consumer's; without, until it is settled.
    #[must_use]
    pub fn under(self, lease: Arc<dyn Lease>) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
    }

    /// The event; the jobs of one event share it.
    #[must_use]
    pub fn event(&self) -> &Arc<KeptEvent> {
        &self.event
    }

    /// The number that the inbox gave the event.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.event.id()
    }

    /// What the inbox finds it by.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The same job under another token.
    #[must_use]
    pub fn with_token(self, token: u64) -> Self {
        Self { token, ..self }
    }

    /// The delivery, with the bytes that were verified.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        self.event.delivery()
    }

    /// The handler that is to run.
    #[must_use]
    pub fn handler(&self) -> &HandlerName {
        &self.handler
    }

    /// What came of this job so far, if anything.
    #[must_use]
    pub fn history(&self) -> Option<&JobHistory> {
        self.history.as_deref()
    }

    /// How many attempts at this job have begun before.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.history.as_ref().map_or(0, |history| history.attempts)
    }

    /// Whether the process died during the last attempt, and perhaps of it.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.history().is_some_and(|history| history.interrupted)
    }

    /// For how long it is its consumer's; `None` for until it is settled.
    #[must_use]
    pub fn lease(&self) -> Option<&Arc<dyn Lease>> {
        self.lease.as_ref()
    }

    /// Whether its lease is lost.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.is_lost())
    }

    /// How long its next attempt is still to wait, with its lane.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.history().and_then(|history| history.delay)
    }

    /// Whether the event may be a repeat; see [`Repeats::Mark`](super::Repeats::Mark).
    #[must_use]
    pub fn possible_repeat(&self) -> bool {
        self.event.possible_repeat()
    }

    /// The record that this event is a replay of.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.event.replay_of()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id())
            .field("delivery", self.delivery())
            .field("handler", &self.handler)
            .field("attempts", &self.attempts())
            .finish_non_exhaustive()
    }
}

/// What became of a job that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The handler returned without an error.
    Done,
    /// The attempt ended badly, and there is another one.
    Retry {
        /// The attempt.
        failed: Attempt,
        /// How long to wait for the next one.
        after: Duration,
        /// Whether the consumer keeps the job, with its lane, and makes the next attempt itself: it
        /// is settled again after that. When the consumer ends before, the next one gets the job in
        /// its place in the order, before later events, with the [time that is
        /// left](JobHistory::delay).
        ///
        /// Otherwise the job is handed out again when its time has come.
        in_place: bool,
    },
    /// There will be no further attempt: the job is a dead letter.
    Dead {
        /// The last attempt; `None` when there was none since the job was taken.
        failed: Option<Attempt>,
    },
    /// It did not run to its end, through no fault of its own, as at a shutdown. If an attempt had
    /// begun, it does not count.
    Released,
    /// No handler of this name is registered. An inbox that outlives the process keeps the job for
    /// a consumer that has one; it is handed out again to the next consumer. For any other it is a
    /// dead letter.
    Unroutable,
}
