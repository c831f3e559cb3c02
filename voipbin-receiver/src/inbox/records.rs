//! Looking into an inbox, and having its events handled again.

mod error;
mod filter;
mod json;
mod mention;
mod record;

use std::collections::VecDeque;

use async_trait::async_trait;

pub use self::error::{RecordsError, RecordsErrorKind};
pub use self::filter::{ErrorFilter, RecordFilter};
pub use self::mention::{PhoneNumber, PhoneNumberError};
pub use self::record::{JobRecord, Record, RecordPage, RecordState, Stage};
use super::HandlerSet;
use crate::event::{HandlerName, RecordId};

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

    /// Has dead letters handled again: each of these events by those of these handlers for which it
    /// is one still, as [`replay`](Self::replay) does. So none is handled again twice, however
    /// often and by whomever this is called. What came of each, in the same order:
    /// [`RecordsErrorKind::Replayed`] where none of them is one any more.
    ///
    /// The default looks first and replays then: an inbox that several change at once does both in
    /// one step.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, some of them are handled again and others are not.
    async fn retry(&self, dead: &[(RecordId, HandlerSet)]) -> Vec<Result<RecordId, RecordsError>> {
        let mut retried = Vec::with_capacity(dead.len());
        for (id, handlers) in dead {
            retried.push(match self.get(*id).await {
                Ok(Some(record)) => {
                    let left = record.dead(|job| handlers.0.contains(&job.handler));
                    match left.is_empty() {
                        true => Err(RecordsError::replayed()),
                        false => self.replay(*id, Some(&left.0)).await,
                    }
                }
                Ok(None) => Err(RecordsError::not_found()),
                Err(error) => Err(error),
            });
        }
        retried
    }

    /// What [`swap_note`](Self::swap_note) kept last, in whichever process. The default is nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    async fn note(&self) -> Result<Option<String>, RecordsError> {
        Ok(None)
    }

    /// Compares and swaps: keeps the text `to`, as long as the events, where `from` is kept; `None`
    /// is no text. False where something else is kept, and nothing has changed: of several that
    /// swap the same text at once, in whichever processes, one succeeds.
    ///
    /// The inspector keeps in it what it is doing with many events, so that one process at a time
    /// does that, and another one goes on when that one ends.
    ///
    /// # Errors
    ///
    /// [`RecordsErrorKind::Unsupported`] where an inbox keeps none, which is the default;
    /// [`RecordsErrorKind::Storage`] when it cannot be stored.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the text may or may not be kept.
    async fn swap_note(&self, from: Option<&str>, to: Option<&str>) -> Result<bool, RecordsError> {
        let _ = (from, to);
        Err(RecordsError::unsupported())
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
