use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::Span;

use crate::event::{Delivery, RecordId};
use crate::handler::HandlerName;
use crate::sync::atomic::{AtomicU32, Ordering};

/// A kept event as an inbox hands it out: what the runs of all its handlers share.
#[derive(Debug)]
pub struct Entry {
    id: u64,
    delivery: Delivery,
    possible_repeat: bool,
    replay_of: Option<RecordId>,
    open: AtomicU32,
    span: Span,
}

impl Entry {
    /// An event with this many jobs that are not done, under a number of the inbox's own, in no
    /// span.
    #[must_use]
    pub fn new(id: u64, delivery: Delivery, jobs: usize) -> Self {
        Self {
            id,
            delivery,
            possible_repeat: false,
            replay_of: None,
            open: AtomicU32::new(u32::try_from(jobs).unwrap_or(u32::MAX)),
            span: Span::none(),
        }
    }

    /// Marks it as one whose bytes came shortly before; see [`Repeats::Mark`](super::Repeats::Mark).
    #[must_use]
    pub fn marked(self, possible_repeat: bool) -> Self {
        Self {
            possible_repeat,
            ..self
        }
    }

    /// Says that it is a replay of another event.
    #[must_use]
    pub fn replaying(self, original: Option<RecordId>) -> Self {
        Self {
            replay_of: original,
            ..self
        }
    }

    /// Sets the span that follows the delivery, where it is still there.
    #[must_use]
    pub fn within(self, span: Span) -> Self {
        Self { span, ..self }
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

    /// The record that it is a replay of.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.replay_of
    }

    /// Counts one job as ended; true for the last one. For inboxes that keep no list of their own.
    #[must_use]
    pub fn settle_one(&self) -> bool {
        let counted = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| {
                open.checked_sub(1)
            });
        counted == Ok(1)
    }
}

/// A job that was handed out: a handler that is to run for an event. Cheap to clone.
#[derive(Clone)]
pub struct Taken {
    entry: Arc<Entry>,
    handler: HandlerName,
    /// Only there when it ran before.
    past: Option<Arc<Past>>,
}

/// What came of a job so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Past {
    /// How many attempts have begun.
    pub attempts: u32,
    /// Whether the process died during the last one.
    pub interrupted: bool,
    /// The attempts whose end is known, the latest last. An inbox may keep only so many of them.
    pub history: Vec<Attempt>,
    /// How long the next attempt is still to wait, of a job that was [delayed](Settled::Delayed) in its
    /// lane.
    pub wait: Option<Duration>,
}

impl Past {
    /// An attempt has failed.
    pub fn fail(&mut self, attempt: Attempt) {
        self.attempts = self.attempts.saturating_add(1);
        self.interrupted = false;
        self.wait = None;
        self.add(attempt);
    }

    /// Adds an attempt that has ended. Of more than 16 the earliest are forgotten; they still count.
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

impl Taken {
    /// A job of this event that never ran.
    #[must_use]
    pub fn new(entry: Arc<Entry>, handler: HandlerName) -> Self {
        Self {
            entry,
            handler,
            past: None,
        }
    }

    /// Says what came of it so far.
    #[must_use]
    pub fn after(self, past: Past) -> Self {
        let past = (past != Past::default()).then(|| Arc::new(past));
        Self { past, ..self }
    }

    /// The event; the jobs of one event share it.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// The number that the inbox gave the event.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// The delivery, with the bytes that were verified.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.entry.delivery
    }

    /// The handler that is to run.
    #[must_use]
    pub fn handler(&self) -> &HandlerName {
        &self.handler
    }

    /// What came of this job so far, if anything.
    #[must_use]
    pub fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    /// How many attempts at this job have begun before.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.past.as_ref().map_or(0, |past| past.attempts)
    }

    /// Whether the process died during the last attempt, and perhaps of it.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.past().is_some_and(|past| past.interrupted)
    }

    /// Whether the process died during the attempt before as well. Once can be chance.
    pub(crate) fn died_again(&self) -> bool {
        self.past().is_some_and(|past| {
            let last = past.history.iter().rev().take(2);
            let died = last.filter(|attempt| attempt.ended == AttemptEnd::Interrupted);
            past.interrupted && died.count() == 2
        })
    }

    /// How long it is still to wait, with its lane.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.past().and_then(|past| past.wait)
    }

    /// Whether the event may be a repeat; see [`Repeats::Mark`](super::Repeats::Mark).
    #[must_use]
    pub fn possible_repeat(&self) -> bool {
        self.entry.possible_repeat
    }

    /// The record that this event is a replay of.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.entry.replay_of
    }

    /// The span that follows the delivery.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.entry.span
    }
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taken")
            .field("id", &self.entry.id)
            .field("delivery", &self.entry.delivery)
            .field("handler", &self.handler)
            .field("attempts", &self.attempts())
            .finish_non_exhaustive()
    }
}

/// A job whose bytes the inbox keeps until its turn; see [`Inbox::park`](super::Inbox::park).
#[derive(Clone, Debug)]
pub struct Parked {
    id: u64,
    handler: HandlerName,
    past: Option<Arc<Past>>,
}

impl Parked {
    /// This job without its bytes.
    #[must_use]
    pub fn new(job: &Taken) -> Self {
        Self {
            id: job.id(),
            handler: job.handler.clone(),
            past: job.past.clone(),
        }
    }

    /// The number of its event.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &HandlerName {
        &self.handler
    }

    /// What came of it so far, if anything.
    #[must_use]
    pub fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    /// The job with its event again.
    #[must_use]
    pub fn with(&self, entry: Arc<Entry>) -> Taken {
        Taken {
            entry,
            handler: self.handler.clone(),
            past: self.past.clone(),
        }
    }
}

/// What became of a job that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settled {
    /// The handler returned without an error.
    Done,
    /// The attempt ended badly; the job is to be handed out again after this time.
    Retry {
        /// The attempt.
        failed: Attempt,
        /// How long to wait.
        after: Duration,
    },
    /// The attempt ended badly, and whoever took the job makes the next one after this time: it is not
    /// handed out again before it is [released](Self::Released) or put back. The next process gets it in
    /// its place in the order, before later events, with the [time that is left](Past::wait).
    Delayed {
        /// The attempt.
        failed: Attempt,
        /// How long to wait.
        after: Duration,
    },
    /// There will be no further attempt: the job is a dead letter.
    Dead {
        /// The last attempt; `None` when there was none since the job was handed out.
        failed: Option<Attempt>,
    },
    /// It did not run to its end, through no fault of its own, as at a shutdown. If an attempt had
    /// begun, it does not count.
    Released,
    /// No handler of this name is registered. The job stays, and is handed out again to the next
    /// receiver.
    Held,
}
