//! Dead letters of the inbox in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::MemoryInbox;
use crate::event::HandlerName;
use crate::event::RecordId;
use crate::inbox::{
    Attempt, HandlerSet, Job, JobRecord, KeptEvent, Record, RecordFilter, RecordPage, Records,
    RecordsError, Stage,
};

/// Events that a handler gave up, the latest ones of them.
#[derive(Default)]
pub(super) struct DeadLetters {
    events: BTreeMap<u64, Dead>,
    jobs: usize,
    bytes: usize,
    dropped: u64,
}

/// Bytes of bodies of dead letters.
const MAX_BYTES: usize = 16 << 20;

struct Dead {
    event: Arc<KeptEvent>,
    jobs: Vec<JobRecord>,
}

impl DeadLetters {
    /// How many jobs there are.
    pub(super) fn jobs(&self) -> usize {
        self.jobs
    }

    /// How many were dropped because there were too many.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether they take four fifths of their room.
    pub(super) fn is_nearly_full(&self, most: usize) -> bool {
        let is_full = self.events.len() >= most - most / 5;
        !self.events.is_empty() && (is_full || self.bytes >= MAX_BYTES - MAX_BYTES / 5)
    }

    /// Adds a job, and forgets the first events when there are too many.
    pub(super) fn add(&mut self, job: &Job, failed: Option<Attempt>, at: SystemTime, most: usize) {
        let mut history = job.history().cloned().unwrap_or_default();
        if let Some(failed) = failed {
            history.fail(failed);
        }
        let mut record = JobRecord::new(job.handler().clone(), Stage::Dead { at });
        record.attempts = history.attempts;
        record.history = history.history;
        self.jobs += 1;
        let dead = self.events.entry(job.id()).or_insert_with(|| {
            self.bytes += job.delivery().body().len();
            Dead {
                event: Arc::clone(job.event()),
                jobs: Vec::new(),
            }
        });
        dead.jobs.push(record);
        while self.events.len() > most || self.bytes > MAX_BYTES {
            let Some((first, _)) = self.events.first_key_value() else {
                break;
            };
            let first = *first;
            self.remove(first);
            self.dropped += 1;
        }
    }

    /// Takes out jobs of an event that are handled again.
    fn resolve(&mut self, id: u64, handlers: &[HandlerName]) {
        let Some(dead) = self.events.get_mut(&id) else {
            return;
        };
        let before = dead.jobs.len();
        dead.jobs.retain(|job| !handlers.contains(&job.handler));
        self.jobs = self.jobs.saturating_sub(before - dead.jobs.len());
        if dead.jobs.is_empty() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) -> bool {
        let Some(dead) = self.events.remove(&id) else {
            return false;
        };
        self.jobs = self.jobs.saturating_sub(dead.jobs.len());
        let bytes = dead.event.delivery().body().len();
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

impl Dead {
    fn record(&self) -> Record {
        let event = &self.event;
        let id = RecordId::new(event.id());
        let delivery = event.delivery().clone();
        Record::new(id, delivery, event.replay_of(), self.jobs.clone())
    }
}

/// The first ones of a filter.
fn page<'a>(
    dead: impl Iterator<Item = &'a Dead>,
    filter: &RecordFilter,
    most: usize,
) -> RecordPage {
    let mut matching = dead.map(Dead::record).filter(|record| filter.takes(record));
    let records: Vec<Record> = matching.by_ref().take(most).collect();
    let next = matching.next().and(records.last()).map(|last| last.id);
    RecordPage::new(records, next)
}

#[async_trait]
impl Records for MemoryInbox {
    async fn list(
        &self,
        filter: &RecordFilter,
        after: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        let from = after.map_or(0, |after| after.get().saturating_add(1));
        let queue = self.0.queue();
        let dead = queue.dead.events.range(from..).map(|(_, dead)| dead);
        Ok(page(dead, filter, most))
    }

    async fn latest(
        &self,
        filter: &RecordFilter,
        before: Option<RecordId>,
        most: usize,
    ) -> Result<RecordPage, RecordsError> {
        let before = before.map_or(u64::MAX, RecordId::get);
        let queue = self.0.queue();
        let dead = queue.dead.events.range(..before).rev();
        Ok(page(dead.map(|(_, dead)| dead), filter, most))
    }

    async fn get(&self, id: RecordId) -> Result<Option<Record>, RecordsError> {
        Ok(self.0.queue().dead.events.get(&id.get()).map(Dead::record))
    }

    async fn replay(
        &self,
        id: RecordId,
        handlers: Option<&[HandlerName]>,
    ) -> Result<RecordId, RecordsError> {
        self.again(id, |dead| match handlers {
            Some(handlers) => Ok(handlers.iter().cloned().collect()),
            None => Ok(dead.cloned().collect()),
        })
    }

    async fn retry(&self, dead: &[(RecordId, HandlerSet)]) -> Vec<Result<RecordId, RecordsError>> {
        let mut retried = Vec::with_capacity(dead.len());
        for (id, handlers) in dead {
            let wanted = |name: &&HandlerName| handlers.0.contains(*name);
            retried.push(self.again(*id, |dead| {
                let left: HandlerSet = dead.filter(wanted).cloned().collect();
                match left.is_empty() {
                    true => Err(RecordsError::replayed()),
                    false => Ok(left),
                }
            }));
        }
        retried
    }

    async fn note(&self) -> Result<Option<String>, RecordsError> {
        Ok(self.0.queue().note.clone())
    }

    async fn swap_note(&self, from: Option<&str>, to: Option<&str>) -> Result<bool, RecordsError> {
        let mut queue = self.0.queue();
        let swaps = queue.note.as_deref() == from;
        if swaps {
            queue.note = to.map(str::to_owned);
        }
        Ok(swaps)
    }

    async fn discard(&self, ids: &[RecordId]) -> Result<usize, RecordsError> {
        let mut queue = self.0.queue();
        let gone = ids.iter().filter(|id| queue.dead.remove(id.get()));
        Ok(gone.count())
    }
}

impl MemoryInbox {
    /// Has an event handled again, by handlers that are chosen by those that gave it up.
    fn again(
        &self,
        id: RecordId,
        choose: impl FnOnce(&mut dyn Iterator<Item = &HandlerName>) -> Result<HandlerSet, RecordsError>,
    ) -> Result<RecordId, RecordsError> {
        let mut queue = self.0.queue();
        let dead = queue.dead.events.get(&id.get());
        let dead = dead.ok_or_else(RecordsError::not_found)?;
        let event = Arc::clone(&dead.event);
        let handlers = choose(&mut dead.jobs.iter().map(|job| &job.handler))?;
        if queue.draining {
            return Err(RecordsError::storage("the receiver is shutting down"));
        }
        queue.dead.resolve(id.get(), &handlers);
        let replay = queue.replay(id, &event, &handlers);
        drop(queue);
        self.0.arrived.notify_waiters();
        Ok(RecordId::new(replay))
    }
}
