//! An inbox that is moved into one of another kind.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::Connection;

use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::lock::{DirLock, OpenGuard};
use super::row::{EVENT, EventRow, REPEAT, State, cached, record_id, seq_of, walk};
use super::schema::{self, Access, FILE};
use super::tool::DiskRecords;
use super::{LOCK_FILE, directory, load, time};
use crate::event::{HandlerName, Identity, Lane, RecordId};
use crate::inbox::{Record, RecordFilter, Records};

/// The names of directories, before a number that no other inbox has.
const LEAVING: &str = "moving-";
const LEFT: &str = "moved-";

/// An inbox on its way to another one. Its files lie in a directory of their own, in which no
/// receiver looks for them, whatever becomes of this process.
pub(in crate::inbox) struct Leaving {
    records: DiskRecords,
    directory: PathBuf,
    /// By which it is known where it goes.
    number: u64,
    _lock: (DirLock, OpenGuard),
}

/// One event of it.
pub(in crate::inbox) struct LeavingEvent {
    pub(in crate::inbox) id: RecordId,
    pub(in crate::inbox) identity: Identity,
    pub(in crate::inbox) kept_at: SystemTime,
    /// Other events may have its identity too.
    pub(in crate::inbox) shares_identity: bool,
    pub(in crate::inbox) possible_repeat: bool,
    pub(in crate::inbox) lane: Option<Lane>,
    /// Handlers whose next attempt is made in their lane.
    pub(in crate::inbox) in_lane: BTreeSet<HandlerName>,
    /// None when nothing but its identity is left.
    pub(in crate::inbox) record: Option<Record>,
}

impl Leaving {
    /// Takes the inbox of a directory out of it, or goes on with one that was; `None` when there is
    /// neither. It blocks.
    pub(in crate::inbox) fn begin(directory: &Path) -> Result<Option<Self>> {
        let failed = |error: io::Error| DiskInboxError::from(error).at(directory);
        if !directory.is_dir() {
            return Ok(None);
        }
        let lock = DirLock::acquire(directory, LOCK_FILE);
        let lock = lock.map_err(|error| error.at(directory))?;
        let is_there = directory.join(FILE).exists();
        let number = match named(directory, LEAVING).map_err(failed)? {
            Some(number) => number,
            None if is_there => fastrand::u64(1..1 << 63),
            None => return Ok(None),
        };
        let aside = directory.join(format!("{LEAVING}{number:016x}"));
        // What was taken out only in part goes on; beside all of one may lie a later inbox.
        if !is_there || !aside.join(FILE).exists() {
            if is_there {
                into_one_file(directory).map_err(|error| error.at(directory))?;
            }
            take_out(directory, &aside).map_err(failed)?;
        }
        Ok(Some(Self {
            records: DiskRecords::open(aside)?,
            directory: directory.to_owned(),
            number,
            _lock: lock,
        }))
    }

    /// Whether one has gone from this directory.
    pub(in crate::inbox) fn has_left(directory: &Path) -> bool {
        named(directory, LEFT).is_ok_and(|number| number.is_some())
    }

    pub(in crate::inbox) fn number(&self) -> u64 {
        self.number
    }

    /// When a process that had it was last known to be up, before a time whose events nobody has
    /// recovered yet.
    pub(in crate::inbox) async fn down_since(&self) -> Result<Option<SystemTime>> {
        let since = self.records.read(load::last_up);
        let since = since.await.map_err(|error| error.at(&self.directory))?;
        Ok(since.map(time::unix))
    }

    /// The number of the last event.
    pub(in crate::inbox) async fn last(&self) -> Result<RecordId> {
        let last = self.records.read(|connection| {
            let mut last = cached(connection, "SELECT coalesce(max(seq), 0) FROM event")?;
            Ok(last.query_row([], |row| row.get::<_, i64>(0))?)
        });
        let last = last.await.map_err(|error| error.at(&self.directory))?;
        Ok(record_id(last))
    }

    /// The next events, none at the end. One that is damaged is an error: the inbox is to be
    /// salvaged first.
    pub(in crate::inbox) async fn after(&self, id: RecordId) -> Result<Vec<LeavingEvent>> {
        let from = seq_of(id).saturating_add(1);
        let read = self.records.read(move |connection| read(connection, from));
        let mut events = read.await.map_err(|error| error.at(&self.directory))?;
        let wanted = events.iter().filter(|(_, has_body)| *has_body).count();
        let filter = RecordFilter::new();
        let listed = self.records.list(&filter, Some(id), wanted).await;
        let damaged = || DiskInboxError::damaged().at(&self.directory);
        let unread = |error| DiskInboxError::unread(error).at(&self.directory);
        let mut records = listed.map_err(unread)?.records.into_iter();
        for (event, has_body) in &mut events {
            if *has_body {
                let record = records.next().filter(|record| record.id == event.id);
                event.record = Some(record.ok_or_else(damaged)?);
            }
        }
        Ok(events.into_iter().map(|(event, _)| event).collect())
    }

    /// All of it has arrived. What is left of it here is for whoever wants to go back.
    pub(in crate::inbox) fn end(self) -> Result<()> {
        let Self { number, .. } = self;
        let [from, to] = [LEAVING, LEFT].map(|name| format!("{name}{number:016x}"));
        let [from, to] = [from, to].map(|name| self.directory.join(name));
        let moved = fs::rename(from, to).and_then(|()| directory::sync(&self.directory));
        moved.map_err(|error| DiskInboxError::from(error).at(&self.directory))
    }
}

/// The number of an inbox that lies in a directory of this kind.
fn named(directory: &Path, kind: &str) -> io::Result<Option<u64>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(kind));
        let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
        if number.is_some() {
            return Ok(number);
        }
    }
    Ok(None)
}

/// Puts what is in the write-ahead log into the file: from here on that is all of the inbox, and
/// goes by one rename.
fn into_one_file(directory: &Path) -> Result<()> {
    directory::check(directory)?;
    let file = schema::open(&directory.join(FILE), Access::Write)?;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    match file.query_row(checkpoint, [], |row| row.get(0))? {
        // A tool that reads it.
        true => Err(DiskInboxError::new(DiskInboxErrorKind::Locked {
            holder: None,
        })),
        false => Ok(()),
    }
}

fn take_out(directory: &Path, aside: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(aside)?;
    directory::rename_into(directory, aside)
}

/// The events from a number on, and whether each has its body, as many as may be in memory at once.
fn read(connection: &Connection, from: i64) -> Result<Vec<(LeavingEvent, bool)>> {
    const BODIES: usize = 64;
    const ROWS: usize = 1024;
    let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? ORDER BY seq");
    let (mut events, mut bodies) = (Vec::new(), 0);
    walk(connection, &sql, from, from, |_, row| {
        let event = EventRow::read(row?)?;
        let has_body = event.state != State::Tombstone;
        bodies += usize::from(has_body);
        events.push((of_row(connection, &event)?, has_body));
        Ok(match bodies >= BODIES || events.len() >= ROWS {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    })?;
    Ok(events)
}

fn of_row(connection: &Connection, event: &EventRow) -> Result<LeavingEvent> {
    let sql = "SELECT name.text FROM job JOIN name ON name.id = job.handler \
               WHERE job.seq = ? AND job.stage = 3";
    let mut in_lane = cached(connection, sql)?;
    let in_lane = in_lane.query_map([event.seq], |row| row.get::<_, String>(0))?;
    let in_lane = in_lane.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(LeavingEvent {
        id: record_id(event.seq),
        identity: event.identity,
        kept_at: time::unix(event.kept_at),
        shares_identity: event.shares_identity(),
        possible_repeat: event.has(REPEAT),
        lane: event.lane(),
        in_lane: in_lane.iter().map(|name| HandlerName::new(name)).collect(),
        record: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::DiskInbox;
    use super::super::schema::LOG;
    use super::super::seeded::keep;
    use super::*;

    #[tokio::test]
    async fn the_file_alone_is_all_of_an_inbox_that_is_moved() {
        let directory = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
        fs::create_dir(&to).unwrap();
        let inbox = DiskInbox::open(&from).await.unwrap();
        for number in 0..3 {
            let body = format!(r#"{{"type":"call_hangup","data":{{"id":"call-{number}"}}}}"#);
            keep(&inbox, number, &["crm"], body).await;
        }
        // What a process leaves that is killed now.
        for file in [FILE, LOG] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        inbox.closed().await;
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.len());
        assert!(length(to.join(LOG)) > 0);
        let leaving = Leaving::begin(&to).unwrap().unwrap();
        let aside = to.join(format!("{LEAVING}{:016x}", leaving.number()));
        assert_eq!((length(to.join(LOG)), length(aside.join(LOG))), (0, 0));
        let events = leaving.after(RecordId::new(0)).await.unwrap();
        assert_eq!(events.len(), 3);
    }
}
