//! What is known of an event in an inbox.

use std::time::SystemTime;

use crate::event::{Delivery, HandlerName, RecordId};
use crate::inbox::{Attempt, HandlerSet};

/// An event in an inbox and how far it has come.
///
/// As JSON it is one object, with the fields `id`, `state`, `event`, `resource_id` (hashed where it
/// lets its holder act), `identity`, `received_at`, `signed`, `content_type`, `bytes`, `replay_of`,
/// `failed_attempts`, `last_error`, `jobs` with the `history` of each, and `body`: the text that
/// was received, which is personal data. An export as JSON lines:
///
/// ```
/// use std::io::Write;
/// use voipbin_receiver::inbox::{RecordFilter, Records};
///
/// async fn export(
///     records: &dyn Records,
///     filter: &RecordFilter,
///     mut to: impl Write,
/// ) -> Result<(), Box<dyn std::error::Error>> {
///     let mut after = None;
///     loop {
///         let page = records.list(filter, after, 100).await?;
///         for record in &page.records {
///             writeln!(to, "{}", serde_json::to_string(record)?)?;
///         }
///         after = page.next;
///         if after.is_none() {
///             return Ok(());
///         }
///     }
/// }
/// # use voipbin_receiver::inbox::{Incoming, Inbox, HandlerSet, MemoryInbox, Repeats, Prefetch, Settled};
/// # use voipbin_receiver::handler::HandlerName;
/// # use voipbin_receiver::testing::{delivery, event};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let inbox = MemoryInbox::new();
/// # let jobs = HandlerSet::from_iter([HandlerName::new("crm")]);
/// # let delivery = delivery(event(voipbin_receiver::events::CallHangup).id("c-1"))?;
/// # inbox.keep(Incoming::new(delivery, jobs, Repeats::Drop)).await?;
/// # let consumer = inbox.consume()?;
/// # let jobs = consumer.take(Prefetch::for_jobs(1)).await.unwrap_or_default();
/// # consumer.settle(&jobs[0], Settled::Dead { failed: None });
/// # let mut lines = Vec::new();
/// # export(&inbox, &RecordFilter::new(), &mut lines).await?;
/// # let line: serde_json::Value = serde_json::from_slice(&lines)?;
/// # assert_eq!((&line["state"], &line["resource_id"]), (&"dead".into(), &"c-1".into()));
/// # assert_eq!(line["body"].as_str().map(str::as_bytes), Some(&**jobs[0].delivery().body()));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Its number.
    pub id: RecordId,
    /// The delivery, with the bytes that were received.
    pub delivery: Delivery,
    /// The event that this is a replay of.
    pub replay_of: Option<RecordId>,
    /// How far it has come.
    pub state: RecordState,
    /// The handlers that it was kept for.
    pub jobs: Vec<JobRecord>,
}

impl Record {
    /// A record. Its state follows from the jobs.
    #[must_use]
    pub fn new(
        id: RecordId,
        delivery: Delivery,
        replay_of: Option<RecordId>,
        jobs: Vec<JobRecord>,
    ) -> Self {
        Self {
            id,
            delivery,
            replay_of,
            state: RecordState::of(&jobs),
            jobs,
        }
    }

    /// The handlers for which it is a dead letter, of those that are meant.
    pub(crate) fn dead(&self, is_meant: impl Fn(&JobRecord) -> bool) -> HandlerSet {
        let dead = self
            .jobs
            .iter()
            .filter(|job| matches!(job.stage, Stage::Dead { .. }));
        dead.filter(|job| is_meant(job))
            .map(|job| job.handler.clone())
            .collect()
    }

    /// When the last of its handlers ended with it; `None` while one has not.
    #[must_use]
    pub fn ended_at(&self) -> Option<SystemTime> {
        let ends: Option<Vec<_>> = self.jobs.iter().map(|job| job.stage.ended_at()).collect();
        ends?.into_iter().max()
    }
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordState {
    /// A handler has not ended with it.
    Pending,
    /// Every handler has ended with it, and at least one gave up.
    Dead,
    /// Every handler is done with it, or it was replayed for those that gave up.
    Done,
}

impl RecordState {
    pub(super) fn of(jobs: &[JobRecord]) -> Self {
        if !jobs.iter().all(|job| job.stage.has_ended()) {
            Self::Pending
        } else if jobs
            .iter()
            .any(|job| matches!(job.stage, Stage::Dead { .. }))
        {
            Self::Dead
        } else {
            Self::Done
        }
    }

    /// The state in one word, as tools print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Done => "done",
        }
    }
}

/// A handler for an event, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobRecord {
    /// The handler.
    pub handler: HandlerName,
    /// Where it stands.
    pub stage: Stage,
    /// How many attempts ended badly.
    pub attempts: u32,
    /// The attempts that ended badly, the latest last; an inbox may keep only so many of them.
    pub history: Vec<Attempt>,
}

impl JobRecord {
    /// A job without attempts.
    #[must_use]
    pub fn new(handler: HandlerName, stage: Stage) -> Self {
        Self {
            handler,
            stage,
            attempts: 0,
            history: Vec::new(),
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// It waits for its turn.
    Queued,
    /// An attempt has begun.
    Running {
        /// When.
        since: SystemTime,
    },
    /// It failed and waits for its next attempt.
    Delayed {
        /// Until when.
        until: SystemTime,
    },
    /// The handler ended well.
    Done {
        /// When.
        at: SystemTime,
    },
    /// It is a dead letter.
    Dead {
        /// Since when.
        at: SystemTime,
    },
    /// It was a dead letter, and the event was replayed for this handler.
    Replayed {
        /// When.
        at: SystemTime,
    },
    /// No handler of this name is registered: it waits for a receiver that has one.
    Held,
}

impl Stage {
    /// The stage in one word, as tools print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Delayed { .. } => "delayed",
            Self::Done { .. } => "done",
            Self::Dead { .. } => "dead",
            Self::Replayed { .. } => "replayed",
            Self::Held => "held",
        }
    }

    /// Whether the handler will not run for this event any more.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        self.ended_at().is_some()
    }

    /// When it ended: done, dead or replayed.
    #[must_use]
    pub const fn ended_at(self) -> Option<SystemTime> {
        match self {
            Self::Done { at } | Self::Dead { at } | Self::Replayed { at } => Some(at),
            Self::Queued | Self::Running { .. } | Self::Delayed { .. } | Self::Held => None,
        }
    }
}

/// Some of the events of an inbox.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordPage {
    /// The events.
    pub records: Vec<Record>,
    /// Where the next page begins: give it as `after`, or as `before` where the latest come first.
    /// `None` when this is the last one.
    pub next: Option<RecordId>,
}

impl RecordPage {
    /// A page.
    #[must_use]
    pub fn new(records: Vec<Record>, next: Option<RecordId>) -> Self {
        Self { records, next }
    }
}
