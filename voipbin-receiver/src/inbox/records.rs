//! Looking into an inbox, and having its events handled again.

use std::error::Error as StdError;
use std::fmt;
use std::time::SystemTime;

use async_trait::async_trait;

use super::Attempt;
use crate::catalog::EventType;
use crate::event::{Delivery, RecordId};
use crate::handler::HandlerName;

/// What an inbox that can be looked into gives and does; see [`Inbox::records`](super::Inbox::records).
///
/// ```
/// use voipbin_receiver::inbox::{Inbox, MemoryInbox, RecordFilter, RecordState, Records, RecordsError};
///
/// /// Has all dead letters handled again.
/// async fn replay_dead(records: &dyn Records) -> Result<usize, RecordsError> {
///     let dead = RecordFilter::new().state(RecordState::Dead);
///     let (mut after, mut replayed) = (None, 0);
///     loop {
///         let page = records.list(&dead, after, 100).await?;
///         for record in &page.records {
///             records.replay(record.id, None).await?;
///             replayed += 1;
///         }
///         after = page.next;
///         if after.is_none() {
///             return Ok(replayed);
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Records: Send + Sync {
    /// Up to `most` of the events that the filter takes, in the order in which they were kept, from
    /// the one after `after` on. Only events whose bytes are still there.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError>;

    /// One event, or `None` when it is not there (any more).
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError>;

    /// Has an event handled again, from the bytes that were received: as a new event, linked to this
    /// one, whose attempts begin anew. It runs by these handlers; with `None`, by those for which it
    /// is a dead letter or, if there are none, by all that it was kept for.
    ///
    /// # Errors
    ///
    /// When there is no such event or it cannot be stored.
    async fn replay(
        &self,
        id: RecordId,
        handlers: Option<&[HandlerName]>,
    ) -> Result<RecordId, RecordsError>;

    /// Gives events up: their open jobs are not run any more, and their bytes are removed. A run
    /// that has begun goes on. Returns how many of them there were.
    ///
    /// The identities stay remembered.
    ///
    /// # Errors
    ///
    /// When this cannot be stored.
    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError>;
}

/// An event in an inbox and how far it has come.
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
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordState {
    /// A handler has not ended with it.
    Pending,
    /// Every handler has ended with it, and at least one gave up.
    Dead,
    /// Every handler is done with it.
    Done,
}

impl RecordState {
    fn of(jobs: &[JobRecord]) -> Self {
        let ended = |job: &JobRecord| matches!(job.stage, Stage::Done { .. } | Stage::Dead { .. });
        if !jobs.iter().all(ended) {
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
    Waiting {
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
}

impl Stage {
    /// The stage in one word, as tools print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Waiting { .. } => "waiting",
            Self::Done { .. } => "done",
            Self::Dead { .. } => "dead",
        }
    }
}

/// Some of the events of an inbox.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordPage {
    /// The events.
    pub records: Vec<Record>,
    /// Where the next page begins: give it as `after`. `None` when this is the last one.
    pub next: Option<RecordId>,
}

impl RecordPage {
    /// A page.
    #[must_use]
    pub fn new(records: Vec<Record>, next: Option<RecordId>) -> Self {
        Self { records, next }
    }
}

/// Which events are meant; all of them by default.
#[derive(Clone, Debug, Default)]
#[must_use = "a filter does nothing by itself"]
pub struct RecordFilter {
    state: Option<RecordState>,
    handler: Option<HandlerName>,
    event_type: Option<EventType>,
    resource_id: Option<String>,
    received_before: Option<SystemTime>,
    received_after: Option<SystemTime>,
}

impl RecordFilter {
    /// All events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those in this state.
    pub fn state(mut self, state: RecordState) -> Self {
        self.state = Some(state);
        self
    }

    /// Those that this handler is for. Beside a state, those that are in it for this handler.
    pub fn handler(mut self, handler: HandlerName) -> Self {
        self.handler = Some(handler);
        self
    }

    /// Those of this type, under whatever name they came.
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type.canonical());
        self
    }

    /// Those of this resource, by `data.id`.
    pub fn resource_id(mut self, id: impl Into<String>) -> Self {
        self.resource_id = Some(id.into());
        self
    }

    /// Those that were received before this time.
    pub fn received_before(mut self, time: SystemTime) -> Self {
        self.received_before = Some(time);
        self
    }

    /// Those that were received at this time or after it.
    pub fn received_after(mut self, time: SystemTime) -> Self {
        self.received_after = Some(time);
        self
    }

    /// Whether this event is meant.
    #[must_use]
    pub fn takes(&self, record: &Record) -> bool {
        let delivery = &record.delivery;
        let received = delivery.received_at();
        let state = match &self.handler {
            None => Some(record.state),
            Some(handler) => {
                let mut jobs = record.jobs.iter();
                let job = jobs.find(|job| job.handler == *handler);
                job.map(|job| RecordState::of(std::slice::from_ref(job)))
            }
        };
        let Some(state) = state else { return false };
        self.state.is_none_or(|wanted| wanted == state)
            && self
                .event_type
                .as_ref()
                .is_none_or(|wanted| delivery.event_type().as_ref() == Some(wanted))
            && self
                .resource_id
                .as_deref()
                .is_none_or(|wanted| delivery.resource_id() == Some(wanted))
            && self.received_before.is_none_or(|before| received < before)
            && self.received_after.is_none_or(|after| received >= after)
    }
}

/// Why an inbox cannot be looked into, or an event not handled again.
#[derive(Debug)]
pub struct RecordsError {
    kind: RecordsErrorKind,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Why an inbox cannot be looked into, or an event not handled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordsErrorKind {
    /// There is no such event, or its bytes are gone.
    NotFound,
    /// The store cannot be read or written.
    Storage,
}

impl RecordsError {
    /// There is no such event.
    #[must_use]
    pub fn not_found() -> Self {
        Self {
            kind: RecordsErrorKind::NotFound,
            source: None,
        }
    }

    /// A failure of the store.
    pub fn storage(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: RecordsErrorKind::Storage,
            source: Some(source.into()),
        }
    }

    /// Why, to match on.
    #[must_use]
    pub fn kind(&self) -> RecordsErrorKind {
        self.kind
    }
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            RecordsErrorKind::NotFound => {
                "there is no such event in the inbox, or its bytes are gone"
            }
            RecordsErrorKind::Storage => "the inbox's store cannot be read or written",
        })
    }
}

impl StdError for RecordsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
