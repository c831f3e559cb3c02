//! What is done with all dead letters that a filter takes: at a pace, until it is done or
//! cancelled.
//!
//! The set is fixed when it is confirmed, as a list of events in the inbox's note. The process that
//! runs it swaps the note each second for one of what is left, and ends when it is not the one that
//! it wrote last. So one process at a time runs it, and another one takes it over where the note
//! stays as it is. Whoever runs it, an event that was handled again is no dead letter any more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::runtime::Handle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access::{Access, Actor, Permit};
use super::filter::Filter;
use crate::event::{HandlerName, RecordId};
use crate::inbox::{
    HandlerSet, Record, RecordFilter, RecordState, Records, RecordsError, RecordsErrorKind,
};
use crate::receiver::Receiver;

/// How many events one is about at the most.
pub(super) const MOST: usize = 100_000;

/// Events in a second.
pub(super) const RATE: u32 = 100;
pub(super) const MOST_RATE: u32 = 10_000;

/// How many events are looked at together, with their bodies.
const PAGE: usize = 200;

/// How often the process that runs one writes how far it has come.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long the note of one stays as it is before another process takes it over.
const LEASE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Retry,
    Discard,
}

/// What somebody has confirmed.
pub(super) struct Confirmed {
    pub(super) action: Action,
    /// Of dead letters; see [`Filter::dead`].
    pub(super) filter: Filter,
    /// The last event.
    pub(super) upto: RecordId,
    /// Events in a second.
    pub(super) rate: u32,
}

/// As it is kept in the inbox.
#[derive(Serialize, Deserialize)]
struct Task {
    action: Action,
    filter: String,
    /// Events in a second.
    rate: u32,
    began: SystemTime,
    /// How many events there were.
    total: usize,
    /// How many were handled again or discarded.
    done: usize,
    /// How often it was written, so that no two notes are the same.
    heartbeats: u64,
    /// The events that are left.
    #[serde(serialize_with = "write_ids", deserialize_with = "read_ids")]
    ids: Vec<RecordId>,
}

/// How far it has come.
#[derive(Clone)]
pub(super) struct Status {
    pub(super) action: Action,
    pub(super) filter: String,
    pub(super) rate: u32,
    pub(super) began: SystemTime,
    pub(super) total: usize,
    /// How many it has looked at.
    pub(super) passed: usize,
    pub(super) done: usize,
    /// Why it waits.
    pub(super) trouble: Option<String>,
    pub(super) end: Option<End>,
    /// Whether another process runs it.
    pub(super) is_elsewhere: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cancelled,
    /// For this process: another one has taken it over.
    TakenOver,
    /// With the process, and the next one goes on.
    Shutdown,
}

/// Why there is none.
pub(super) enum BulkError {
    /// One is under way.
    Busy,
    /// Nothing is taken by the filter.
    Empty,
    Records(RecordsError),
}

impl From<RecordsError> for BulkError {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

/// The one that this process runs, or was the last to.
pub(super) struct Bulk {
    current: Mutex<Option<Arc<Current>>>,
    watches: AtomicBool,
    /// Ends with the inspector.
    stop: CancellationToken,
    _stops: DropGuard,
}

struct Current {
    status: Mutex<Status>,
    cancelled: CancellationToken,
}

/// What a filter takes.
#[derive(Default)]
pub(super) struct Found {
    pub(super) ids: Vec<RecordId>,
    /// For how many events each handler is meant.
    pub(super) handlers: BTreeMap<HandlerName, usize>,
    pub(super) sample: Vec<Record>,
    /// Whether there are more.
    pub(super) is_part: bool,
}

impl Action {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        let mut all = [Self::Retry, Self::Discard].into_iter();
        all.find(|action| action.as_str() == word)
    }

    /// The handlers that it is about, of an event that the filter takes. Who discards an event
    /// takes it from all: it is left alone until all have ended with it.
    fn handlers(self, filter: &RecordFilter, record: &Record) -> HandlerSet {
        match self {
            Self::Discard if record.state != RecordState::Dead => HandlerSet::from_iter([]),
            _ => record.dead(|job| filter.takes_job(job)),
        }
    }
}

/// Looks for the dead letters that a filter takes, up to this event, for so long.
pub(super) async fn find(
    records: &dyn Records,
    filter: &RecordFilter,
    action: Action,
    upto: Option<RecordId>,
    limit: Duration,
) -> Result<Found, RecordsError> {
    let mut found = Found::default();
    match timeout(limit, found.fill(records, filter, action, upto)).await {
        Ok(filled) => filled?,
        Err(_) => found.is_part = true,
    }
    Ok(found)
}

impl Found {
    async fn fill(
        &mut self,
        records: &dyn Records,
        filter: &RecordFilter,
        action: Action,
        upto: Option<RecordId>,
    ) -> Result<(), RecordsError> {
        const SAMPLE: usize = 10;
        let mut after = None;
        loop {
            let page = records.list(filter, after, PAGE).await?;
            for record in page.records {
                if upto.is_some_and(|last| record.id > last) {
                    return Ok(());
                }
                let handlers = action.handlers(filter, &record);
                if handlers.is_empty() {
                    continue;
                }
                if self.ids.len() == MOST {
                    self.is_part = true;
                    return Ok(());
                }
                self.ids.push(record.id);
                for handler in &handlers {
                    *self.handlers.entry(handler.clone()).or_default() += 1;
                }
                if self.sample.len() < SAMPLE {
                    self.sample.push(record);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// For the inbox: whoever may act may see what the filter looks into.
fn wanted(filter: &Filter, now: SystemTime) -> Option<RecordFilter> {
    let permit = Access::Act.permit()?;
    Some(filter.all_records(now, &permit))
}

/// The first id, and from each to the next one: numbers that are small.
fn write_ids<S: Serializer>(ids: &[RecordId], to: S) -> Result<S::Ok, S::Error> {
    let mut last = 0;
    let gaps = ids
        .iter()
        .map(|id| id.get() - std::mem::replace(&mut last, id.get()));
    to.collect_seq(gaps)
}

fn read_ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RecordId>, D::Error> {
    let gaps = Vec::<u64>::deserialize(from)?;
    let ids = gaps.iter().scan(0_u64, |last, gap| {
        *last = last.saturating_add(*gap);
        Some(RecordId::new(*last))
    });
    Ok(ids.collect())
}

impl Task {
    fn new(confirmed: &Confirmed, began: SystemTime, ids: Vec<RecordId>) -> Self {
        Self {
            action: confirmed.action,
            filter: confirmed.filter.to_string(),
            rate: confirmed.rate.clamp(1, MOST_RATE),
            began,
            total: ids.len(),
            done: 0,
            heartbeats: 0,
            ids,
        }
    }

    fn read(note: &str) -> Option<Self> {
        serde_json::from_str(note).ok()
    }

    /// The next note of it.
    fn write(&mut self) -> String {
        self.heartbeats += 1;
        // It has no map whose keys are no texts.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn filter(&self) -> Option<RecordFilter> {
        wanted(&self.filter.parse().ok()?, self.began)
    }

    fn status(&self) -> Status {
        Status {
            action: self.action,
            filter: self.filter.clone(),
            rate: self.rate,
            began: self.began,
            total: self.total,
            passed: self.total.saturating_sub(self.ids.len()),
            done: self.done,
            trouble: None,
            end: None,
            is_elsewhere: false,
        }
    }
}

impl Current {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bulk {
    pub(super) fn new() -> Self {
        let stop = CancellationToken::new();
        Self {
            current: Mutex::default(),
            watches: AtomicBool::new(false),
            _stops: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Of the one that this process runs, or was the last to.
    pub(super) fn own(&self) -> Option<Status> {
        let current = self.current();
        current.as_ref().map(|current| current.status().clone())
    }

    /// Of the one that is under way in whichever process, or the last one of this process.
    pub(super) async fn status(
        &self,
        records: Option<&dyn Records>,
    ) -> Result<Option<Status>, RecordsError> {
        let own = self.own();
        if own.as_ref().is_some_and(|own| own.end.is_none()) {
            return Ok(own);
        }
        let note = match records {
            Some(records) => records.note().await?,
            None => None,
        };
        let elsewhere = note.as_deref().and_then(Task::read).map(|task| Status {
            is_elsewhere: true,
            ..task.status()
        });
        Ok(elsewhere.or(own))
    }

    fn is_running(&self) -> bool {
        self.own().is_some_and(|status| status.end.is_none())
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Current>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what no process runs any more, from now on and where there is a runtime for it.
    pub(super) fn watch(self: &Arc<Self>, receiver: &Receiver) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.watches.swap(true, Ordering::Relaxed) {
            return;
        }
        let (bulk, receiver, stop) = (Arc::downgrade(self), receiver.clone(), self.stop.clone());
        runtime.spawn(async move {
            let Some(records) = receiver.records() else {
                return;
            };
            let watch = async {
                // What a process before has left in an inbox of this one alone has nobody else.
                let mut is_alone = !receiver.dispatch().inbox.guarantees().shared;
                let mut seen = None;
                loop {
                    let note = records.note().await.unwrap_or_else(|error| {
                        tracing::warn!(%error, "the inspector cannot read the inbox's note");
                        None
                    });
                    let Some(bulk) = bulk.upgrade() else { return };
                    if let Some(note) = &note
                        && (is_alone || seen.as_ref() == Some(note))
                        && !bulk.is_running()
                        && let Err(error) = bulk.take_over(&receiver, records, note).await
                    {
                        tracing::warn!(%error, "the inspector cannot keep the inbox's note");
                    }
                    drop(bulk);
                    (seen, is_alone) = (note, false);
                    sleep(LEASE).await;
                }
            };
            tokio::select! {
                () = watch => {}
                () = stop.cancelled() => {}
                () = receiver.dispatch().drained() => {}
            }
        });
    }

    async fn take_over(
        &self,
        receiver: &Receiver,
        records: &dyn Records,
        left: &str,
    ) -> Result<(), RecordsError> {
        let Some(mut task) = Task::read(left) else {
            tracing::warn!(
                "the inspector cannot read which dead letters were being retried or discarded: cancel it there"
            );
            return Ok(());
        };
        let note = task.write();
        if records.swap_note(Some(left), Some(&note)).await? {
            self.run(receiver.clone(), task, note);
        }
        Ok(())
    }

    /// Begins with what the filter takes by now.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, there may be a note that nobody runs until it is taken over.
    pub(super) async fn start(
        &self,
        receiver: &Receiver,
        confirmed: &Confirmed,
        now: SystemTime,
        _: &Permit<Actor>,
    ) -> Result<(), BulkError> {
        const LIMIT: Duration = Duration::from_secs(600);
        let records = receiver.records().ok_or_else(RecordsError::unsupported)?;
        if records.note().await?.is_some() {
            return Err(BulkError::Busy);
        }
        let (action, upto) = (confirmed.action, Some(confirmed.upto));
        let filter = wanted(&confirmed.filter, now).ok_or(BulkError::Empty)?;
        let found = find(records, &filter, action, upto, LIMIT).await?;
        if found.ids.is_empty() {
            return Err(BulkError::Empty);
        }
        let mut task = Task::new(confirmed, now, found.ids);
        let note = task.write();
        if !records.swap_note(None, Some(&note)).await? {
            return Err(BulkError::Busy);
        }
        self.run(receiver.clone(), task, note);
        Ok(())
    }

    /// Ends it, in whichever process it is under way.
    pub(super) async fn cancel(
        &self,
        receiver: &Receiver,
        _: &Permit<Actor>,
    ) -> Result<(), BulkError> {
        let records = receiver.records().ok_or_else(RecordsError::unsupported)?;
        let current = self.current().clone();
        // Whoever runs it may write a note of its own meanwhile.
        while let Some(note) = records.note().await? {
            if records.swap_note(Some(&note), None).await? {
                break;
            }
        }
        if let Some(current) = current {
            current.cancelled.cancel();
        }
        Ok(())
    }

    /// Runs one whose note is this process's.
    fn run(&self, receiver: Receiver, task: Task, note: String) {
        let current = Arc::new(Current {
            status: Mutex::new(task.status()),
            cancelled: self.stop.child_token(),
        });
        *self.current() = Some(Arc::clone(&current));
        tokio::spawn(async move {
            let mut run = BulkRun {
                task,
                note,
                current: &current,
            };
            let end = tokio::select! {
                end = run.run(&receiver) => end,
                () = receiver.dispatch().drained() => End::Shutdown,
                () = current.cancelled.cancelled() => End::Cancelled,
            };
            let mut status = current.status();
            (status.end, status.trouble) = (Some(end), None);
        });
    }
}

/// One that is under way.
struct BulkRun<'a> {
    task: Task,
    /// What was kept last.
    note: String,
    current: &'a Current,
}

impl BulkRun<'_> {
    async fn run(&mut self, receiver: &Receiver) -> End {
        let (Some(records), Some(filter)) = (receiver.records(), self.task.filter()) else {
            return End::Cancelled;
        };
        let rate = f64::from(self.task.rate);
        let mut pace = interval(Duration::from_secs_f64(self.batch() as f64 / rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = Instant::now();
        while !receiver.is_ending() {
            let step = async {
                if written.elapsed() >= HEARTBEAT {
                    written = Instant::now();
                    if let Some(end) = self.write(records).await? {
                        return Ok(Some(end));
                    }
                }
                self.step(records, &filter, &mut pace).await
            };
            match step.await {
                Ok(Some(end)) => return end,
                Ok(None) => {}
                Err(error) => {
                    self.current.status().trouble = Some(error.to_string());
                    sleep(HEARTBEAT).await;
                }
            }
        }
        End::Shutdown
    }

    /// Keeps what is left. The end where it is not this process's any more.
    async fn write(&mut self, records: &dyn Records) -> Result<Option<End>, RecordsError> {
        let note = self.task.write();
        if records.swap_note(Some(&self.note), Some(&note)).await? {
            self.note = note;
            return Ok(None);
        }
        let other = records.note().await?.as_deref().and_then(Task::read);
        let goes_on = other.is_some_and(|other| other.began == self.task.began);
        Ok(Some(match goes_on {
            true => End::TakenOver,
            false => End::Cancelled,
        }))
    }

    /// How many at once: ten times a second, or as seldom as one at a time takes.
    fn batch(&self) -> usize {
        (self.task.rate as usize / 10).clamp(1, PAGE)
    }

    /// The next of them. The end once there are none left.
    async fn step(
        &mut self,
        records: &dyn Records,
        filter: &RecordFilter,
        pace: &mut Interval,
    ) -> Result<Option<End>, RecordsError> {
        let ids = &self.task.ids;
        let before = ids.first().and_then(|first| first.get().checked_sub(1));
        let page = records
            .list(filter, before.map(RecordId::new), self.batch())
            .await?;
        let last = page.next.filter(|next| Some(next) < ids.last());
        let meant = page
            .records
            .iter()
            .filter(|record| ids.binary_search(&record.id).is_ok());
        let each = meant.map(|record| (record.id, self.task.action.handlers(filter, record)));
        let each: Vec<_> = each.filter(|(_, handlers)| !handlers.is_empty()).collect();
        if !each.is_empty() {
            pace.tick().await;
        }
        let mut failed = None;
        match self.task.action {
            Action::Retry => {
                for retried in records.retry(&each).await {
                    match retried {
                        Ok(_) => self.task.done += 1,
                        Err(error) if error.kind() == RecordsErrorKind::Storage => {
                            failed = Some(error);
                        }
                        // Somebody else was faster.
                        Err(_) => {}
                    }
                }
            }
            Action::Discard => {
                let ids: Vec<RecordId> = each.iter().map(|(id, _)| *id).collect();
                self.task.done += records.discard(&ids).await?;
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let passed = last.map_or(self.task.ids.len(), |last| {
            self.task.ids.partition_point(|id| *id <= last)
        });
        self.task.ids.drain(..passed);
        *self.current.status() = self.task.status();
        if !self.task.ids.is_empty() {
            return Ok(None);
        }
        // Whoever cancels it may have taken the note away. One that is left is taken over, and has
        // no events.
        let _ = records.swap_note(Some(&self.note), None).await;
        Ok(Some(End::Done))
    }
}
