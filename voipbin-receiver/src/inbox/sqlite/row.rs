//! The rows of the tables, and their checksums: SQLite has none.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use crc32fast::Hasher;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::store_error::{StoreError, StoreErrorKind};
use super::time::{self, millis};
use crate::event::{Delivery, Identity, Origin, Proof, RecordId, StoredDelivery};
use crate::inbox::{Attempt, AttemptEnd, Lane};

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum State {
    Pending = 0,
    Done = 1,
    Dead = 2,
    /// Only its identity is left.
    Gone = 3,
}

impl State {
    fn of(number: i64) -> rusqlite::Result<Self> {
        Ok(match number {
            0 => Self::Pending,
            1 => Self::Done,
            2 => Self::Dead,
            3 => Self::Gone,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(14, other)),
        })
    }
}

pub(super) const SIGNED: i64 = 1;
pub(super) const MARKS: i64 = 2;
pub(super) const REPEAT: i64 = 4;
pub(super) const DAMAGED: i64 = 16;

/// Which hash the lanes are; see [`Lane`].
pub(super) const LANE_VERSION: i64 = 1;

/// The columns of [`EventRow`], in the order in which it reads and binds them.
pub(super) const EVENT: &str = "seq, kept_at, received_at, identity, flags, handlers, type, resource, \
     content_type, lane, lane_version, origin, trace, parent, state, ended_at, body_len, sum";

const EVENT_COLUMNS: usize = 17;

/// What memory knows of any event: a row of `event` without its texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventHead {
    pub(super) seq: i64,
    pub(super) kept_at: i64,
    pub(super) identity: Identity,
    pub(super) state: State,
    pub(super) body_len: Option<i64>,
    pub(super) marks: bool,
    pub(super) is_replay: bool,
}

impl EventHead {
    /// Reads and checks the columns [`EVENT`], in memory that is used again.
    pub(super) fn read(row: &Row<'_>, sum: &mut Sum) -> Result<Self, StoreError> {
        check(row, "event", EVENT_COLUMNS, sum)?;
        let read = || {
            Ok(Self {
                seq: row.get(0)?,
                kept_at: row.get(1)?,
                identity: Identity::from_bytes(row.get(3)?),
                state: State::of(row.get(14)?)?,
                body_len: row.get(16)?,
                marks: row.get::<_, i64>(4)? & MARKS != 0,
                is_replay: row.get_ref(13)? != ValueRef::Null,
            })
        };
        read().map_err(StoreError::of_row)
    }
}

/// A row of `event`.
#[derive(Clone, Debug)]
pub(super) struct EventRow {
    pub(super) seq: i64,
    pub(super) kept_at: i64,
    pub(super) received_at: i64,
    pub(super) identity: Identity,
    pub(super) flags: i64,
    pub(super) handlers: i64,
    pub(super) kind: Option<i64>,
    pub(super) resource: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) lane: Option<i64>,
    pub(super) lane_version: Option<i64>,
    pub(super) origin: Option<i64>,
    pub(super) trace: Option<String>,
    pub(super) parent: Option<i64>,
    pub(super) state: State,
    pub(super) ended_at: Option<i64>,
    pub(super) body_len: Option<i64>,
}

/// The checksum of the columns of an event that never change. The others are added to it when they
/// do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base(u32);

impl Base {
    pub(super) fn sum(self, state: State, ended_at: Option<i64>, body_len: Option<i64>) -> i64 {
        let mut sum = Sum(Vec::with_capacity(27));
        sum.int(Some(state as i64)).int(ended_at).int(body_len);
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(&sum.0);
        hasher.finalize().into()
    }
}

impl EventRow {
    pub(super) fn base(&self) -> Base {
        let mut sum = Sum::of("event");
        sum.int(Some(self.seq))
            .int(Some(self.kept_at))
            .int(Some(self.received_at))
            .bytes(Some(self.identity.as_bytes()))
            .int(Some(self.flags))
            .int(Some(self.handlers))
            .int(self.kind)
            .text(self.resource.as_ref())
            .text(self.content_type.as_ref())
            .int(self.lane)
            .int(self.lane_version)
            .int(self.origin)
            .text(self.trace.as_ref())
            .int(self.parent);
        Base(crc32fast::hash(&sum.0))
    }

    /// Reads and checks the columns [`EVENT`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        check(
            row,
            "event",
            EVENT_COLUMNS,
            &mut Sum(Vec::with_capacity(256)),
        )?;
        Self::unchecked(row).map_err(StoreError::of_row)
    }

    /// Whatever its checksum says.
    pub(super) fn unchecked(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            kept_at: row.get(1)?,
            received_at: row.get(2)?,
            identity: Identity::from_bytes(row.get(3)?),
            flags: row.get(4)?,
            handlers: row.get(5)?,
            kind: row.get(6)?,
            resource: row.get(7)?,
            content_type: row.get(8)?,
            lane: row.get(9)?,
            lane_version: row.get(10)?,
            origin: row.get(11)?,
            trace: row.get(12)?,
            parent: row.get(13)?,
            state: State::of(row.get(14)?)?,
            ended_at: row.get(15)?,
            body_len: row.get(16)?,
        })
    }

    pub(super) fn insert(&self, connection: &Connection) -> Result<(), StoreError> {
        let sum = self.base().sum(self.state, self.ended_at, self.body_len);
        let mut insert = cached(
            connection,
            "INSERT INTO event (seq, kept_at, received_at, identity, flags, handlers, type, \
             resource, content_type, lane, lane_version, origin, trace, parent, state, ended_at, \
             body_len, sum) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )?;
        insert.execute(params![
            self.seq,
            self.kept_at,
            self.received_at,
            self.identity.as_bytes(),
            self.flags,
            self.handlers,
            self.kind,
            self.resource,
            self.content_type,
            self.lane,
            self.lane_version,
            self.origin,
            self.trace,
            self.parent,
            self.state as i64,
            self.ended_at,
            self.body_len,
            sum,
        ])?;
        Ok(())
    }

    /// What is left when nothing but the identity is.
    pub(super) fn emptied(&self) -> Self {
        Self {
            state: State::Gone,
            ended_at: Some(self.kept_at),
            body_len: None,
            kind: None,
            resource: None,
            content_type: None,
            trace: None,
            ..self.clone()
        }
    }

    pub(super) fn has(&self, flag: i64) -> bool {
        self.flags & flag != 0
    }

    /// None when it was kept with another hash.
    pub(super) fn lane(&self) -> Option<Lane> {
        let lane = self
            .lane
            .filter(|_| self.lane_version == Some(LANE_VERSION));
        lane.map(|lane| Lane::from_number(lane.cast_unsigned()))
    }

    pub(super) fn parent(&self) -> Option<RecordId> {
        self.parent
            .map(|parent| RecordId::new(parent.cast_unsigned()))
    }

    /// The event again. It is damaged when its body is not JSON, as each is that was kept.
    pub(super) fn delivery(&self, body: Bytes) -> Result<Delivery, StoreError> {
        let proof = match self.has(SIGNED) {
            true => Proof::Signed,
            false => Proof::Unsigned,
        };
        let received_at = time::unix(self.received_at);
        let mut stored = StoredDelivery::new(body, self.identity, proof, received_at);
        stored.origin = match self.origin {
            None => Origin::Webhook,
            Some(1) => Origin::Replay,
            Some(2) => Origin::Stream,
            Some(3) => Origin::History,
            Some(_) => return Err(StoreError::new(StoreErrorKind::Damaged)),
        };
        stored.content_type = self.content_type.clone();
        let restored = stored.restore();
        restored.map_err(|_| StoreError::new(StoreErrorKind::Damaged))
    }
}

/// An origin as a column has it.
pub(super) fn origin(origin: Origin) -> Option<i64> {
    match origin {
        Origin::Webhook => None,
        Origin::Replay => Some(1),
        Origin::Stream => Some(2),
        Origin::History => Some(3),
    }
}

/// Gives the rows of a statement that selects them by their number: from one on, in order. Tells
/// whether these were all, and not stopped at.
///
/// Where SQLite finds a page wrong it gives no number of what lies there: each below `end` is given
/// as damaged, until one can be read again.
pub(super) fn walk(
    connection: &Connection,
    sql: &str,
    mut from: i64,
    end: i64,
    mut each: impl FnMut(i64, Result<&Row<'_>, StoreError>) -> Result<ControlFlow<()>, StoreError>,
) -> Result<bool, StoreError> {
    loop {
        let mut select = cached(connection, sql)?;
        let mut rows = select.query([from])?;
        let error = loop {
            match rows.next() {
                Ok(None) => return Ok(true),
                Err(error) => break StoreError::from(error),
                Ok(Some(row)) => {
                    let seq = row.get(0).map_err(StoreError::of_row)?;
                    // Of a page that is zeroed all rows have the number 0.
                    if seq < from {
                        break StoreError::new(StoreErrorKind::Damaged);
                    }
                    from = seq + 1;
                    if each(seq, Ok(row))?.is_break() {
                        return Ok(false);
                    }
                }
            }
        };
        if error.kind() != StoreErrorKind::Damaged {
            return Err(error);
        }
        if from >= end {
            return Ok(true);
        }
        from += 1;
        if each(from - 1, Err(error))?.is_break() {
            return Ok(false);
        }
    }
}

pub(super) fn insert_body(
    connection: &Connection,
    seq: i64,
    body: &[u8],
) -> Result<(), StoreError> {
    let mut insert = cached(
        connection,
        "INSERT INTO body (seq, bytes, sum) VALUES (?,?,?)",
    )?;
    insert.execute(params![seq, body, body_sum(seq, body)])?;
    Ok(())
}

/// The body of an event. It is damaged when it is not there.
pub(super) fn body(connection: &Connection, seq: i64) -> Result<Bytes, StoreError> {
    let damaged = || StoreError::new(StoreErrorKind::Damaged);
    let mut select = cached(connection, "SELECT bytes, sum FROM body WHERE seq = ?")?;
    let mut rows = select.query([seq])?;
    let row = rows.next()?.ok_or_else(damaged)?;
    let ValueRef::Blob(bytes) = row.get_ref(0)? else {
        return Err(damaged());
    };
    let sum: i64 = row.get(1).map_err(StoreError::of_row)?;
    match sum == body_sum(seq, bytes) {
        true => Ok(Bytes::copy_from_slice(bytes)),
        false => Err(damaged()),
    }
}

/// The body of an event, damaged or not.
pub(super) fn any_body(connection: &Connection, seq: i64) -> Result<Vec<u8>, StoreError> {
    let mut select = cached(connection, "SELECT bytes FROM body WHERE seq = ?")?;
    let bytes = select.query_row([seq], |row| row.get(0));
    let bytes = bytes.optional().map_err(StoreError::of_row)?;
    Ok(bytes.unwrap_or_default())
}

fn body_sum(seq: i64, body: &[u8]) -> i64 {
    let mut hasher = Hasher::new();
    hasher.update(&seq.to_le_bytes());
    hasher.update(body);
    hasher.finalize().into()
}

/// Where a job stands, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub(super) enum JobStage {
    Queued = 0,
    Running = 1,
    Waiting = 2,
    WaitingInLane = 3,
    Done = 4,
    Dead = 5,
    Replayed = 6,
}

/// The columns of [`JobRow`].
pub(super) const JOB: &str = "seq, handler, stage, attempts, interrupted, at, wait, sum";

/// A row of `job`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobRow {
    pub(super) seq: i64,
    pub(super) handler: i64,
    pub(super) stage: JobStage,
    pub(super) attempts: u32,
    pub(super) interrupted: bool,
    pub(super) at: i64,
    pub(super) wait: Option<i64>,
}

impl JobRow {
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        check(row, "job", 7, &mut Sum(Vec::with_capacity(80)))?;
        Self::unchecked(row).map_err(StoreError::of_row)
    }

    fn unchecked(row: &Row<'_>) -> rusqlite::Result<Self> {
        let stage = match row.get::<_, i64>(2)? {
            0 => JobStage::Queued,
            1 => JobStage::Running,
            2 => JobStage::Waiting,
            3 => JobStage::WaitingInLane,
            4 => JobStage::Done,
            5 => JobStage::Dead,
            6 => JobStage::Replayed,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(2, other)),
        };
        Ok(Self {
            seq: row.get(0)?,
            handler: row.get(1)?,
            stage,
            attempts: row.get(3)?,
            interrupted: row.get(4)?,
            at: row.get(5)?,
            wait: row.get(6)?,
        })
    }

    fn sum(&self) -> i64 {
        let mut sum = Sum::of("job");
        sum.int(Some(self.seq))
            .int(Some(self.handler))
            .int(Some(self.stage as i64))
            .int(Some(self.attempts.into()))
            .int(Some(self.interrupted.into()))
            .int(Some(self.at))
            .int(self.wait);
        crc32fast::hash(&sum.0).into()
    }

    /// Writes it, unless the event is over. Tells whether it did.
    pub(super) fn put(&self, connection: &Connection) -> Result<bool, StoreError> {
        let mut put = cached(
            connection,
            "INSERT OR REPLACE INTO job (seq, handler, stage, attempts, interrupted, at, wait, sum) \
             SELECT ?1,?2,?3,?4,?5,?6,?7,?8 FROM event WHERE seq = ?1 AND state IN (0, 2)",
        )?;
        let written = put.execute(params![
            self.seq,
            self.handler,
            self.stage as i64,
            self.attempts,
            self.interrupted,
            self.at,
            self.wait,
            self.sum(),
        ])?;
        Ok(written > 0)
    }
}

/// The jobs of an event for which there are rows. Where one is damaged it is left out: its handler
/// runs again.
pub(super) fn jobs(connection: &Connection, seq: i64) -> Result<Vec<JobRow>, StoreError> {
    let sql = "SELECT seq, handler, stage, attempts, interrupted, at, wait, sum FROM job \
               WHERE seq = ?";
    let mut select = cached(connection, sql)?;
    let mut rows = select.query([seq])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        match JobRow::read(row) {
            Ok(job) => jobs.push(job),
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                tracing::error!(
                    seq,
                    "the progress of a job is damaged: its handler runs again"
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(jobs)
}

/// Attempts of a job that are kept. The others still count.
const MOST_ATTEMPTS: i64 = 16;

/// Bytes of an error's text that are kept.
const MOST_TEXT: usize = 1024;

/// Writes an attempt that ended badly.
pub(super) fn put_attempt(
    connection: &Connection,
    (seq, handler, number): (i64, i64, u32),
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let (ended, error) = match &attempt.ended {
        AttemptEnd::Failed(error) => (0, Some(cut(error))),
        AttemptEnd::Panicked => (1, None),
        AttemptEnd::TimedOut => (2, None),
        AttemptEnd::Interrupted => (3, None),
    };
    let at = time::of_unix(attempt.began_at);
    let took = millis(attempt.took);
    let sum = attempt_sum([seq, handler, number.into(), at, took, ended], error);
    let mut put = cached(
        connection,
        "INSERT OR REPLACE INTO attempt (seq, handler, number, at, took, ended, error, sum) \
         SELECT ?1,?2,?3,?4,?5,?6,?7,?8 FROM event WHERE seq = ?1 AND state IN (0, 2)",
    )?;
    put.execute(params![seq, handler, number, at, took, ended, error, sum])?;
    if i64::from(number) > MOST_ATTEMPTS {
        let mut remove = cached(
            connection,
            "DELETE FROM attempt WHERE seq = ? AND handler = ? AND number <= ?",
        )?;
        remove.execute(params![seq, handler, i64::from(number) - MOST_ATTEMPTS])?;
    }
    Ok(())
}

/// The known attempts at the jobs of an event, with handler and number, the oldest first. What is
/// damaged is left out.
pub(super) fn attempts(
    connection: &Connection,
    seq: i64,
) -> Result<Vec<(i64, u32, Attempt)>, StoreError> {
    let sql = "SELECT handler, number, at, took, ended, error, sum FROM attempt WHERE seq = ?";
    let mut select = cached(connection, sql)?;
    let mut rows = select.query([seq])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        if let Ok(Some(attempt)) = read_attempt(seq, row) {
            attempts.push(attempt);
        }
    }
    Ok(attempts)
}

fn read_attempt(seq: i64, row: &Row<'_>) -> rusqlite::Result<Option<(i64, u32, Attempt)>> {
    let (handler, number): (i64, u32) = (row.get(0)?, row.get(1)?);
    let (at, took, ended): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
    let error: Option<String> = row.get(5)?;
    let sum = attempt_sum(
        [seq, handler, number.into(), at, took, ended],
        error.as_deref(),
    );
    let end = match (ended, error) {
        (0, Some(error)) => AttemptEnd::Failed(error),
        (1, None) => AttemptEnd::Panicked,
        (2, None) => AttemptEnd::TimedOut,
        (3, None) => AttemptEnd::Interrupted,
        _ => return Ok(None),
    };
    if row.get::<_, i64>(6)? != sum {
        return Ok(None);
    }
    let took = Duration::from_millis(took.unsigned_abs());
    Ok(Some((
        handler,
        number,
        Attempt::new(time::unix(at), took, end),
    )))
}

fn attempt_sum(numbers: [i64; 6], error: Option<&str>) -> i64 {
    let mut sum = Sum::of("attempt");
    for number in numbers {
        sum.int(Some(number));
    }
    sum.bytes(error.map(str::as_bytes));
    crc32fast::hash(&sum.0).into()
}

/// As much of a text as is kept.
fn cut(text: &str) -> &str {
    let mut most = MOST_TEXT.min(text.len());
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    text.get(..most).unwrap_or_default()
}

/// An attempt that the death of the process cut short.
pub(super) fn interrupted(began_at: SystemTime) -> Attempt {
    Attempt::new(began_at, Duration::ZERO, AttemptEnd::Interrupted)
}

/// Compares the checksum of a row, which comes after the columns that it is over.
fn check(row: &Row<'_>, table: &str, columns: usize, sum: &mut Sum) -> Result<(), StoreError> {
    let damaged = || StoreError::new(StoreErrorKind::Damaged);
    sum.0.clear();
    sum.0.extend_from_slice(table.as_bytes());
    for column in 0..columns {
        match row.get_ref(column)? {
            ValueRef::Null => sum.int(None),
            ValueRef::Integer(value) => sum.int(Some(value)),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => sum.bytes(Some(bytes)),
            ValueRef::Real(_) => return Err(damaged()),
        };
    }
    let stored: i64 = row.get(columns).map_err(StoreError::of_row)?;
    match i64::from(crc32fast::hash(&sum.0)) == stored {
        true => Ok(()),
        false => Err(damaged()),
    }
}

/// What a checksum is taken of: each value with its kind and its length.
#[derive(Default)]
pub(super) struct Sum(Vec<u8>);

impl Sum {
    /// Of a row of this table.
    fn of(table: &str) -> Self {
        let mut sum = Self(Vec::with_capacity(256));
        sum.0.extend_from_slice(table.as_bytes());
        sum
    }

    fn int(&mut self, value: Option<i64>) -> &mut Self {
        self.0.push(u8::from(value.is_some()));
        self.0
            .extend_from_slice(&value.unwrap_or_default().to_le_bytes());
        self
    }

    fn text(&mut self, value: Option<&String>) -> &mut Self {
        self.bytes(value.map(String::as_bytes))
    }

    fn bytes(&mut self, value: Option<&[u8]>) -> &mut Self {
        let bytes = value.unwrap_or_default();
        self.int(value.map(|bytes| bytes.len() as i64));
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A statement that is prepared once for each connection.
pub(super) fn cached<'a>(
    connection: &'a Connection,
    sql: &str,
) -> Result<CachedStatement<'a>, StoreError> {
    Ok(connection.prepare_cached(sql)?)
}
