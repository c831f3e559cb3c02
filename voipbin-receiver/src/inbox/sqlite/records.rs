//! Looking into the inbox and changing what is in it, in the process that has it.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::batch::{Batch, With};
use super::requests::{Answer, Ask, MOST, Refused};
use super::row::{self, JobStage, REPEAT, State};
use super::shared::Shared;
use super::store_error::{StoreError, StoreErrorKind};
use super::view::{First, Page, View};
use super::{DiskInbox, Handle};
use crate::event::HandlerName;
use crate::event::RecordId;
use crate::inbox::{
    Jobs, Record, RecordFilter, RecordPage, Records, RecordsError, RecordsErrorKind,
};

impl From<StoreError> for RecordsError {
    fn from(error: StoreError) -> Self {
        Self::storage(error)
    }
}

/// The number that comes after this one.
pub(super) fn after(id: Option<RecordId>) -> i64 {
    id.map_or(1, |id| id.get().cast_signed().saturating_add(1))
}

/// As many events as are wanted, from pages that each take a moment.
pub(super) async fn list<F>(
    most: usize,
    from: i64,
    page: impl Fn(i64, usize) -> F,
) -> Result<RecordPage, RecordsError>
where
    F: Future<Output = Result<Page, RecordsError>>,
{
    let (mut records, mut next) = (Vec::new(), Some(from));
    while let Some(from) = next {
        // One more tells whether there is a next page.
        let wanted = most.saturating_add(1) - records.len();
        if wanted == 0 {
            break;
        }
        let page = page(from, wanted).await?;
        records.extend(page.records);
        next = page.next;
    }
    let more = records.len() > most;
    records.truncate(most);
    let last = records.last().map(|record: &Record| record.id);
    Ok(RecordPage::new(records, last.filter(|_| more)))
}

#[async_trait]
impl Records for DiskInbox {
    async fn list(
        &self,
        filter: &RecordFilter,
        from: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        self.stored().await;
        list(most, after(from), |from, most| {
            self.page(filter, First::Earliest, from, most)
        })
        .await
    }

    async fn latest(
        &self,
        filter: &RecordFilter,
        before: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        self.stored().await;
        let from = before.map_or(i64::MAX, |id| id.get().cast_signed().saturating_sub(1));
        list(most, from, |from, most| {
            self.page(filter, First::Latest, from, most)
        })
        .await
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
        self.stored().await;
        let shared = Arc::clone(self.shared());
        let read = self.read(move |connection| {
            let is_held = |seq, handler: &HandlerName| is_held(&shared, seq, handler);
            let view = View {
                wall: &|at| shared.time.wall(at),
                is_held: &is_held,
                orphaned: false,
            };
            view.one(connection, id.get().cast_signed())
        });
        Ok(read.await?)
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
        let mut replays = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOST) {
            let (numbers, by) = (some.to_vec(), handlers.map(<[HandlerName]>::to_vec));
            let written = self.write(move |batch| {
                let each = numbers.into_iter();
                each.map(|id| replay(batch, id, by.as_deref()))
                    .collect::<Result<Vec<_>, _>>()
            });
            match written.await {
                Ok(some) => replays.extend(some.into_iter().map(|replay| {
                    replay.map_err(|kind| match kind {
                        RecordsErrorKind::Replayed => RecordsError::replayed(),
                        _ => RecordsError::not_found(),
                    })
                })),
                Err(_) => {
                    let failed = || Err(RecordsError::storage("the write failed"));
                    replays.extend(some.iter().map(|_| failed()));
                }
            }
        }
        replays
    }

    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError> {
        let mut discarded = 0;
        for some in ids.chunks(MOST) {
            let some = some.to_vec();
            let written = self.write(move |batch| {
                let each = some
                    .into_iter()
                    .map(|id| batch.discard(id.get().cast_signed()));
                Ok(each
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .filter(|was| *was)
                    .count())
            });
            discarded += written.await?;
        }
        Ok(discarded)
    }

    async fn erase(&self, filter: &RecordFilter) -> Result<usize, RecordsError> {
        self.stored().await;
        let mut erased = 0;
        let mut next = Some(1);
        while let Some(from) = next {
            let page = self.page(filter, First::Earliest, from, MOST).await?;
            erased += self.discard(&found(&page)).await?;
            next = page.next;
        }
        truncate(|| async { Ok(self.truncate().await?) }).await?;
        Ok(erased)
    }
}

/// All that a page found, what is damaged too.
pub(super) fn found(page: &Page) -> Vec<RecordId> {
    let damaged = page
        .damaged
        .iter()
        .map(|seq| RecordId::new(seq.cast_unsigned()));
    page.records
        .iter()
        .map(|record| record.id)
        .chain(damaged)
        .collect()
}

/// Tries until nothing reads the write-ahead log any more that the removed bytes are in.
pub(super) async fn truncate<F>(truncate: impl Fn() -> F) -> Result<(), RecordsError>
where
    F: Future<Output = Result<bool, RecordsError>>,
{
    const TRIES: usize = 50;
    const PAUSE: Duration = Duration::from_millis(100);
    for _ in 0..TRIES {
        if truncate().await? {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(RecordsError::storage(
        "the events are removed, but a process that reads the inbox keeps them in its write-ahead log: end it and \
         erase once more",
    ))
}

impl DiskInbox {
    async fn page(
        &self,
        filter: &RecordFilter,
        first: First,
        from: i64,
        most: usize,
    ) -> Result<Page, RecordsError> {
        let (shared, filter) = (Arc::clone(self.shared()), filter.clone());
        let read = self.read(move |connection| {
            let is_held = |seq, handler: &HandlerName| is_held(&shared, seq, handler);
            let view = View {
                wall: &|at| shared.time.wall(at),
                is_held: &is_held,
                orphaned: false,
            };
            view.page(connection, &filter, first, from, most)
        });
        Ok(read.await?)
    }

    /// Does what a tool asks for.
    pub(super) async fn carry_out(&self, ask: Ask) -> Answer {
        let ids = |ids: Vec<u64>| ids.into_iter().map(RecordId::new).collect::<Vec<_>>();
        match ask {
            Ask::Replay { ids: of, handlers } => {
                let handlers: Option<Vec<_>> =
                    handlers.map(|names| names.iter().map(|name| HandlerName::new(name)).collect());
                let replays = self.replay_many(&ids(of), handlers.as_deref()).await;
                let told = replays.into_iter().map(|replay| match replay {
                    Ok(id) => Ok(id.get()),
                    Err(error) => Err(match error.kind() {
                        RecordsErrorKind::NotFound => Refused::NotFound,
                        RecordsErrorKind::Replayed => Refused::Replayed,
                        RecordsErrorKind::Storage => Refused::Storage,
                    }),
                });
                Answer::Replayed(told.collect())
            }
            Ask::Discard { ids: of } => match self.discard(&ids(of)).await {
                Ok(discarded) => Answer::Discarded(discarded),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Ask::Truncate => match self.truncate().await {
                Ok(truncated) => Answer::Truncated(truncated),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Ask::Held => {
                let held = self.shared().ready().held_by();
                Answer::Held(held.iter().map(|name| name.as_str().to_owned()).collect())
            }
        }
    }
}

/// What carries the requests of tools out as long as there is a handle.
pub(super) fn carry_out(handle: Weak<Handle>) -> impl Fn(Ask) -> Answer {
    move |ask| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        match (handle.upgrade(), runtime) {
            (Some(handle), Ok(runtime)) => runtime.block_on(DiskInbox(handle).carry_out(ask)),
            (None, _) => Answer::Failed("the inbox is being closed: try again".into()),
            (_, Err(error)) => Answer::Failed(error.to_string()),
        }
    }
}

fn is_held(shared: &Shared, seq: i64, handler: &HandlerName) -> bool {
    shared.ready().is_held(seq.cast_unsigned(), handler)
}

/// Adds an event again, for the handlers that gave up or for these.
fn replay(
    batch: &mut Batch<'_>,
    id: RecordId,
    by: Option<&[HandlerName]>,
) -> Result<Result<RecordId, RecordsErrorKind>, StoreError> {
    let seq = id.get().cast_signed();
    let read = batch.event(seq).and_then(|event| match event {
        Some(event) if event.state != State::Gone => {
            let delivery = event.delivery(row::body(batch.connection(), seq)?)?;
            Ok(Some((event, delivery)))
        }
        _ => Ok(None),
    });
    let (event, delivery) = match read {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Err(RecordsErrorKind::NotFound)),
        Err(error) if error.kind() == StoreErrorKind::Damaged => {
            return Ok(Err(RecordsErrorKind::NotFound));
        }
        Err(error) => return Err(error),
    };
    let Some(list) = batch.list(event.handlers) else {
        return Ok(Err(RecordsErrorKind::NotFound));
    };
    let rows = row::jobs(batch.connection(), seq)?;
    let in_stage = |stage| {
        let ids: BTreeSet<i64> = rows
            .iter()
            .filter(|row| row.stage == stage)
            .map(|row| row.handler)
            .collect();
        let named = list
            .ids
            .iter()
            .zip(&list.jobs)
            .filter(move |(id, _)| ids.contains(id));
        named.map(|(_, name)| name.clone()).collect::<Jobs>()
    };
    let dead = in_stage(JobStage::Dead);
    let jobs = match by {
        Some(by) => by.iter().cloned().collect(),
        None if !dead.is_empty() => dead,
        None if !in_stage(JobStage::Replayed).is_empty() => {
            return Ok(Err(RecordsErrorKind::Replayed));
        }
        None => list.jobs.clone(),
    };
    let with = With {
        marks: true,
        possible_repeat: event.has(REPEAT),
        lane: event.lane(),
        parent: Some(id),
        span: None,
    };
    let new = batch.insert(&delivery, &jobs, with)?;
    let places = jobs.iter().filter_map(|name| list.place(name));
    let ids: Vec<i64> = places
        .filter_map(|place| list.ids.get(place).copied())
        .collect();
    batch.replayed(seq, &ids)?;
    Ok(Ok(new))
}

#[cfg(test)]
mod tests;
