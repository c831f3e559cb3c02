//! Looking into the inbox and changing what is in it: in the process that has it, and beside it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::batch::{Attributes, Batch};
use super::error::{DiskInboxError, Result, unless_damaged};
use super::load::meta;
use super::requests::{MOST, ReplayError, Request, Response};
use super::row::{self, JobStage, REPEAT, State, record_id, seq_of};
use super::view::{Page, Query, Scan, View};
use super::{DiskInbox, DiskRecords, Handle};
use crate::event::{HandlerName, RecordId};
use crate::inbox::{
    HandlerSet, Record, RecordFilter, RecordPage, RecordState, Records, RecordsError,
};

impl From<DiskInboxError> for RecordsError {
    fn from(error: DiskInboxError) -> Self {
        Self::storage(error)
    }
}

/// Of [`Records::swap_note`], in the table `meta`.
const NOTE: &str = "note";

/// What the process that has the inbox and a tool beside it do each in a way of its own.
pub(super) trait Store: Sync {
    /// Some events, as of now.
    fn page(&self, query: Query) -> impl Future<Output = Result<Page, RecordsError>> + Send;

    /// Changes something, or tells what the file does not.
    fn execute(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Response, RecordsError>> + Send;
}

macro_rules! impl_records {
    ($($store:ty),*) => {$(
        #[async_trait]
        impl Records for $store {
            async fn list(
                &self,
                filter: &RecordFilter,
                after: Option<RecordId>,
                most: usize,
            ) -> Result<RecordPage, RecordsError> {
                let from = after.map_or(1, |id| seq_of(id).saturating_add(1));
                list(self, filter, Scan::Forward, from, most).await
            }

            async fn latest(
                &self,
                filter: &RecordFilter,
                before: Option<RecordId>,
                most: usize,
            ) -> Result<RecordPage, RecordsError> {
                let from = before.map_or(i64::MAX, |id| seq_of(id).saturating_sub(1));
                list(self, filter, Scan::Backward, from, most).await
            }

            async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
                let query = Query {
                    filter: RecordFilter::new(),
                    scan: Scan::Only,
                    from: seq_of(id),
                    most: 1,
                };
                Ok(self.page(query).await?.records.pop())
            }

            async fn replay(
                &self,
                id: RecordId,
                handlers: Option<&[HandlerName]>,
            ) -> Result<RecordId, RecordsError> {
                let replayed = self.replay_many(&[id], handlers).await.pop();
                replayed.unwrap_or_else(|| Err(RecordsError::not_found()))
            }

            async fn replay_many(
                &self,
                ids: &[RecordId],
                handlers: Option<&[HandlerName]>,
            ) -> Vec<Result<RecordId, RecordsError>> {
                let mut replays = Vec::with_capacity(ids.len());
                for some in ids.chunks(MOST) {
                    let request = Request::Replay {
                        ids: some.iter().copied().map(seq_of).collect(),
                        handlers: handlers.map(names),
                    };
                    replays.extend(replay_some(self, request, some.len()).await);
                }
                replays
            }

            async fn retry(
                &self,
                dead: &[(RecordId, HandlerSet)],
            ) -> Vec<Result<RecordId, RecordsError>> {
                let mut retried = Vec::with_capacity(dead.len());
                for some in dead.chunks(MOST) {
                    let each = some.iter().map(|(id, jobs)| (seq_of(*id), names(jobs)));
                    let request = Request::Retry {
                        dead: each.collect(),
                    };
                    retried.extend(replay_some(self, request, some.len()).await);
                }
                retried
            }

            async fn note(&self) -> Result<Option<String>, RecordsError> {
                match self.execute(Request::Note).await? {
                    Response::Note(note) => Ok(note),
                    _ => Err(unexpected()),
                }
            }

            async fn swap_note(
                &self,
                from: Option<&str>,
                to: Option<&str>,
            ) -> Result<bool, RecordsError> {
                let (from, to) = (from.map(str::to_owned), to.map(str::to_owned));
                match self.execute(Request::SwapNote { from, to }).await? {
                    Response::Swapped(swapped) => Ok(swapped),
                    _ => Err(unexpected()),
                }
            }

            async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError> {
                discard(self, ids.iter().copied().map(seq_of).collect()).await
            }

            async fn erase(&self, filter: &RecordFilter) -> Result<usize, RecordsError> {
                erase(self, filter).await
            }
        }
    )*};
}
impl_records!(DiskInbox, DiskRecords);

/// As many events as are wanted, from pages that each take a moment.
async fn list<S: Store>(
    store: &S,
    filter: &RecordFilter,
    scan: Scan,
    from: i64,
    most: usize,
) -> Result<RecordPage, RecordsError> {
    let (mut records, mut next) = (Vec::new(), Some(from));
    while let Some(from) = next
        && records.len() <= most
    {
        let query = Query {
            filter: filter.clone(),
            scan,
            from,
            // One more tells whether there is a next page.
            most: most.saturating_add(1) - records.len(),
        };
        let page = store.page(query).await?;
        records.extend(page.records);
        next = page.next;
    }
    let more = records.len() > most;
    records.truncate(most);
    let last = records.last().map(|record: &Record| record.id);
    Ok(RecordPage::new(records, last.filter(|_| more)))
}

fn names<'a>(handlers: impl IntoIterator<Item = &'a HandlerName>) -> Vec<String> {
    let handlers = handlers.into_iter();
    handlers.map(|name| name.as_str().to_owned()).collect()
}

async fn replay_some<S: Store>(
    store: &S,
    request: Request,
    count: usize,
) -> Vec<Result<RecordId, RecordsError>> {
    let failed = match store.execute(request).await {
        Ok(Response::Replayed(replayed)) if replayed.len() == count => {
            let each = replayed.into_iter().map(|replay| match replay {
                Ok(seq) => Ok(record_id(seq)),
                Err(ReplayError::NotFound) => Err(RecordsError::not_found()),
                Err(ReplayError::Replayed) => Err(RecordsError::replayed()),
            });
            return each.collect();
        }
        Ok(_) => unexpected(),
        Err(error) => error,
    };
    let why = failed.to_string();
    let each = (0..count).map(|_| Err(RecordsError::storage(why.clone())));
    each.collect()
}

async fn discard<S: Store>(store: &S, seqs: Vec<i64>) -> Result<usize, RecordsError> {
    let mut all = 0;
    for some in seqs.chunks(MOST) {
        let ids = some.to_vec();
        match store.execute(Request::Discard { ids }).await? {
            Response::Discarded(discarded) => all += discarded,
            _ => return Err(unexpected()),
        }
    }
    Ok(all)
}

async fn erase<S: Store>(store: &S, filter: &RecordFilter) -> Result<usize, RecordsError> {
    /// How often it is tried until nothing reads the write-ahead log any more that the removed
    /// bytes are in.
    const TRIES: usize = 50;
    const PAUSE: Duration = Duration::from_millis(100);
    let mut erased = 0;
    let mut next = Some(1);
    while let Some(from) = next {
        let query = Query {
            filter: filter.clone(),
            scan: Scan::Forward,
            from,
            most: MOST,
        };
        let Page {
            records,
            mut damaged,
            next: more,
        } = store.page(query).await?;
        damaged.extend(records.iter().map(|record| seq_of(record.id)));
        drop(records);
        erased += discard(store, damaged).await?;
        next = more;
    }
    for _ in 0..TRIES {
        match store.execute(Request::Truncate).await? {
            Response::Truncated(true) => return Ok(erased),
            Response::Truncated(false) => sleep(PAUSE).await,
            _ => return Err(unexpected()),
        }
    }
    Err(RecordsError::storage(
        "the events are removed, but a process that reads the inbox keeps them in its write-ahead log: end it and \
         erase once more",
    ))
}

fn unexpected() -> RecordsError {
    RecordsError::storage(
        "the process that has the inbox answers something else: use the tools of its release",
    )
}

impl Store for DiskInbox {
    async fn page(&self, mut query: Query) -> Result<Page, RecordsError> {
        self.stored().await;
        let shared = Arc::clone(self.shared());
        if query.filter.state == Some(RecordState::Pending)
            && !query.filter.is_of_jobs()
            && matches!(query.scan, Scan::Forward)
        {
            let first = shared.queue().first_pending(i64::MAX);
            query.from = query.from.max(first);
        }
        let read = self.read(move |connection| {
            let view = View {
                wall: &|at| shared.time.wall(at),
                is_held: &|seq, handler| shared.queue().is_held(seq, handler),
                orphaned: false,
            };
            view.page(connection, &query)
        });
        Ok(read.await?)
    }

    async fn execute(&self, request: Request) -> Result<Response, RecordsError> {
        self.stored().await;
        Ok(match request {
            Request::Replay { ids, handlers } => {
                let handlers: Option<Vec<_>> =
                    handlers.map(|names| names.iter().map(|name| HandlerName::new(name)).collect());
                let write = self.write(move |batch| {
                    let each = ids.into_iter();
                    each.map(|seq| replay(batch, seq, handlers.as_deref(), false))
                        .collect()
                });
                Response::Replayed(write.await?)
            }
            Request::Retry { dead } => {
                let write = self.write(move |batch| {
                    let each = dead.into_iter().map(|(seq, names)| {
                        let names = names.iter().map(|name| HandlerName::new(name));
                        replay(batch, seq, Some(&names.collect::<Vec<_>>()), true)
                    });
                    each.collect()
                });
                Response::Replayed(write.await?)
            }
            Request::Note => Response::Note(self.read(|connection| meta(connection, NOTE)).await?),
            Request::SwapNote { from, to } => {
                let write = self.write(move |batch| {
                    let connection = batch.connection;
                    if meta(connection, NOTE)? != from {
                        return Ok(false);
                    }
                    match &to {
                        Some(note) => {
                            let insert = "INSERT OR REPLACE INTO meta VALUES (?, ?)";
                            connection.execute(insert, (NOTE, note))?
                        }
                        None => connection.execute("DELETE FROM meta WHERE name = ?", [NOTE])?,
                    };
                    Ok(true)
                });
                Response::Swapped(write.await?)
            }
            Request::Discard { ids } => {
                let write = self.write(move |batch| {
                    let mut discarded = 0;
                    for seq in ids {
                        discarded += usize::from(batch.discard(seq)?);
                    }
                    Ok(discarded)
                });
                Response::Discarded(write.await?)
            }
            Request::Truncate => Response::Truncated(self.truncate().await?),
            Request::Held => {
                let held = self.shared().queue().held_by();
                Response::Held(held.iter().map(|name| name.as_str().to_owned()).collect())
            }
        })
    }
}

/// What executes the requests of tools as long as there is a handle.
pub(super) fn execute_in(handle: Weak<Handle>) -> impl Fn(Request) -> Response {
    move |request| {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        match (handle.upgrade(), runtime) {
            (Some(handle), Ok(runtime)) => {
                let done = runtime.block_on(DiskInbox(handle).execute(request));
                done.unwrap_or_else(|error| Response::Failed(error.to_string()))
            }
            (None, _) => Response::Failed("the inbox is being closed: try again".into()),
            (_, Err(error)) => Response::Failed(error.to_string()),
        }
    }
}

/// Adds an event again, for the handlers that gave up or for these; with
/// `dead_alone` for those of these
/// that gave up. Gives its number.
fn replay(
    batch: &mut Batch<'_>,
    seq: i64,
    by: Option<&[HandlerName]>,
    dead_alone: bool,
) -> Result<Result<i64, ReplayError>> {
    let event = unless_damaged(row::event(batch.connection, seq))?.flatten();
    let Some(event) = event.filter(|event| event.state != State::Tombstone) else {
        return Ok(Err(ReplayError::NotFound));
    };
    let body = row::body(batch.connection, seq);
    let delivery = unless_damaged(body.and_then(|body| event.delivery(body)))?;
    let handlers = batch.shared.handlers(event.handlers);
    let (Some(delivery), Some(handlers)) = (delivery, handlers) else {
        return Ok(Err(ReplayError::NotFound));
    };
    let rows = row::jobs(batch.connection, seq)?;
    let in_stage = |stage| {
        let has = |id| move |row: &row::JobRow| row.handler == id && row.stage == stage;
        let named = handlers.ids.iter().zip(&handlers.jobs);
        let named = named.filter(|(id, _)| rows.iter().any(has(**id)));
        named.map(|(_, name)| name.clone()).collect::<HandlerSet>()
    };
    let dead = in_stage(JobStage::Dead);
    let jobs = match by {
        Some(by) if dead_alone => {
            let left: HandlerSet = dead
                .iter()
                .filter(|name| by.contains(name))
                .cloned()
                .collect();
            if left.is_empty() {
                return Ok(Err(ReplayError::Replayed));
            }
            left
        }
        Some(by) => by.iter().cloned().collect(),
        None if !dead.is_empty() => dead,
        None if !in_stage(JobStage::Replayed).is_empty() => {
            return Ok(Err(ReplayError::Replayed));
        }
        None => handlers.jobs.clone(),
    };
    let attributes = Attributes {
        marks: true,
        possible_repeat: event.has(REPEAT),
        lane: event.lane(),
        parent: Some(record_id(seq)),
    };
    let new = batch.insert(&delivery, &jobs, attributes)?;
    let places = jobs.iter().filter_map(|name| handlers.place(name));
    let ids: Vec<i64> = places
        .filter_map(|place| handlers.ids.get(place).copied())
        .collect();
    batch.replayed(seq, &ids)?;
    Ok(Ok(seq_of(new)))
}

#[cfg(test)]
mod tests;
