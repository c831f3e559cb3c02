//! Events as the file has them, for whoever looks into it.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;

use super::error::{DiskInboxError, Result};
use super::names::{HandlerList, Names};
use super::row::{self, EVENT, EventRow, JobRow, JobStage, State, record_id};
use crate::event::HandlerName;
use crate::inbox::{JobRecord, Record, RecordFilter, RecordState, Stage};

/// How long one statement reads: as long as it does the WAL can only grow.
const TIME: Duration = Duration::from_millis(100);

/// What the file alone does not tell.
pub(super) struct View<'a> {
    /// A time of the inbox's clock by the machine's.
    pub(super) wall: &'a dyn Fn(i64) -> SystemTime,
    /// Whether no handler of this name is registered.
    pub(super) is_held: &'a dyn Fn(i64, &HandlerName) -> bool,
    /// Whether no process has the inbox: what runs by the file was cut short.
    pub(super) orphaned: bool,
}

/// Events that are looked for.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) filter: RecordFilter,
    pub(super) scan: Scan,
    /// The number to begin at.
    pub(super) from: i64,
    pub(super) most: usize,
}

/// Which events, from a number on.
#[derive(Clone, Copy)]
pub(super) enum Scan {
    Forward,
    Backward,
    /// The one of this number.
    Only,
}

impl Scan {
    const fn sql(self) -> &'static str {
        match self {
            Self::Forward => "seq >= ? ORDER BY seq",
            Self::Backward => "seq <= ? ORDER BY seq DESC",
            Self::Only => "seq = ?",
        }
    }
}

/// Some events, and the number from which to go on.
#[derive(Default)]
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// Those that are damaged, and hold what is looked for in bodies.
    pub(super) damaged: Vec<i64>,
    pub(super) next: Option<i64>,
}

impl View<'_> {
    /// Reads events, for a moment at most.
    pub(super) fn page(&self, connection: &Connection, query: &Query) -> Result<Page> {
        let since = Instant::now();
        let filter = &query.filter;
        let names = Names::load(connection)?;
        let dead = filter.state == Some(RecordState::Dead) && !filter.is_of_jobs();
        let which = match dead {
            true => "INDEXED BY event_dead WHERE state = 2",
            false => "WHERE state < 3",
        };
        let scan = query.scan.sql();
        let sql = format!("SELECT {EVENT} FROM event {which} AND {scan}");
        let mut select = row::cached(connection, &sql)?;
        let mut rows = select.query([query.from])?;
        let mut page = Page::default();
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            if page.records.len() >= query.most || since.elapsed() > TIME {
                page.next = Some(seq);
                break;
            }
            let read = EventRow::read(row).and_then(|event| match meets(filter, &event) {
                true => self.record(connection, &names, &event).map(Some),
                false => Ok(None),
            });
            match read {
                Ok(record) => {
                    let taken = record.filter(|record| filter.takes(record));
                    page.records.extend(taken);
                }
                // It is told of where it is to be handled.
                Err(error) if error.is_damaged() => {
                    let bytes = row::any_body(connection, seq);
                    let is_meant = bytes.is_ok_and(|bytes| filter.is_in(&bytes));
                    page.damaged.extend(is_meant.then_some(seq));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }

    fn record(&self, connection: &Connection, names: &Names, event: &EventRow) -> Result<Record> {
        let handlers = names.by_id(event.handlers);
        let handlers = handlers.ok_or_else(DiskInboxError::damaged)?;
        let delivery = event.delivery(row::body(connection, event.seq)?)?;
        let jobs = self.jobs(connection, event, handlers)?;
        let parent = event.parent.map(record_id);
        Ok(Record::new(record_id(event.seq), delivery, parent, jobs))
    }

    fn jobs(
        &self,
        connection: &Connection,
        event: &EventRow,
        handlers: &HandlerList,
    ) -> Result<Vec<JobRecord>> {
        let rows = row::jobs(connection, event.seq)?;
        let has_run = rows.iter().any(|row| row.attempts > 0) || event.state != State::Pending;
        let attempts = match has_run {
            true => row::attempts(connection, event.seq)?,
            false => Vec::new(),
        };
        let job = |(id, handler): (&i64, &HandlerName)| {
            let row = rows.iter().find(|row| row.handler == *id);
            let mut job = JobRecord::new(handler.clone(), self.stage(event, handler, row));
            let own = attempts.iter().filter(|attempt| attempt.handler == *id);
            job.history = own.clone().map(|row| row.attempt.clone()).collect();
            let last = own.map(|attempt| attempt.number).max();
            job.attempts = row.map(|row| row.attempts).or(last).unwrap_or_default();
            if let Some(row) = row
                && row.stage == JobStage::Running
                && self.orphaned
            {
                job.attempts += 1;
                job.history.push(row::interrupted((self.wall)(row.at)));
            }
            job
        };
        Ok(handlers.ids.iter().zip(&handlers.jobs).map(job).collect())
    }

    fn stage(&self, event: &EventRow, handler: &HandlerName, row: Option<&JobRow>) -> Stage {
        let ended = (self.wall)(event.ended_at.unwrap_or_default());
        let Some(row) = row else {
            return match event.state {
                State::Pending if (self.is_held)(event.seq, handler) => Stage::Held,
                State::Pending => Stage::Queued,
                State::Done | State::Dead | State::Tombstone => Stage::Done { at: ended },
            };
        };
        let at = (self.wall)(row.at);
        match row.stage {
            JobStage::Done => Stage::Done { at },
            JobStage::Dead => Stage::Dead { at },
            JobStage::Replayed => Stage::Replayed { at },
            _ if (self.is_held)(event.seq, handler) => Stage::Held,
            JobStage::Running if !self.orphaned => Stage::Running { since: at },
            JobStage::Queued | JobStage::Running => Stage::Queued,
            JobStage::Delayed | JobStage::DelayedInLane => Stage::Delayed {
                until: (self.wall)(row.at.saturating_add(row.wait.unwrap_or_default())),
            },
        }
    }
}

/// Whether a filter may take an event, as far as its row tells.
fn meets(filter: &RecordFilter, event: &EventRow) -> bool {
    let state = match filter.state {
        // A handler may have given up an event that others are not done with.
        Some(RecordState::Dead) if filter.is_of_jobs() => event.state != State::Done,
        _ if filter.is_of_jobs() => true,
        None => true,
        Some(RecordState::Pending) => event.state == State::Pending,
        Some(RecordState::Dead) => event.state == State::Dead,
        Some(RecordState::Done) => event.state == State::Done,
    };
    let resource = filter.resource_id.as_deref();
    let received = super::time::unix(event.received_at);
    state
        && resource.is_none_or(|wanted| event.resource.as_deref() == Some(wanted))
        && filter.received_before.is_none_or(|before| received < before)
        // What is stored has no more than milliseconds.
        && filter.received_after.is_none_or(|after| received + Duration::from_millis(1) > after)
        && (filter.ended_before.is_none() || event.state != State::Pending)
}
