//! Events as the file has them, for whoever looks into it.

use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;

use super::names::{List, Names};
use super::row::{self, EVENT, EventRow, JobRow, JobStage, State};
use super::store_error::{StoreError, StoreErrorKind};
use crate::event::HandlerName;
use crate::event::RecordId;
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

/// Which of the events come first.
#[derive(Clone, Copy)]
pub(super) enum First {
    Earliest,
    Latest,
}

impl First {
    /// Those from a number on, in this order.
    const fn sql(self) -> &'static str {
        match self {
            Self::Earliest => "seq >= ? ORDER BY seq",
            Self::Latest => "seq <= ? ORDER BY seq DESC",
        }
    }
}

/// Some events, and the number from which to go on.
pub(super) struct Page {
    pub(super) records: Vec<Record>,
    /// Those that are damaged, and hold what is looked for in bodies.
    pub(super) damaged: Vec<i64>,
    pub(super) next: Option<i64>,
}

impl View<'_> {
    /// Reads events from this number on that the filter takes, up to so many, for a moment at most.
    pub(super) fn page(
        &self,
        connection: &Connection,
        filter: &RecordFilter,
        first: First,
        from: i64,
        most: usize,
    ) -> Result<Page, StoreError> {
        let since = Instant::now();
        let names = Names::load(connection)?;
        let dead = filter.state == Some(RecordState::Dead) && filter.handler.is_none();
        let which = match dead {
            true => "INDEXED BY event_dead WHERE state = 2",
            false => "WHERE state < 3",
        };
        let sql = format!("SELECT {EVENT} FROM event {which} AND {}", first.sql());
        let mut select = row::cached(connection, &sql)?;
        let mut rows = select.query([from])?;
        let (mut records, mut damaged) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let seq = row.get(0).map_err(StoreError::of_row)?;
            if records.len() >= most || since.elapsed() > TIME {
                let next = Some(seq);
                return Ok(Page {
                    records,
                    damaged,
                    next,
                });
            }
            let read = EventRow::read(row).and_then(|event| match meets(filter, &event) {
                true => self.record(connection, &names, &event).map(Some),
                false => Ok(None),
            });
            match read {
                Ok(record) => records.extend(record.filter(|record| filter.takes(record))),
                // It is told of where it is to be handled.
                Err(error) if error.kind() == StoreErrorKind::Damaged => {
                    let bytes = row::any_body(connection, seq);
                    let is_meant = bytes.is_ok_and(|bytes| filter.is_in(&bytes));
                    damaged.extend(is_meant.then_some(seq));
                }
                Err(error) => return Err(error),
            }
        }
        let next = None;
        Ok(Page {
            records,
            damaged,
            next,
        })
    }

    /// One event, unless nothing but its identity is left, or it is damaged.
    pub(super) fn one(
        &self,
        connection: &Connection,
        seq: i64,
    ) -> Result<Option<Record>, StoreError> {
        let sql = format!("SELECT {EVENT} FROM event WHERE seq = ? AND state < 3");
        let mut select = row::cached(connection, &sql)?;
        let mut rows = select.query([seq])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let names = Names::load(connection)?;
        let read = EventRow::read(row).and_then(|event| self.record(connection, &names, &event));
        match read {
            Err(error) if error.kind() == StoreErrorKind::Damaged => Ok(None),
            read => read.map(Some),
        }
    }

    fn record(
        &self,
        connection: &Connection,
        names: &Names,
        event: &EventRow,
    ) -> Result<Record, StoreError> {
        let damaged = || StoreError::new(StoreErrorKind::Damaged);
        let list = names.by_id(event.handlers).ok_or_else(damaged)?;
        let delivery = event.delivery(row::body(connection, event.seq)?)?;
        let jobs = self.jobs(connection, event, list)?;
        let id = RecordId::new(event.seq.cast_unsigned());
        Ok(Record::new(id, delivery, event.parent(), jobs))
    }

    fn jobs(
        &self,
        connection: &Connection,
        event: &EventRow,
        list: &List,
    ) -> Result<Vec<JobRecord>, StoreError> {
        let rows = row::jobs(connection, event.seq)?;
        let attempts =
            match rows.iter().any(|row| row.attempts > 0) || event.state != State::Pending {
                true => row::attempts(connection, event.seq)?,
                false => Vec::new(),
            };
        let job = |(id, handler): (&i64, &HandlerName)| {
            let row = rows.iter().find(|row| row.handler == *id);
            let mut job = JobRecord::new(handler.clone(), self.stage(event, handler, row));
            let own = attempts.iter().filter(|(of, ..)| of == id);
            job.history = own.clone().map(|(.., attempt)| attempt.clone()).collect();
            let last = own.map(|(_, number, _)| *number).max();
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
        Ok(list.ids.iter().zip(&list.jobs).map(job).collect())
    }

    fn stage(&self, event: &EventRow, handler: &HandlerName, row: Option<&JobRow>) -> Stage {
        let ended = (self.wall)(event.ended_at.unwrap_or_default());
        let Some(row) = row else {
            return match event.state {
                State::Pending if (self.is_held)(event.seq, handler) => Stage::Held,
                State::Pending => Stage::Queued,
                State::Done | State::Dead | State::Gone => Stage::Done { at: ended },
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
            JobStage::Waiting | JobStage::WaitingInLane => Stage::Waiting {
                until: (self.wall)(row.at.saturating_add(row.wait.unwrap_or_default())),
            },
        }
    }
}

/// Whether a filter may take an event, as far as its row tells.
fn meets(filter: &RecordFilter, event: &EventRow) -> bool {
    let state = match filter.state {
        // Beside a handler it is that one's.
        _ if filter.handler.is_some() => true,
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
