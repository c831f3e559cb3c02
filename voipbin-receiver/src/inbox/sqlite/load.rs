//! Opening: what is known in memory of what the file holds, the bodies aside.

use std::ops::Range;
use std::time::Duration;

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::{Change, Totals, interrupted};
use super::error::{DiskInboxError, Result, unless_damaged};
use super::names::Names;
use super::queue::{ActiveEvent, EventMeta};
use super::row::{self, DAMAGED, EVENT, EventRow, JobStage, MARKS, State, cached};
use super::settings::Settings;
use super::shared::{Shared, Work};
use super::time::{Saved, millis, of_unix};

/// When the process that used the file was last known to be up.
pub(super) fn saved(connection: &Connection) -> Result<Option<Saved>> {
    let time = meta(connection, "time")?;
    let wall = meta(connection, "wall")?;
    Ok(time.zip(wall).map(|(time, wall)| Saved { time, wall }))
}

/// When a process was last known to be up, before a time in which events were missed that can still
/// be recovered.
pub(super) fn down_since(
    connection: &Connection,
    settings: &Settings,
    saved: Option<Saved>,
) -> Result<Option<i64>> {
    // What came before is forgotten.
    let known = settings
        .identity_ttl
        .max(settings.retain_done.min(settings.retain_dead));
    let oldest = of_unix(settings.clock.wall()).saturating_sub(millis(known));
    let earlier = meta::<i64>(connection, "down_since")?.filter(|at| *at >= oldest);
    Ok(earlier.or(saved.map(|saved| saved.wall)))
}

/// The same, of an inbox that is no process's.
#[cfg(feature = "postgres")]
pub(super) fn last_up(connection: &Connection) -> Result<Option<i64>> {
    match meta(connection, "down_since")? {
        Some(earlier) => Ok(Some(earlier)),
        None => meta(connection, "wall"),
    }
}

/// What was missed is recovered.
pub(super) fn forget_downtime(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM meta WHERE name = 'down_since'", [])?;
    Ok(())
}

pub(super) fn meta<T: FromSql>(connection: &Connection, name: &str) -> Result<Option<T>> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    let value = connection.query_row(sql, [name], |row| row.get(0));
    Ok(value.optional()?)
}

/// Writes down that the process is up, and before which event none is pending: at most this one,
/// from which on memory does not have all.
pub(super) fn save(shared: &Shared, connection: &Connection, known_to: i64) -> Result<()> {
    let Saved { time, wall } = shared.time.save();
    let pending = shared.queue().first_pending(known_to);
    // The earlier time first: it goes with the one that takes its place.
    let down_since = shared.down_since().map(|at| ("down_since", at));
    let saved = [("time", time), ("wall", wall), ("pending", pending)];
    for (name, value) in down_since.into_iter().chain(saved) {
        let sql = "REPLACE INTO meta VALUES (?, ?)";
        connection.execute(sql, params![name, value])?;
    }
    Ok(())
}

/// Reads what the file holds into memory. Gives the number of the next event.
pub(super) fn load(shared: &Shared, connection: &Connection) -> Result<i64> {
    *shared.names() = Names::load(connection)?;
    let pending = meta(connection, "pending")?.unwrap_or(1);
    shared.publish(totals(connection)?);
    let known = first_known(shared, connection, pending)?;
    events(shared, connection, known..pending, false)?;
    events(shared, connection, pending..i64::MAX, true)?;
    jobs(shared, connection)?;
    next_seq(connection)
}

/// After a commit of which it is not known whether it was written: takes what is there as kept,
/// from this number on. Whoever sent it was refused, and is told of a copy when it sends it again.
pub(super) fn take_over(shared: &Shared, connection: &Connection, from: i64) -> Result<i64> {
    events(shared, connection, from..i64::MAX, true)?;
    next_seq(connection)
}

/// The number of the next event, which none had before.
fn next_seq(connection: &Connection) -> Result<i64> {
    let last = "SELECT coalesce(max(seq), 0) FROM event";
    let last: i64 = connection.query_row(last, [], |row| row.get(0))?;
    Ok(last.max(meta(connection, "reserved")?.unwrap_or_default()) + 1)
}

/// So many numbers are reserved ahead at least, and twice as many at once: few commits write it.
pub(super) const RESERVED: i64 = 4096;

/// Reserves numbers from this one on, so that none is used again. After a restart those that were
/// not used are left out.
pub(super) fn reserve(connection: &Connection, from: i64) -> Result<()> {
    let sql = "INSERT INTO meta VALUES ('reserved', ?1 + 2 * ?2) \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE value < ?1 + ?2";
    cached(connection, sql)?.execute([from, RESERVED])?;
    Ok(())
}

/// Of dead letters. What is damaged counts, without the length that it says.
fn totals(connection: &Connection) -> Result<Totals> {
    let mut totals = Totals::default();
    let dead = "SELECT count(*) FROM job WHERE stage = 5";
    let dead: i64 = connection.query_row(dead, [], |row| row.get(0))?;
    totals.dead = dead.unsigned_abs() as usize;
    let sql = format!("SELECT {EVENT} FROM event INDEXED BY event_dead WHERE state = 2");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let event = unless_damaged(EventRow::salvaged(row))?;
        let bytes = event.as_ref().map_or(0, EventRow::bytes);
        totals.moves(State::Tombstone, State::Dead, bytes);
        totals.damaged += usize::from(event.is_some_and(|event| event.has(DAMAGED)));
    }
    Ok(totals)
}

fn age(kept_at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now - kept_at).unwrap_or_default())
}

fn remember(shared: &Shared, event: &EventRow, now: i64) {
    let age = age(event.kept_at, now);
    if event.parent.is_some() {
        return;
    }
    match event.has(MARKS) {
        true => shared.repeats.insert(event.identity, age, false),
        false => {
            let open = event.state == State::Pending;
            shared.identities.insert(event.identity, age, open);
        }
    }
}

/// The first event before this one whose identity is still known, or one a little older.
fn first_known(shared: &Shared, connection: &Connection, before: i64) -> Result<i64> {
    /// It is looked for until so many in a row are too old to be known.
    const TOO_OLD: usize = 4096;
    let now = shared.time.now();
    let sql = "SELECT seq, kept_at FROM event WHERE seq < ? ORDER BY seq DESC";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([before])?;
    let (mut from, mut known, mut old) = (before, 0, 0);
    while old < TOO_OLD
        && known < shared.settings.max_identities
        && let Some(row) = rows.next()?
    {
        // Whatever is stored in its place where it is damaged.
        if age(row.get(1).unwrap_or_default(), now) < shared.settings.identity_ttl {
            (from, known, old) = (row.get(0)?, known + 1, 0);
        } else {
            old += 1;
        }
    }
    Ok(from)
}

/// Events of these numbers: none of them is pending, or some may be.
fn events(
    shared: &Shared,
    connection: &Connection,
    seqs: Range<i64>,
    may_be_pending: bool,
) -> Result<()> {
    let now = shared.time.now();
    let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? AND seq < ? ORDER BY seq");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([seqs.start, seqs.end])?;
    let (mut least, mut totals, mut damaged) = (seqs.start, shared.totals(), Vec::new());
    while let Some(row) = rows.next()? {
        let event = unless_damaged(EventRow::read(row))?;
        if let Some(event) = &event {
            remember(shared, event, now);
        }
        if !may_be_pending {
            // What is damaged is told of when it is looked at.
            continue;
        }
        // Of a page that is zeroed all rows have the number 0: which they were is not known here.
        let seq: i64 = row.get(0)?;
        if seq < least {
            return Err(DiskInboxError::damaged());
        }
        least = seq + 1;
        let is_damaged = event.is_none();
        if is_damaged {
            damaged.push(seq);
            shared.queue().lose(seq);
        }
        // What is damaged counts as it did until it is a dead letter.
        let event = event.or_else(|| EventRow::salvaged(row).ok());
        if let Some(event) = event.filter(|event| event.state == State::Pending) {
            totals.moves(State::Tombstone, State::Pending, event.bytes());
            if !is_damaged {
                shared.queue().push_in_file(seq);
            }
        }
    }
    shared.publish(totals);
    if !damaged.is_empty() {
        tracing::error!(
            events = damaged.len(),
            "events of the inbox are damaged: they are dead letters"
        );
    }
    for seq in damaged {
        shared.push(Work::Change(Change::Damaged(seq)));
    }
    Ok(())
}

/// Jobs of pending events that ran before. Of those whose attempt was cut short that is written.
fn jobs(shared: &Shared, connection: &Connection) -> Result<()> {
    let now = shared.time.now();
    let mut select = connection.prepare("SELECT DISTINCT seq FROM job ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let seq = row.get(0).map_err(DiskInboxError::from);
        let event = seq.and_then(|seq| row::event(connection, seq));
        let event = unless_damaged(event)?.flatten();
        let Some(event) = event.filter(|event| event.state == State::Pending) else {
            continue;
        };
        let seq = event.seq;
        let mut jobs = row::jobs(connection, seq)?;
        for job in &mut jobs {
            if job.stage == JobStage::Running {
                let began_at = shared.time.wall(job.at);
                shared.push(Work::Change(interrupted(job, began_at)));
            }
        }
        if let Some(handlers) = shared.handlers(event.handlers) {
            let event = ActiveEvent::new(seq, EventMeta::of(&event, handlers)?, &jobs);
            let over = shared.settings.spread;
            let delay = |job: &row::JobRow| spread(job.left(now), seq, over);
            shared.queue().push_active(seq, event, delay);
        }
    }
    Ok(())
}

/// What is overdue comes within a few seconds and not all at once, after a time without a process.
fn spread(left: Duration, seq: i64, over: Duration) -> Duration {
    if !left.is_zero() {
        return left;
    }
    let place = seq.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let over = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
    Duration::from_millis(place % over)
}
