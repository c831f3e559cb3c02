//! Opening: what is known in memory of what the file holds, the bodies aside.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::batch::{Batch, Change, Totals, event, interrupted};
use super::names::Names;
use super::ready::{Fact, Open};
use super::row::{DAMAGED, EVENT, EventHead, EventRow, JOB, JobRow, JobStage, MARKS, State, Sum};
use super::shared::{Shared, Work, spread};
use super::store_error::{StoreError, StoreErrorKind};
use super::time::Saved;

/// Identities are read back until so many in a row are too old to be known.
const TOO_OLD: usize = 4096;

/// When the process that used the file was last known to be up.
pub(super) fn saved(connection: &Connection) -> Result<Option<Saved>, StoreError> {
    let time = meta(connection, "time")?;
    let wall = meta(connection, "wall")?;
    Ok(time.zip(wall).map(|(time, wall)| Saved { time, wall }))
}

fn meta(connection: &Connection, name: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    Ok(connection
        .query_row(sql, [name], |row| row.get(0))
        .optional()?)
}

/// Writes down that the process is up, and before which event none is pending: at most this one,
/// from which on memory does not have all.
pub(super) fn save(
    shared: &Shared,
    connection: &Connection,
    known_to: i64,
) -> Result<(), StoreError> {
    let Saved { time, wall } = shared.time.save();
    let pending = shared.ready().first_pending(known_to.cast_unsigned());
    for (name, value) in [
        ("time", time),
        ("wall", wall),
        ("pending", pending.cast_signed()),
    ] {
        connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            params![name, value],
        )?;
    }
    Ok(())
}

/// Reads what the file holds into memory. Gives the number of the next event.
pub(super) fn load(shared: &Shared, connection: &Connection) -> Result<i64, StoreError> {
    let names = Names::load(connection)?;
    *shared.names() = names;
    let mut totals = totals(connection)?;
    let pending = meta(connection, "pending")?.unwrap_or(1);
    identities_before(shared, connection, pending)?;
    let mut damaged = Vec::new();
    events(shared, connection, pending, &mut totals, &mut damaged)?;
    shared.publish(totals);
    let mut changes = jobs(shared, connection)?;
    changes.extend(damaged.into_iter().map(Change::Damaged));
    let next_seq = next_seq(connection)?;
    if let Err(error) = write(shared, connection, next_seq, &changes) {
        tracing::warn!(%error, "what came of the last attempts is written when the inbox can be");
        for change in changes {
            shared.push(Work::Change(change));
        }
    }
    Ok(next_seq)
}

/// A full disk is no reason not to open.
fn write(
    shared: &Shared,
    connection: &Connection,
    next_seq: i64,
    changes: &[Change],
) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::new(connection, shared, next_seq);
    let transaction = connection.unchecked_transaction()?;
    for change in changes {
        batch.apply(change)?;
    }
    transaction.commit()?;
    shared.publish(batch.totals);
    batch.committed();
    Ok(())
}

/// After a commit of which it is not known whether it was written: takes what is there as kept,
/// from this number on. Whoever sent it was refused, and is told of a copy when it sends it again.
pub(super) fn take_over(
    shared: &Shared,
    connection: &Connection,
    from: i64,
) -> Result<i64, StoreError> {
    let mut totals = shared.totals();
    let mut damaged = Vec::new();
    events(shared, connection, from, &mut totals, &mut damaged)?;
    shared.publish(totals);
    for seq in damaged {
        shared.push(Work::Change(Change::Damaged(seq)));
    }
    next_seq(connection)
}

/// The number of the next event, which none had before.
fn next_seq(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = 'event'";
    let last: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    let highest: Option<i64> =
        connection.query_row("SELECT max(seq) FROM event", [], |row| row.get(0))?;
    Ok(last.max(highest).unwrap_or_default() + 1)
}

/// Of dead letters.
fn totals(connection: &Connection) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    let dead = "SELECT count(*) FROM job WHERE stage = 5";
    let dead: i64 = connection.query_row(dead, [], |row| row.get(0))?;
    totals.dead = dead.unsigned_abs() as usize;
    let events = "SELECT count(*), total(body_len), total((flags & ?) <> 0) \
                  FROM event INDEXED BY event_dead WHERE state = 2";
    let (count, bytes, damaged): (i64, f64, f64) =
        connection.query_row(events, [DAMAGED], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    totals.dead_events = count.unsigned_abs() as usize;
    (totals.dead_bytes, totals.damaged) = (bytes as u64, damaged as usize);
    Ok(totals)
}

fn age(kept_at: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now - kept_at).unwrap_or_default())
}

fn remember(shared: &Shared, event: &EventHead, now: i64) {
    let age = age(event.kept_at, now);
    if event.is_replay {
        return;
    }
    if event.marks {
        shared.noted.restore(event.identity, age, false);
    } else {
        let open = event.state == State::Pending;
        shared.seen.restore(event.identity, age, open);
    }
}

/// Identities of what was kept before the first event that may be pending: as many as are
/// remembered.
fn identities_before(
    shared: &Shared,
    connection: &Connection,
    before: i64,
) -> Result<(), StoreError> {
    let now = shared.time.now();
    let from = first_known(shared, connection, (before, now))?;
    let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? AND seq < ? ORDER BY seq");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([from, before])?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next()? {
        match EventHead::read(row, &mut sum) {
            Ok(event) => remember(shared, &event, now),
            // What is damaged is told of when it is looked at.
            Err(error) if error.kind() == StoreErrorKind::Damaged => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The first event before this one whose identity is still known, or one a little older.
fn first_known(
    shared: &Shared,
    connection: &Connection,
    (before, now): (i64, i64),
) -> Result<i64, StoreError> {
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

/// What was kept from this number on.
fn events(
    shared: &Shared,
    connection: &Connection,
    from: i64,
    totals: &mut Totals,
    damaged: &mut Vec<i64>,
) -> Result<(), StoreError> {
    let now = shared.time.now();
    let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? ORDER BY seq");
    let mut select = connection.prepare(&sql)?;
    let mut rows = select.query([from])?;
    let mut least = from;
    let mut sum = Sum::default();
    while let Some(row) = rows.next()? {
        // Of a page that is zeroed all rows have the number 0: which they were is not known here.
        let seq: i64 = row.get(0)?;
        if seq < least {
            return Err(StoreError::new(StoreErrorKind::Damaged));
        }
        least = seq + 1;
        let event = match EventHead::read(row, &mut sum) {
            Ok(event) => event,
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                damaged.push(seq);
                shared.ready().lose(seq.cast_unsigned());
                // Until it is a dead letter.
                let unchecked = EventRow::unchecked(row).ok();
                if let Some(event) = unchecked.filter(|event| event.state == State::Pending) {
                    totals.events += 1;
                    totals.bytes += event.body_len.unwrap_or_default().unsigned_abs();
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        remember(shared, &event, now);
        if event.state != State::Pending {
            continue;
        }
        shared.ready().begin_at(event.seq.cast_unsigned());
        totals.events += 1;
        totals.bytes += event.body_len.unwrap_or_default().unsigned_abs();
    }
    if !damaged.is_empty() {
        tracing::error!(
            events = damaged.len(),
            "events of the inbox are damaged: they are dead letters"
        );
    }
    Ok(())
}

/// Jobs of pending events that ran before. Gives what is to be written of those whose attempt was
/// cut short.
fn jobs(shared: &Shared, connection: &Connection) -> Result<Vec<Change>, StoreError> {
    let now = shared.time.now();
    let mut changes = Vec::new();
    let mut found: Vec<JobRow> = Vec::new();
    let mut select = connection.prepare(&format!("SELECT {JOB} FROM job ORDER BY seq"))?;
    let mut rows = select.query([])?;
    loop {
        let row = rows.next()?;
        let job = match row.map(JobRow::read) {
            None => None,
            Some(Ok(job)) => Some(job),
            Some(Err(error)) if error.kind() == StoreErrorKind::Damaged => {
                tracing::error!("the progress of a job is damaged: its handler runs again");
                continue;
            }
            Some(Err(error)) => return Err(error),
        };
        let next = job.map(|job| job.seq);
        if let Some(first) = found.first()
            && Some(first.seq) != next
        {
            push(
                shared,
                connection,
                std::mem::take(&mut found),
                now,
                &mut changes,
            )?;
        }
        let Some(job) = job else { return Ok(changes) };
        found.push(job);
    }
}

fn push(
    shared: &Shared,
    connection: &Connection,
    mut jobs: Vec<JobRow>,
    now: i64,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let Some(seq) = jobs.first().map(|job| job.seq) else {
        return Ok(());
    };
    let event = match event(connection, seq) {
        Ok(Some(event)) if event.state == State::Pending => event,
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == StoreErrorKind::Damaged => return Ok(()),
        Err(error) => return Err(error),
    };
    for job in &mut jobs {
        if job.stage == JobStage::Running {
            let change = interrupted(*job, shared.time.wall(job.at));
            if let Change::Failed(after, _) = &change {
                *job = *after;
            }
            changes.push(change);
        }
    }
    let Some(list) = shared.list(event.handlers) else {
        return Ok(());
    };
    let fact = Fact {
        base: event.base(),
        body_len: event.body_len.unwrap_or_default(),
        identity: event.identity,
        marks: event.has(MARKS) || event.parent.is_some(),
        list,
    };
    let open = Open::stored(fact, &jobs, now);
    let seq = seq.cast_unsigned();
    let over = shared.settings.spread;
    shared
        .ready()
        .push_stored(seq, open, |left| spread(left, seq, over));
    Ok(())
}
