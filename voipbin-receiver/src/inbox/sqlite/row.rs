//! The rows of the tables, and their checksums: SQLite has none.

use std::ops::ControlFlow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::checksum::{body_sum, check, checksum, of_table, write};
use super::error::{DiskInboxError, Result, unless_damaged};
use super::time::{self, millis};
use crate::event::{Delivery, Identity, Origin, Proof, RecordId, StoredDelivery, TraceContext};
use crate::inbox::{Attempt, AttemptEnd, Lane};

/// Enums that are stored as a number.
macro_rules! stored_enums {
    ($($(#[$meta:meta])* $name:ident { $($variant:ident = $number:literal,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant = $number,)* }

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok((*self as i64).into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                match value.as_i64()? {
                    $($number => Ok(Self::$variant),)*
                    other => Err(FromSqlError::OutOfRange(other)),
                }
            }
        }
    )*};
}

stored_enums! {
    /// How far an event has come. Of a tombstone only the identity is left.
    State { Pending = 0, Done = 1, Dead = 2, Tombstone = 3, }

    /// Where a job stands, as it is stored.
    JobStage {
        Queued = 0,
        Running = 1,
        Delayed = 2,
        DelayedInLane = 3,
        Done = 4,
        Dead = 5,
        Replayed = 6,
    }
}

impl JobStage {
    pub(super) fn has_ended(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Replayed)
    }
}

pub(super) const SIGNED: i64 = 1;
pub(super) const MARKS: i64 = 2;
pub(super) const REPEAT: i64 = 4;
pub(super) const DAMAGED: i64 = 16;

/// Which hash the lanes are; see [`Lane`].
const LANE_VERSION: i64 = 1;

/// The columns of `event`, in the order in which [`EventRow`] reads and binds them.
macro_rules! event_columns {
    () => {
        "seq, kept_at, received_at, identity, flags, handlers, type, resource, content_type, \
         lane, lane_version, origin, trace, parent, state, ended_at, body_len, sum"
    };
}
pub(super) const EVENT: &str = event_columns!();

/// The columns of `job`.
pub(super) const JOB: &str = "seq, handler, stage, attempts, interrupted, at, wait, sum";

/// The columns of `attempt`.
pub(super) const ATTEMPT: &str = "seq, handler, number, at, took, ended, error, sum";

/// The number of a record as the tables have it.
pub(super) fn seq_of(id: RecordId) -> i64 {
    id.get().cast_signed()
}

pub(super) fn record_id(seq: i64) -> RecordId {
    RecordId::new(seq.cast_unsigned())
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
pub(super) struct FixedSum(u32);

impl FixedSum {
    pub(super) fn with(self, state: State, ended_at: i64, body_len: i64) -> Result<u32> {
        checksum(self.0, &[&state, &ended_at, &body_len])
    }
}

impl EventRow {
    /// How many of the columns never change, from the first on.
    const FIXED: usize = 14;

    /// Reads and checks the columns [`EVENT`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        check(row, "event")?;
        Self::unchecked(row)
    }

    /// What there is of one that may be damaged. Then its length is not known: by a wrong one the
    /// limits of the inbox would be passed, and intact events be dropped for it.
    pub(super) fn salvaged(row: &Row<'_>) -> Result<Self> {
        let event = Self::unchecked(row)?;
        Ok(match unless_damaged(check(row, "event"))? {
            Some(()) => event,
            None => Self {
                body_len: None,
                ..event
            },
        })
    }

    fn unchecked(row: &Row<'_>) -> Result<Self> {
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
            state: row.get(14)?,
            ended_at: row.get(15)?,
            body_len: row.get(16)?,
        })
    }

    fn values(&self) -> [&dyn ToSql; 17] {
        [
            &self.seq,
            &self.kept_at,
            &self.received_at,
            self.identity.as_bytes(),
            &self.flags,
            &self.handlers,
            &self.kind,
            &self.resource,
            &self.content_type,
            &self.lane,
            &self.lane_version,
            &self.origin,
            &self.trace,
            &self.parent,
            &self.state,
            &self.ended_at,
            &self.body_len,
        ]
    }

    pub(super) fn fixed_sum(&self) -> Result<FixedSum> {
        let values = self.values();
        let fixed = values.get(..Self::FIXED).unwrap_or_default();
        Ok(FixedSum(checksum(of_table("event"), fixed)?))
    }

    pub(super) fn insert(&self, connection: &Connection) -> Result<()> {
        const SQL: &str = concat!(
            "INSERT INTO event (",
            event_columns!(),
            ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        );
        write(connection, SQL, "event", &self.values()).map(drop)
    }

    /// Puts it in the place of the row that there is.
    pub(super) fn replace(&self, connection: &Connection) -> Result<()> {
        const SQL: &str = concat!(
            "REPLACE INTO event (",
            event_columns!(),
            ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        );
        write(connection, SQL, "event", &self.values()).map(drop)
    }

    /// What is left when nothing but the identity is.
    pub(super) fn tombstone(&self) -> Self {
        Self {
            state: State::Tombstone,
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

    /// Whether other events may have its identity.
    pub(super) fn shares_identity(&self) -> bool {
        self.has(MARKS) || self.parent.is_some()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.body_len.unwrap_or_default().unsigned_abs()
    }

    /// None when it was kept with another hash.
    pub(super) fn lane(&self) -> Option<Lane> {
        let lane = self
            .lane
            .filter(|_| self.lane_version == Some(LANE_VERSION));
        lane.map(|lane| Lane::from_number(lane.cast_unsigned()))
    }

    pub(super) fn set_lane(&mut self, lane: Option<Lane>) {
        self.lane = lane.map(|lane| lane.get().cast_signed());
        self.lane_version = lane.map(|_| LANE_VERSION);
    }

    /// The event again. It is damaged when its body is not JSON, as each is that was kept.
    pub(super) fn delivery(&self, body: Bytes) -> Result<Delivery> {
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
            Some(4) => Origin::Edited,
            Some(_) => return Err(DiskInboxError::damaged()),
        };
        stored.content_type = self.content_type.clone();
        stored.trace_context = self.trace.as_deref().and_then(TraceContext::of_stored);
        stored.restore().map_err(|_| DiskInboxError::damaged())
    }
}

/// An origin as a column has it.
pub(super) fn origin(origin: Origin) -> Option<i64> {
    match origin {
        Origin::Webhook => None,
        Origin::Replay => Some(1),
        Origin::Stream => Some(2),
        Origin::History => Some(3),
        Origin::Edited => Some(4),
    }
}

/// An event; `None` when there is none of this number.
pub(super) fn event(connection: &Connection, seq: i64) -> Result<Option<EventRow>> {
    let sql = concat!("SELECT ", event_columns!(), " FROM event WHERE seq = ?");
    let mut select = cached(connection, sql)?;
    let mut rows = select.query([seq])?;
    rows.next()?.map(EventRow::read).transpose()
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
    mut each: impl FnMut(i64, Result<&Row<'_>>) -> Result<ControlFlow<()>>,
) -> Result<bool> {
    loop {
        let mut select = cached(connection, sql)?;
        let mut rows = select.query([from])?;
        let error = loop {
            match rows.next() {
                Ok(None) => return Ok(true),
                Err(error) => break DiskInboxError::from(error),
                Ok(Some(row)) => {
                    let seq = row.get(0)?;
                    // Of a page that is zeroed all rows have the number 0.
                    if seq < from {
                        break DiskInboxError::damaged();
                    }
                    from = seq + 1;
                    if each(seq, Ok(row))?.is_break() {
                        return Ok(false);
                    }
                }
            }
        };
        if !error.is_damaged() {
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

pub(super) fn insert_body(connection: &Connection, seq: i64, body: &[u8]) -> Result<()> {
    let sql = "INSERT INTO body (seq, bytes, sum) VALUES (?,?,?)";
    cached(connection, sql)?.execute(params![seq, body, body_sum(seq, body)])?;
    Ok(())
}

/// The body of an event. It is damaged when it is not there.
pub(super) fn body(connection: &Connection, seq: i64) -> Result<Bytes> {
    let mut select = cached(connection, "SELECT bytes, sum FROM body WHERE seq = ?")?;
    let mut rows = select.query([seq])?;
    let row = rows.next()?.ok_or_else(DiskInboxError::damaged)?;
    match row.get_ref(0)? {
        ValueRef::Blob(bytes) if row.get::<_, u32>(1)? == body_sum(seq, bytes) => {
            Ok(Bytes::copy_from_slice(bytes))
        }
        _ => Err(DiskInboxError::damaged()),
    }
}

/// The body of an event, damaged or not.
pub(super) fn any_body(connection: &Connection, seq: i64) -> Result<Vec<u8>> {
    let mut select = cached(connection, "SELECT bytes FROM body WHERE seq = ?")?;
    let bytes = select.query_row([seq], |row| row.get(0)).optional()?;
    Ok(bytes.unwrap_or_default())
}

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
    /// A job that never ran.
    pub(super) fn new(seq: i64, handler: i64) -> Self {
        Self {
            seq,
            handler,
            stage: JobStage::Queued,
            attempts: 0,
            interrupted: false,
            at: 0,
            wait: None,
        }
    }

    /// Reads and checks the columns [`JOB`].
    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        check(row, "job")?;
        Ok(Self {
            seq: row.get(0)?,
            handler: row.get(1)?,
            stage: row.get(2)?,
            attempts: row.get(3)?,
            interrupted: row.get(4)?,
            at: row.get(5)?,
            wait: row.get(6)?,
        })
    }

    /// How long it is still to wait, at this time: never longer than it was to, whatever became of
    /// the clock.
    pub(super) fn left(&self, now: i64) -> Duration {
        let wait = self.wait.unwrap_or_default();
        let left = self.at.saturating_add(wait).saturating_sub(now);
        Duration::from_millis(left.clamp(0, wait.max(0)).unsigned_abs())
    }

    /// Writes it, unless the event is over. Tells whether it did.
    pub(super) fn put(&self, connection: &Connection) -> Result<bool> {
        let sql = "REPLACE INTO job (seq, handler, stage, attempts, interrupted, at, wait, sum) \
                   SELECT ?1,?2,?3,?4,?5,?6,?7,?8 FROM event WHERE seq = ?1 AND state IN (0, 2)";
        let values: [&dyn ToSql; 7] = [
            &self.seq,
            &self.handler,
            &self.stage,
            &self.attempts,
            &self.interrupted,
            &self.at,
            &self.wait,
        ];
        Ok(write(connection, sql, "job", &values)? > 0)
    }
}

/// The jobs of an event for which there are rows. Where one is damaged it is left out: its handler
/// runs again.
pub(super) fn jobs(connection: &Connection, seq: i64) -> Result<Vec<JobRow>> {
    let sql = format!("SELECT {JOB} FROM job WHERE seq = ?");
    read_all(connection, &sql, seq, JobRow::read)
}

/// A row of `attempt`.
#[derive(Clone, Debug)]
pub(super) struct AttemptRow {
    pub(super) handler: i64,
    pub(super) number: u32,
    pub(super) attempt: Attempt,
}

impl AttemptRow {
    fn read(row: &Row<'_>) -> Result<Self> {
        check(row, "attempt")?;
        let ended = match (row.get(5)?, row.get(6)?) {
            (0, Some(error)) => AttemptEnd::Failed(error),
            (1, None) => AttemptEnd::Panicked,
            (2, None) => AttemptEnd::TimedOut,
            (3, None) => AttemptEnd::Interrupted,
            _ => return Err(DiskInboxError::damaged()),
        };
        let took = Duration::from_millis(row.get::<_, i64>(4)?.unsigned_abs());
        Ok(Self {
            handler: row.get(1)?,
            number: row.get(2)?,
            attempt: Attempt::new(time::unix(row.get(3)?), took, ended),
        })
    }
}

/// Writes an attempt that ended badly, the last one of this job.
pub(super) fn put_attempt(connection: &Connection, job: &JobRow, attempt: &Attempt) -> Result<()> {
    /// Attempts of a job that are kept. The others still count.
    const MOST: i64 = 16;
    /// Bytes of an error's text that are kept.
    const TEXT: usize = 1024;
    let (ended, error) = match &attempt.ended {
        AttemptEnd::Failed(error) => (0, Some(cut(error, TEXT))),
        AttemptEnd::Panicked => (1, None),
        AttemptEnd::TimedOut => (2, None),
        AttemptEnd::Interrupted => (3, None),
    };
    let (at, took) = (time::of_unix(attempt.began_at), millis(attempt.took));
    let sql = "REPLACE INTO attempt (seq, handler, number, at, took, ended, error, sum) \
               SELECT ?1,?2,?3,?4,?5,?6,?7,?8 FROM event WHERE seq = ?1 AND state IN (0, 2)";
    let values: [&dyn ToSql; 7] = [
        &job.seq,
        &job.handler,
        &job.attempts,
        &at,
        &took,
        &ended,
        &error,
    ];
    write(connection, sql, "attempt", &values)?;
    let forgotten = i64::from(job.attempts) - MOST;
    if forgotten > 0 {
        let sql = "DELETE FROM attempt WHERE seq = ? AND handler = ? AND number <= ?";
        cached(connection, sql)?.execute([job.seq, job.handler, forgotten])?;
    }
    Ok(())
}

/// The known attempts at the jobs of an event, the oldest of each first. What is damaged is left
/// out.
pub(super) fn attempts(connection: &Connection, seq: i64) -> Result<Vec<AttemptRow>> {
    let sql = format!("SELECT {ATTEMPT} FROM attempt WHERE seq = ?");
    read_all(connection, &sql, seq, AttemptRow::read)
}

/// An attempt that the death of the process cut short.
pub(super) fn interrupted(began_at: SystemTime) -> Attempt {
    Attempt::new(began_at, Duration::ZERO, AttemptEnd::Interrupted)
}

/// As much of a text as fits in so many bytes.
fn cut(text: &str, mut most: usize) -> &str {
    most = most.min(text.len());
    while !text.is_char_boundary(most) {
        most -= 1;
    }
    text.get(..most).unwrap_or_default()
}

/// The rows of an event that are not damaged.
fn read_all<T>(
    connection: &Connection,
    sql: &str,
    seq: i64,
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut select = cached(connection, sql)?;
    let mut rows = select.query([seq])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let found = unless_damaged(read(row))?;
        if found.is_none() {
            tracing::error!(
                seq,
                "the progress of an event is damaged: a handler of which nothing is known runs again"
            );
        }
        all.extend(found);
    }
    Ok(all)
}

/// A statement that is prepared once for each connection.
pub(super) fn cached<'a>(connection: &'a Connection, sql: &str) -> Result<CachedStatement<'a>> {
    Ok(connection.prepare_cached(sql)?)
}
