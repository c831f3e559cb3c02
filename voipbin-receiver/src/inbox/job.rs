use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tracing::Span;

use crate::event::HandlerName;
use crate::event::{Delivery, Lane, RecordId};

/// A kept event as an inbox hands it out: what the jobs of all its handlers share.
#[derive(Debug)]
pub struct KeptEvent {
    id: u64,
    delivery: Delivery,
    lane: Option<Lane>,
    details: Option<Box<Details>>,
}

/// What few events have.
#[derive(Debug)]
struct Details {
    possible_repeat: bool,
    replay_of: Option<RecordId>,
    span: Span,
}

static NO_SPAN: Span = Span::none();

impl KeptEvent {
    /// An event under a number of the inbox's own, in no lane and no span.
    #[must_use]
    pub fn new(id: u64, delivery: Delivery) -> Self {
        Self {
            id,
            delivery,
            lane: None,
            details: None,
        }
    }

    /// Sets the lane that it was kept with.
    #[must_use]
    pub fn in_lane(self, lane: Option<Lane>) -> Self {
        Self { lane, ..self }
    }

    /// Marks it as one whose bytes came shortly before; see
    /// [`Repeats::Mark`](super::Repeats::Mark).
    #[must_use]
    pub fn marked(mut self, possible_repeat: bool) -> Self {
        if possible_repeat != self.possible_repeat() {
            self.details_mut().possible_repeat = possible_repeat;
        }
        self
    }

    /// Says that it is a replay of another event.
    #[must_use]
    pub fn replaying(mut self, original: Option<RecordId>) -> Self {
        if original != self.replay_of() {
            self.details_mut().replay_of = original;
        }
        self
    }

    /// Sets the span that follows the delivery, where it is still there.
    #[must_use]
    pub fn within(mut self, span: Span) -> Self {
        if !(span.is_disabled() && self.span().is_disabled()) {
            self.details_mut().span = span;
        }
        self
    }

    /// The number that the inbox gave it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The delivery, with the bytes that were verified.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// The lane that it was kept with. Events of one lane do not overlap, for each handler.
    #[must_use]
    pub fn lane(&self) -> Option<Lane> {
        self.lane
    }

    /// The record that it is a replay of.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.details.as_ref()?.replay_of
    }

    fn possible_repeat(&self) -> bool {
        let details = self.details.as_ref();
        details.is_some_and(|details| details.possible_repeat)
    }

    fn span(&self) -> &Span {
        let details = self.details.as_ref();
        details.map_or(&NO_SPAN, |details| &details.span)
    }

    fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_with(|| {
            Box::new(Details {
                possible_repeat: false,
                replay_of: None,
                span: Span::none(),
            })
        })
    }
}

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
/// thread can ask [`Context::is_lost`](crate::Context::is_lost).
#[async_trait]
pub trait Lease: fmt::Debug + Send + Sync {
    /// Whether somebody else may have the job by now. It is asked often and must not block: an
    /// inbox whose lease counts by time looks at a clock, one that goes on while the machine is
    /// suspended.
    fn is_lost(&self) -> bool;

    /// Ends when it is lost.
    async fn lost(&self);
}

/// What came of a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobHistory {
    /// How many attempts have begun.
    pub attempts: u32,
    /// Whether the process died during the last one.
    pub interrupted: bool,
    /// The attempts whose end is known, the latest last. An inbox may keep only so many of them.
    pub history: Vec<Attempt>,
    /// How long the next attempt is still to wait, of a job whose attempts are made
    /// [in place](Settled::Retry::in_place).
    pub delay: Option<Duration>,
}

impl JobHistory {
    /// An attempt has failed.
    pub fn fail(&mut self, attempt: Attempt) {
        self.attempts = self.attempts.saturating_add(1);
        self.interrupted = false;
        self.delay = None;
        self.add(attempt);
    }

    /// Adds an attempt that has ended. Of more than 16 the earliest are forgotten; they still
    /// count.
    pub fn add(&mut self, attempt: Attempt) {
        const MOST: usize = 16;
        if self.history.len() >= MOST {
            self.history.drain(..=self.history.len() - MOST);
        }
        self.history.push(attempt);
    }
}

/// One run of a handler for an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// When it began, by the machine's clock.
    pub began_at: SystemTime,
    /// How long it took. Zero where that is not known.
    pub took: Duration,
    /// How it ended.
    pub ended: AttemptEnd,
}

impl Attempt {
    /// An attempt that did not end well.
    #[must_use]
    pub fn new(began_at: SystemTime, took: Duration, ended: AttemptEnd) -> Self {
        Self {
            began_at,
            took,
            ended,
        }
    }
}

/// How an attempt ended that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// The handler returned this error, with its causes.
    Failed(String),
    /// It panicked.
    Panicked,
    /// It took too long.
    TimedOut,
    /// The process died while it ran, or when it was about to: its beginning was stored.
    Interrupted,
}

impl fmt::Display for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(error),
            Self::Panicked => f.write_str("it panicked"),
            Self::TimedOut => f.write_str("it took too long"),
            Self::Interrupted => f.write_str("the process died while it ran or was about to"),
        }
    }
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
        self.event.id
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
        &self.event.delivery
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

    /// The span that follows the delivery.
    #[must_use]
    pub fn span(&self) -> &Span {
        self.event.span()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.event.id)
            .field("delivery", &self.event.delivery)
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
