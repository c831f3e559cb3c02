//! Looking into the file: as of the last commit, whether or not the events are in memory.

use std::sync::PoisonError;

use async_trait::async_trait;
use tokio::sync::oneshot::{self, error::RecvError};
use tracing::Span;

use super::DiskInbox;
use super::convert;
use super::record::{Attempts, EventProgress, Head, JobStage};
use super::shared::{Command, New, Shared, Told};
use super::store::Loaded;
use super::store_error::{StoreError, StoreErrorKind};
use crate::event::RecordId;
use crate::handler::HandlerName;
use crate::inbox::{
    Incoming, JobRecord, Jobs, Record, RecordFilter, RecordPage, Records, RecordsError,
    RecordsErrorKind, Repeats, Stage,
};

/// How many rows are read at once.
const ROWS: usize = 16;

#[async_trait]
impl Records for DiskInbox {
    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        self.stored().await;
        // One more tells whether there is a next page.
        let wanted = most.saturating_add(1);
        let mut records = Vec::new();
        let mut from = after.map_or(1, |after| after.get().saturating_add(1));
        loop {
            let filter = filter.clone();
            let left = wanted - records.len();
            let page = self
                .read(move |shared| read(shared, from, left, |record| filter.takes(record)))
                .await;
            let (found, next) = told(page)?;
            records.extend(found);
            match next {
                Some(next) if records.len() < wanted => from = next,
                _ => break,
            }
        }
        let more = records.len() > most;
        records.truncate(most);
        let last = records.last().map(|record: &Record| record.id);
        Ok(RecordPage::new(records, last.filter(|_| more)))
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
        self.stored().await;
        self.read_one(id).await
    }

    async fn replay(
        &self,
        id: RecordId,
        handlers: Option<&[HandlerName]>,
    ) -> Result<RecordId, RecordsError> {
        let mut replays = self.replay_many(&[id], handlers).await;
        replays
            .pop()
            .unwrap_or_else(|| Err(RecordsError::not_found()))
    }

    async fn replay_many(
        &self,
        ids: &[RecordId],
        handlers: Option<&[HandlerName]>,
    ) -> Vec<Result<RecordId, RecordsError>> {
        self.stored().await;
        // All of them are read first: handed over together, they are stored together.
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let record = self.read_one(*id).await;
            found.push(record.and_then(|record| record.ok_or_else(RecordsError::not_found)));
        }
        let hand_over = |record: Record| {
            let (jobs, if_dead) = replayed_by(&record, handlers)?;
            let (told, kept) = oneshot::channel();
            self.shared().replay(New {
                incoming: Incoming::new(record.delivery, jobs, Repeats::Mark).within(Span::none()),
                possible_repeat: false,
                told: Told::Replay {
                    original: record.id,
                    if_dead,
                    told,
                },
            });
            Ok(kept)
        };
        let handed_over: Vec<_> = found
            .into_iter()
            .map(|record| record.and_then(hand_over))
            .collect();
        let mut replays = Vec::with_capacity(ids.len());
        for kept in handed_over {
            replays.push(match kept {
                Err(error) => Err(error),
                Ok(kept) => match kept.await {
                    Ok(Ok(replay)) => Ok(replay),
                    Ok(Err(RecordsErrorKind::Replayed)) => Err(RecordsError::replayed()),
                    Ok(Err(_)) => Err(RecordsError::storage("the write failed")),
                    Err(_) => Err(RecordsError::storage("the inbox's writer has ended")),
                },
            });
        }
        replays
    }

    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError> {
        let ids = ids.iter().map(|id| id.get()).collect();
        let (told, discarded) = oneshot::channel();
        self.shared().command(Command::Discard(ids, told));
        let discarded = discarded
            .await
            .map_err(|_| RecordsError::storage("the inbox's writer has ended"))?;
        match self.stored().await {
            true => Ok(discarded),
            false => Err(RecordsError::storage("the write failed")),
        }
    }
}

impl DiskInbox {
    async fn read_one(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
        let page = self
            .read(move |shared| read(shared, id.get(), 1, |record| record.id == id))
            .await;
        let (found, _) = told(page)?;
        Ok(found.into_iter().next())
    }
}

fn told<T>(read: Result<Result<T, StoreError>, RecvError>) -> Result<T, RecordsError> {
    let read = read.map_err(|_| RecordsError::storage("the read panicked"))?;
    read.map_err(RecordsError::storage)
}

/// The handlers that run for a replay, and whether only because they gave up before.
fn replayed_by(
    record: &Record,
    handlers: Option<&[HandlerName]>,
) -> Result<(Jobs, bool), RecordsError> {
    if let Some(handlers) = handlers {
        return Ok((handlers.iter().cloned().collect(), false));
    }
    let jobs = || record.jobs.iter();
    let dead = jobs().filter(|job| matches!(job.stage, Stage::Dead { .. }));
    let dead: Jobs = dead.map(|job| job.handler.clone()).collect();
    if !dead.is_empty() {
        return Ok((dead, true));
    }
    if jobs().any(|job| matches!(job.stage, Stage::Replayed { .. })) {
        return Err(RecordsError::replayed());
    }
    Ok((jobs().map(|job| job.handler.clone()).collect(), false))
}

/// Reads some rows from this number on, no more than are needed for so many events. Gives those that
/// are taken, never more, and the number that comes after the last row.
pub(super) fn read(
    shared: &Shared,
    from: u64,
    most: usize,
    takes: impl Fn(&Record) -> bool,
) -> Result<(Vec<Record>, Option<u64>), StoreError> {
    let stuck: Vec<u64> = shared.ready().stuck_rows().map(|(key, _)| key).collect();
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let store = store.as_ref().ok_or_else(StoreError::closed)?;
    let rows = store.rows(from, ROWS)?;
    let more = rows.len() == ROWS;
    let mut next = None;
    let mut records = Vec::new();
    for row in rows {
        let Loaded {
            key,
            heads,
            progress,
            has_bodies,
            ..
        } = row;
        next = Some(key.saturating_add(1).max(from));
        let Some(heads) = heads else { continue };
        if let Some(last) = heads.heads.last() {
            next = Some(last.seq.saturating_add(1).max(from));
        }
        // A row of a commit that failed may be in the file until the next one.
        if !has_bodies || !shared.index().has(key) {
            continue;
        }
        // It cannot be read, and trying it makes every other read fail until the file is open anew.
        if stuck.contains(&key) {
            continue;
        }
        let chunk = match store.chunk(key) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => continue,
            // A damaged row is told of where its events are handled.
            Err(error) if error.kind() == StoreErrorKind::Damaged && !store.is_broken() => continue,
            Err(error) => return Err(error),
        };
        let numbers = chunk.events.first().zip(chunk.events.last());
        let attempts = match numbers {
            Some(((first, _), (last, _))) => store.attempts(first.seq..=last.seq)?,
            None => continue,
        };
        let mut progress = progress
            .map(|progress| progress.events)
            .unwrap_or_default()
            .into_iter()
            .peekable();
        for (head, body) in chunk.events {
            while progress.next_if(|(seq, _)| *seq < head.seq).is_some() {}
            let progress = progress.next_if(|(seq, _)| *seq == head.seq);
            if head.seq < from || head.jobs.is_empty() {
                continue;
            }
            let progress = progress.map(|(_, progress)| progress);
            let attempts = attempts.get(&head.seq);
            let Some(mut jobs) = jobs(&head, &chunk.names, progress, attempts) else {
                continue;
            };
            let held = |job: &&mut JobRecord| {
                !job.stage.has_ended() && shared.index().is_held(head.seq, &job.handler)
            };
            for job in jobs.iter_mut().filter(held) {
                job.stage = Stage::Held;
            }
            let Some(delivery) = convert::delivery(&head, body) else {
                continue;
            };
            let replay_of = head.replay_of.map(RecordId::new);
            let record = Record::new(RecordId::new(head.seq), delivery, replay_of, jobs);
            if takes(&record) {
                records.push(record);
                if records.len() == most {
                    return Ok((records, None));
                }
            }
        }
    }
    Ok((records, next.filter(|_| more)))
}

/// `None` for an event that was given up.
fn jobs(
    head: &Head,
    names: &[HandlerName],
    progress: Option<EventProgress>,
    attempts: Option<&Attempts>,
) -> Option<Vec<JobRecord>> {
    let mut jobs: Vec<JobRecord> = head
        .jobs
        .iter()
        .filter_map(|place| names.get(usize::from(*place)))
        .map(|name| JobRecord::new(name.clone(), Stage::Queued))
        .collect();
    match progress {
        None => {}
        Some(EventProgress::Discarded { .. }) => return None,
        Some(EventProgress::Finished { at }) => {
            let at = convert::time(at);
            for (place, job) in (0..).zip(&mut jobs) {
                let last = attempts.and_then(|attempts| attempts.of(place).next_back());
                job.attempts = last.map_or(0, |(number, _)| number);
                job.history = convert::history(place, attempts);
                job.stage = Stage::Done { at };
            }
        }
        Some(EventProgress::Jobs(stored)) => {
            for ((place, job), stored) in (0..).zip(&mut jobs).zip(stored) {
                job.attempts = stored.attempts;
                if stored.attempts > 0 {
                    job.history = convert::history(place, attempts);
                }
                job.stage = match stored.stage {
                    JobStage::Queued => Stage::Queued,
                    JobStage::Begun { at } => Stage::Running {
                        since: convert::time(at),
                    },
                    JobStage::Waiting { since, millis, .. } => Stage::Waiting {
                        until: convert::time(since.saturating_add(millis)),
                    },
                    JobStage::Done { at } => Stage::Done {
                        at: convert::time(at),
                    },
                    JobStage::Dead { at } => Stage::Dead {
                        at: convert::time(at),
                    },
                    JobStage::Replayed { at } => Stage::Replayed {
                        at: convert::time(at),
                    },
                };
            }
        }
    }
    Some(jobs)
}

#[cfg(test)]
mod tests;
