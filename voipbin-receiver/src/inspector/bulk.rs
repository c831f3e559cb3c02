//! What is done with all dead letters that a filter takes: at a pace, until it is done or
//! cancelled.
//!
//! The set is fixed when it is confirmed, as a list of events in the inbox's note, so that the next
//! process goes on with it. How far it has come stands in the events themselves: who was handled
//! again is no dead letter any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};
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

/// How often it is looked whether somebody has cancelled it in another process.
const LOOK: Duration = Duration::from_secs(1);

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

/// What is kept of it.
#[derive(Serialize, Deserialize)]
struct Task {
    action: Action,
    filter: String,
    /// Events in a second.
    rate: u32,
    began: SystemTime,
    /// The first event, and from each to the next one.
    gaps: Vec<u64>,
}

/// How far it has come.
#[derive(Clone)]
pub(super) struct Status {
    pub(super) action: Action,
    pub(super) filter: String,
    pub(super) rate: u32,
    pub(super) began: SystemTime,
    pub(super) total: usize,
    /// Up to where it has come.
    pub(super) passed: usize,
    /// How many were handled again or discarded, by this process.
    pub(super) done: usize,
    /// Why it waits.
    pub(super) trouble: Option<String>,
    pub(super) end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Cancelled,
    /// With the process, and the next one goes on.
    Shutdown,
}

/// Why there is none.
pub(super) enum BulkError {
    /// One is under way.
    Busy,
    /// Nothing is taken by the filter.
    Empty,
    /// The inbox cannot do it.
    Unsupported,
    Records(RecordsError),
}

impl From<RecordsError> for BulkError {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

/// The one that is under way, if any.
pub(super) struct Bulk {
    status: Arc<watch::Sender<Option<Status>>>,
    /// Of the one that runs, or that was the last to. Locked while one begins or is cancelled.
    current: Mutex<CancellationToken>,
    resumed: AtomicBool,
    /// Ends with the inspector.
    stop: CancellationToken,
    _stops: DropGuard,
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
    patience: Duration,
) -> Result<Found, RecordsError> {
    const SAMPLE: usize = 10;
    let since = Instant::now();
    let (mut found, mut after) = (Found::default(), None);
    loop {
        let page = records.list(filter, after, PAGE).await?;
        for record in page.records {
            if upto.is_some_and(|last| record.id > last) {
                return Ok(found);
            }
            let handlers = action.handlers(filter, &record);
            if handlers.is_empty() {
                continue;
            }
            if found.ids.len() == MOST {
                found.is_part = true;
                return Ok(found);
            }
            found.ids.push(record.id);
            for handler in &handlers {
                *found.handlers.entry(handler.clone()).or_default() += 1;
            }
            if found.sample.len() < SAMPLE {
                found.sample.push(record);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(found);
        }
        if since.elapsed() > patience {
            found.is_part = true;
            return Ok(found);
        }
    }
}

/// For the inbox: whoever may act may see what the filter looks into.
fn wanted(filter: &Filter, now: SystemTime) -> Option<RecordFilter> {
    let permit = Access::Act.permit()?;
    Some(filter.all_records(now, &permit))
}

impl Task {
    fn new(confirmed: &Confirmed, began: SystemTime, ids: &[RecordId]) -> Self {
        let mut last = 0;
        let gaps = ids
            .iter()
            .map(|id| id.get() - std::mem::replace(&mut last, id.get()));
        Self {
            action: confirmed.action,
            filter: confirmed.filter.to_string(),
            rate: confirmed.rate.clamp(1, MOST_RATE),
            began,
            gaps: gaps.collect(),
        }
    }

    fn ids(&self) -> Vec<RecordId> {
        let ids = self.gaps.iter().scan(0_u64, |last, gap| {
            *last = last.saturating_add(*gap);
            Some(RecordId::new(*last))
        });
        ids.collect()
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
            total: self.gaps.len(),
            passed: 0,
            done: 0,
            trouble: None,
            end: None,
        }
    }
}

impl Bulk {
    pub(super) fn new() -> Self {
        let stop = CancellationToken::new();
        Self {
            status: Arc::new(watch::Sender::new(None)),
            current: Mutex::new(CancellationToken::new()),
            resumed: AtomicBool::new(false),
            _stops: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Of the one that is under way, or the last one.
    pub(super) fn status(&self) -> Option<Status> {
        self.status.borrow().clone()
    }

    pub(super) fn is_running(&self) -> bool {
        self.status
            .borrow()
            .as_ref()
            .is_some_and(|status| status.end.is_none())
    }

    /// Goes on with what a process before left, where there is a runtime to do it in.
    pub(super) fn resume(self: &Arc<Self>, receiver: &Receiver) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.resumed.swap(true, Ordering::Relaxed) {
            return;
        }
        let (receiver, bulk) = (receiver.clone(), Arc::downgrade(self));
        runtime.spawn(async move {
            let note = match receiver.records() {
                Some(records) => records.note().await,
                None => Ok(None),
            };
            let Some(bulk) = bulk.upgrade() else { return };
            let current = bulk.current.lock().await;
            match note {
                Ok(Some(note)) if !bulk.is_running() => match serde_json::from_str::<Task>(&note) {
                    Ok(task) => bulk.spawn(current, receiver.clone(), task, note),
                    Err(_) => tracing::warn!(
                        "the inspector cannot read which dead letters were being retried or discarded: cancel it there"
                    ),
                },
                Ok(_) => {}
                Err(error) => {
                    bulk.resumed.store(false, Ordering::Relaxed);
                    tracing::warn!(%error, "the inspector cannot read the inbox's note");
                }
            }
        });
    }

    /// Begins with what the filter takes by now.
    pub(super) async fn start(
        &self,
        receiver: &Receiver,
        confirmed: &Confirmed,
        now: SystemTime,
        _: &Permit<Actor>,
    ) -> Result<(), BulkError> {
        const PATIENCE: Duration = Duration::from_secs(600);
        let records = receiver.records().ok_or(BulkError::Unsupported)?;
        let current = self.current.lock().await;
        if self.is_running() || records.note().await?.is_some() {
            return Err(BulkError::Busy);
        }
        let (action, upto) = (confirmed.action, Some(confirmed.upto));
        let filter = wanted(&confirmed.filter, now).ok_or(BulkError::Empty)?;
        let found = find(records, &filter, action, upto, PATIENCE).await?;
        if found.ids.is_empty() {
            return Err(BulkError::Empty);
        }
        let task = Task::new(confirmed, now, &found.ids);
        let note = serde_json::to_string(&task).unwrap_or_default();
        if !records.keep_note(Some(&note)).await? {
            return Err(BulkError::Unsupported);
        }
        self.spawn(current, receiver.clone(), task, note);
        Ok(())
    }

    /// Ends it, in whichever process it is under way.
    pub(super) async fn cancel(
        &self,
        receiver: &Receiver,
        _: &Permit<Actor>,
    ) -> Result<(), BulkError> {
        let records = receiver.records().ok_or(BulkError::Unsupported)?;
        let current = self.current.lock().await;
        records.keep_note(None).await?;
        current.cancel();
        Ok(())
    }

    fn spawn(
        &self,
        mut current: tokio::sync::MutexGuard<'_, CancellationToken>,
        receiver: Receiver,
        task: Task,
        note: String,
    ) {
        *current = self.stop.child_token();
        self.status.send_replace(Some(task.status()));
        let (cancelled, status) = (current.clone(), Arc::clone(&self.status));
        let run = BulkRun {
            receiver,
            task,
            note,
            status: Arc::clone(&status),
        };
        tokio::spawn(async move {
            let end = tokio::select! {
                end = run.to_its_end() => end,
                () = run.receiver.dispatch().drained() => End::Shutdown,
                () = cancelled.cancelled() => End::Cancelled,
            };
            status.send_modify(|status| {
                if let Some(status) = status {
                    (status.end, status.trouble) = (Some(end), None);
                }
            });
        });
    }
}

/// One that is under way.
struct BulkRun {
    receiver: Receiver,
    task: Task,
    note: String,
    status: Arc<watch::Sender<Option<Status>>>,
}

impl BulkRun {
    async fn to_its_end(&self) -> End {
        let (Some(records), Some(filter)) = (self.receiver.records(), self.task.filter()) else {
            return End::Cancelled;
        };
        let ids = self.task.ids();
        let rate = f64::from(self.task.rate);
        let mut pace = interval(Duration::from_secs_f64(self.batch() as f64 / rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut after, mut looked) = (None, Instant::now());
        loop {
            if self.receiver.is_ending() {
                return End::Shutdown;
            }
            let step = async {
                if looked.elapsed() > LOOK {
                    looked = Instant::now();
                    if records.note().await?.as_deref() != Some(&self.note) {
                        return Ok(Some(End::Cancelled));
                    }
                }
                self.step(records, &filter, &ids, &mut after, &mut pace)
                    .await
            };
            match step.await {
                Ok(Some(end)) => {
                    // Whoever cancels it takes the note away, and may have put another one there.
                    // What is left of a note is looked for by the next process, and not found.
                    if end == End::Done {
                        let _ = records.keep_note(None).await;
                    }
                    return end;
                }
                Ok(None) => {}
                Err(error) => {
                    self.change(|status| status.trouble = Some(error.to_string()));
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// How many at once: ten times a second, or as seldom as one at a time takes.
    fn batch(&self) -> usize {
        (self.task.rate as usize / 10).clamp(1, PAGE)
    }

    /// The next of them. The end once there are none left.
    async fn step(
        &self,
        records: &dyn Records,
        filter: &RecordFilter,
        ids: &[RecordId],
        after: &mut Option<RecordId>,
        pace: &mut Interval,
    ) -> Result<Option<End>, RecordsError> {
        let page = records.list(filter, *after, self.batch()).await?;
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
        let (mut done, mut failed) = (0, None);
        match self.task.action {
            Action::Retry => {
                for retried in records.retry(&each).await {
                    match retried {
                        Ok(_) => done += 1,
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
                done = records.discard(&ids).await?;
            }
        }
        self.change(|status| status.done += done);
        if let Some(error) = failed {
            return Err(error);
        }
        let passed = match last {
            Some(last) => ids.partition_point(|id| *id <= last),
            None => ids.len(),
        };
        self.change(|status| (status.passed, status.trouble) = (passed, None));
        *after = last;
        Ok(last.is_none().then_some(End::Done))
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            if let Some(status) = status {
                change(status);
            }
        });
    }
}
