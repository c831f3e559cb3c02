//! Looking into an inbox, and having its events handled again.

mod error;
mod filter;
mod json;
mod mention;

use std::collections::VecDeque;
use std::time::SystemTime;

use async_trait::async_trait;

pub use self::error::{RecordsError, RecordsErrorKind};
pub use self::filter::RecordFilter;
pub use self::mention::{PhoneNumber, PhoneNumberError};
use super::Attempt;
use crate::event::HandlerName;
use crate::event::{Delivery, RecordId};

/// What an inbox that can be looked into gives and does; see
/// [`Inbox::records`](super::Inbox::records).
///
/// ```
/// use voipbin_receiver::inbox::{Inbox, MemoryInbox, RecordFilter, RecordState, Records, RecordsError};
///
/// /// Has all dead letters handled again.
/// async fn replay_dead(records: &dyn Records) -> Result<usize, RecordsError> {
///     let dead = RecordFilter::new().state(RecordState::Dead);
///     records.replay_all(&dead, None).await
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

    /// Up to `most` of the events that the filter takes, the latest first, from the one before
    /// `before` on. Only events whose bytes are still there.
    ///
    /// The default reads all events that there are; an inbox of many has a way of its own.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn latest(
        &self,
        filter: &RecordFilter,
        before: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        let (mut after, mut latest) = (None, VecDeque::new());
        loop {
            let page = self.list(filter, after, AT_ONCE).await?;
            let earlier = page.records.into_iter();
            latest.extend(earlier.filter(|record| before.is_none_or(|before| record.id < before)));
            // One more tells whether there is a next page.
            let surplus = latest.len().saturating_sub(most.saturating_add(1));
            latest.drain(..surplus);
            after = page
                .next
                .filter(|next| before.is_none_or(|before| *next < before));
            if after.is_none() {
                break;
            }
        }
        let more = latest.len() > most;
        let records: Vec<Record> = latest.into_iter().rev().take(most).collect();
        let last = records.last().map(|record| record.id);
        Ok(RecordPage::new(records, last.filter(|_| more)))
    }

    /// One event, or `None` when it is not there (any more).
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError>;

    /// Has an event handled again, from the bytes that were received: as a new event, linked to
    /// this one, whose attempts begin anew. It runs by these handlers, each once; with `None`, by
    /// those for which it is a dead letter or, if it never was one, by all that it was kept for.
    ///
    /// For these handlers the event is no dead letter any more from then on: [`Stage::Replayed`],
    /// or gone where an inbox keeps nothing but dead letters. If the replay fails too it is a dead
    /// letter of its own.
    ///
    /// # Errors
    ///
    /// When there is no such event, its dead letters were replayed before and no handlers are
    /// named, or it cannot be stored.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped the event may or may not be handled again.
    async fn replay(
        &self,
        id: RecordId,
        handlers: Option<&[HandlerName]>,
    ) -> Result<RecordId, RecordsError>;

    /// Has these events handled again, in this order, as [`replay`](Self::replay) does each. What
    /// came of each of them, in the same order. An inbox may store them together; the default is
    /// one after the other.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some of the events are handled again and others are not.
    async fn replay_many(
        &self,
        ids: &[RecordId],
        handlers: Option<&[HandlerName]>,
    ) -> Vec<Result<RecordId, RecordsError>> {
        let mut replays = Vec::with_capacity(ids.len());
        for id in ids {
            replays.push(self.replay(*id, handlers).await);
        }
        replays
    }

    /// Gives events up: their open jobs are not run any more, and their bytes are removed. A run
    /// that has begun goes on. Returns how many of them there were.
    ///
    /// The identities stay remembered.
    ///
    /// # Errors
    ///
    /// When this cannot be stored.
    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError>;

    /// Has all events handled again that the filter takes, in the order in which they were kept, as
    /// [`replay`](Self::replay) does each. Returns how many of them there were. What is kept while
    /// this runs is left out, so that it ends even if the replays fail at once.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written. What was replayed before stays so: with a filter
    /// for dead letters, a next call goes on with the others.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some of the events are handled again and others are not.
    async fn replay_all(
        &self,
        filter: &RecordFilter,
        handlers: Option<&[HandlerName]>,
    ) -> Result<usize, RecordsError> {
        let (mut after, mut replayed) = (None, 0);
        let mut first_new: Option<RecordId> = None;
        loop {
            let page = self.list(filter, after, AT_ONCE).await?;
            let found = page.records.iter().map(|record| record.id);
            let old: Vec<RecordId> = found
                .take_while(|id| first_new.is_none_or(|new| *id < new))
                .collect();
            let ends = old.len() < page.records.len();
            drop(page.records);
            let mut failed = None;
            for replay in self.replay_many(&old, handlers).await {
                match replay {
                    Ok(new) => {
                        replayed += 1;
                        first_new = Some(first_new.map_or(new, |first| first.min(new)));
                    }
                    Err(error) if error.kind() == RecordsErrorKind::Storage => failed = Some(error),
                    // Somebody else was faster.
                    Err(_) => {}
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            after = page.next;
            if ends || after.is_none() {
                return Ok(replayed);
            }
        }
    }

    /// Gives all events up that the filter takes, as [`discard`](Self::discard) does, and leaves
    /// nothing of them in the store's files but their identities, which tell nothing of them. For
    /// what somebody wants removed. Returns how many there were.
    ///
    /// ```
    /// use voipbin_receiver::inbox::{PhoneNumber, RecordFilter, Records, RecordsError};
    ///
    /// /// Removes whatever speaks of a number, as far as it has come by now.
    /// async fn forget(records: &dyn Records, number: PhoneNumber) -> Result<usize, RecordsError> {
    ///     records.erase(&RecordFilter::new().number(number)).await
    /// }
    /// # drop(forget);
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written, or somebody else who reads it keeps what was
    /// removed from being overwritten.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some of the events are given up and others are not.
    async fn erase(&self, filter: &RecordFilter) -> Result<usize, RecordsError> {
        self.discard_all(filter).await
    }

    /// Gives all events up that the filter takes, as [`discard`](Self::discard) does. Returns how
    /// many of them there were.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use voipbin_receiver::inbox::{RecordFilter, RecordState, Records, RecordsError};
    ///
    /// /// Removes what was finished a week ago.
    /// async fn purge(records: &dyn Records) -> Result<usize, RecordsError> {
    ///     let week_ago = SystemTime::now() - Duration::from_secs(7 * 24 * 3600);
    ///     let finished = RecordFilter::new().state(RecordState::Done).ended_before(week_ago);
    ///     records.discard_all(&finished).await
    /// }
    /// # drop(purge);
    /// ```
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written. What was given up before stays so.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some of the events are given up and others are not.
    async fn discard_all(&self, filter: &RecordFilter) -> Result<usize, RecordsError> {
        let (mut after, mut discarded) = (None, 0);
        loop {
            let page = self.list(filter, after, AT_ONCE).await?;
            let ids: Vec<RecordId> = page.records.iter().map(|record| record.id).collect();
            drop(page.records);
            if !ids.is_empty() {
                discarded += self.discard(&ids).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(discarded);
            }
        }
    }
}

/// How many events are read at once, with their bodies.
const AT_ONCE: usize = 64;

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
/// # use voipbin_receiver::inbox::{Incoming, Inbox, Jobs, MemoryInbox, Repeats, Room, Settled};
/// # use voipbin_receiver::handler::HandlerName;
/// # use voipbin_receiver::testing::{delivery, event};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let inbox = MemoryInbox::new();
/// # let jobs = Jobs::from_iter([HandlerName::new("crm")]);
/// # let delivery = delivery(event(voipbin_receiver::events::CallHangup).id("c-1"))?;
/// # inbox.keep(Incoming::new(delivery, jobs, Repeats::Drop)).await?;
/// # let consumer = inbox.consume()?;
/// # let jobs = consumer.take(Room::for_jobs(1)).await.unwrap_or_default();
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
    fn of(jobs: &[JobRecord]) -> Self {
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
            Self::Waiting { .. } => "waiting",
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
            Self::Queued | Self::Running { .. } | Self::Waiting { .. } | Self::Held => None,
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
