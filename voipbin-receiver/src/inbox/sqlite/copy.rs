//! Another file with the events of an inbox, each checked by its checksums: a backup, or what can
//! be saved of a damaged one.

use std::collections::BTreeSet;
use std::fs;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};

use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params_from_iter};

use super::directory::sync;
use super::error::{DiskInboxError, Result, unless_damaged};
use super::load;
use super::lock::private;
use super::row::{
    self, ATTEMPT, EVENT, EventRow, JOB, JobRow, JobStage, State, cached, record_id, walk,
};
use super::schema::{self, Access};
use crate::event::{Identity, RecordId};

/// What came of a backup or of [`DiskInbox::salvage`](crate::inbox::DiskInbox::salvage).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// Events that were copied with their bytes.
    pub events: u64,
    /// Those of them that are not finished.
    pub unfinished: u64,
    /// Events of which only the identity was left, or is. Copies of them are still known.
    pub identities: u64,
    /// Events that were to be handled, or are dead letters, and that are damaged.
    pub lost: Vec<LostEvent>,
    /// Numbers of events that cannot be looked up, as the way to them is damaged.
    pub unread: Vec<RangeInclusive<RecordId>>,
    /// Bytes of the file that the disk did not give, and those of its log that cannot be made sense
    /// of behind one that is damaged.
    pub unreadable_bytes: u64,
}

/// An event that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostEvent {
    /// Its number.
    pub id: RecordId,
    /// Its identity, where that can be read.
    pub identity: Option<Identity>,
}

impl CopyReport {
    /// Whether all of it was read. Where not, more may be in the file than was found: the pages
    /// that lead to it are damaged, and `sqlite3 inbox.db .recover` looks at each page by itself.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.unread.is_empty() && self.unreadable_bytes == 0
    }
}

/// Events in one transaction of the copy, and in one of the original.
const TOGETHER: usize = 500;

/// Copies what the source holds into a new file. Under its name there is all of it, or nothing.
pub(super) fn copy(source: &Connection, to: &Path) -> Result<CopyReport> {
    let unnamed = with_suffix(to, ".new");
    let _scratch = Scratch::new(&unnamed)?;
    let report = {
        private(&unnamed)?;
        let target = schema::open(&unnamed, Access::Write)?;
        target.execute_batch("PRAGMA synchronous = OFF")?;
        let report = Copy {
            source,
            target: &target,
            report: CopyReport::default(),
        }
        .run()?;
        target.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        report
    };
    fs::File::open(&unnamed)?.sync_all()?;
    fs::rename(&unnamed, to)?;
    match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent)?,
        _ => sync(Path::new("."))?,
    }
    Ok(report)
}

/// Files that are gone when this is.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Whatever is left of an earlier one goes first.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let scratch = Self(path.to_owned());
        scratch.remove()?;
        Ok(scratch)
    }

    fn remove(&self) -> std::io::Result<()> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            match fs::remove_file(with_suffix(&self.0, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, path = %self.0.display(), "a scratch file is left behind");
        }
    }
}

pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

struct Copy<'a> {
    source: &'a Connection,
    target: &'a Connection,
    report: CopyReport,
}

impl Copy<'_> {
    fn run(mut self) -> Result<CopyReport> {
        self.names()?;
        let (last, reserved) = self.last()?;
        self.events(last)?;
        self.bodies_alone(last)?;
        self.target
            .execute("REPLACE INTO meta VALUES ('reserved', ?)", [reserved])?;
        Ok(self.report)
    }

    /// The number of the last event that may be there, and of the last that there ever may have
    /// been.
    fn last(&self) -> Result<(i64, i64)> {
        /// A number further away than this is damaged: no inbox has counted so far.
        const FAR: i64 = 1_000_000_000_000;
        let max = |table: &str| {
            let sql = format!("SELECT coalesce(max(seq), 0) FROM {table}");
            let max = self.source.query_row(&sql, [], |row| row.get::<_, i64>(0));
            unless_damaged(max.map_err(Into::into))
        };
        let (event, body) = (max("event")?, max("body")?);
        let highest = event.max(body);
        let reserved = unless_damaged(load::meta::<i64>(self.source, "reserved"))?
            .flatten()
            .filter(|last| last.saturating_sub(highest.unwrap_or_default()) < FAR)
            .max(highest)
            .ok_or_else(DiskInboxError::damaged)?;
        match (event, body) {
            (Some(event), Some(body)) => Ok((event.max(body), reserved)),
            _ => Ok((reserved, reserved)),
        }
    }

    /// Texts that events point to. Each has its index as a second copy.
    fn names(&self) -> Result<()> {
        let writes = self.target.unchecked_transaction()?;
        for (table, column) in [("name", "text"), ("handlers", "names")] {
            let mut read_any = false;
            for from in [
                format!("{table} NOT INDEXED"),
                format!("{table} INDEXED BY sqlite_autoindex_{table}_1 ORDER BY {column}"),
            ] {
                let insert = format!("INSERT OR IGNORE INTO {table} (id, {column}) VALUES (?, ?)");
                let select = format!("SELECT id, {column} FROM {from}");
                let read = self.rows(&select, None, &insert, |_| true);
                read_any |= unless_damaged(read)?.is_some();
            }
            if !read_any {
                return Err(DiskInboxError::damaged());
            }
        }
        let select = "SELECT name, value FROM meta WHERE name <> 'release'";
        let insert = "INSERT OR IGNORE INTO meta VALUES (?, ?)";
        unless_damaged(self.rows(select, None, insert, |_| true))?;
        writes.commit()?;
        Ok(())
    }

    /// Copies rows as they are, of one event or all. Tells whether all of them were taken.
    fn rows(
        &self,
        select: &str,
        seq: Option<i64>,
        insert: &str,
        takes: impl Fn(&Row<'_>) -> bool,
    ) -> Result<bool> {
        let mut select = cached(self.source, select)?;
        let mut insert = cached(self.target, insert)?;
        let mut rows = select.query(params_from_iter(seq))?;
        let mut all = true;
        while let Some(row) = rows.next()? {
            all &= takes(row) && put(row, &mut insert)?;
        }
        Ok(all)
    }

    fn events(&mut self, last: i64) -> Result<()> {
        let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? ORDER BY seq");
        let mut from = 1;
        while from <= last {
            // Short, so that a server's WAL is not held up.
            let reads = self.source.unchecked_transaction()?;
            let writes = self.target.unchecked_transaction()?;
            let mut left = TOGETHER;
            let all = walk(self.source, &sql, from, last + 1, |seq, row| {
                (from, left) = (seq + 1, left - 1);
                match row.map(EventRow::read) {
                    // It came after this copy began, or a page leads astray.
                    _ if seq > last => left = 0,
                    Err(_) => {
                        from = self.unread(seq, last);
                        left = if from == seq + 1 { left } else { 0 };
                    }
                    Ok(read) => match unless_damaged(read)? {
                        Some(event) => self.event(&event)?,
                        None => self.lose(seq, None),
                    },
                }
                Ok(match left {
                    0 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })
            })?;
            writes.commit()?;
            reads.finish()?;
            if all {
                break;
            }
        }
        Ok(())
    }

    /// Nothing is known of this number. Gives the one to go on with.
    fn unread(&mut self, seq: i64, last: i64) -> i64 {
        /// So many in a row come from a page that leads to others: there is no more to find behind
        /// it in any time.
        const MOST: u64 = 10_000_000;
        let range = self.report.unread.last();
        let endless = range.is_some_and(|range| {
            range.end().get() + 1 == seq.cast_unsigned()
                && range.end().get() - range.start().get() > MOST
        });
        let seq = if endless { last } else { seq };
        let id = record_id(seq);
        match self.report.unread.last_mut() {
            Some(range) if endless || range.end().get() + 1 == id.get() => {
                *range = *range.start()..=id;
            }
            _ => self.report.unread.push(id..=id),
        }
        seq + 1
    }

    /// The end of what was not read before, or this number.
    fn past_unread(&self, seq: i64) -> i64 {
        const LONG: u64 = 1_000_000;
        let id = record_id(seq);
        let range = self.report.unread.iter().find(|range| range.contains(&id));
        let long = range.filter(|range| range.end().get() - range.start().get() > LONG);
        long.map_or(seq, |range| range.end().get().cast_signed())
    }

    fn lose(&mut self, seq: i64, identity: Option<Identity>) {
        let id = record_id(seq);
        self.report.lost.push(LostEvent { id, identity });
    }

    fn event(&mut self, event: &EventRow) -> Result<()> {
        let (seq, ended) = (
            event.seq,
            matches!(event.state, State::Done | State::Tombstone),
        );
        let known = "SELECT names FROM handlers WHERE id = ?";
        let known = cached(self.target, known)?
            .query_row([event.handlers], |row| row.get::<_, String>(0))
            .optional()?;
        let ids: Vec<i64> = known
            .and_then(|names| serde_json::from_str(&names).ok())
            .unwrap_or_default();
        let is_whole = event.state != State::Tombstone
            && !ids.is_empty()
            && unless_damaged(row::body(self.source, seq))?.is_some();
        if is_whole {
            let select = "SELECT seq, bytes, sum FROM body WHERE seq = ?";
            let insert = "INSERT INTO body (seq, bytes, sum) VALUES (?,?,?)";
            self.rows(select, Some(seq), insert, |_| true)?;
            event.insert(self.target)?;
            self.report.events += 1;
            self.report.unfinished += u64::from(event.state == State::Pending);
            return self.progress(event, &ids);
        }
        // Of what is over the identity is of use.
        match ended {
            true => {
                self.report.identities += 1;
                event.tombstone().insert(self.target)
            }
            false => {
                self.lose(seq, Some(event.identity));
                Ok(())
            }
        }
    }

    /// A job of which nothing can be read runs again or, of a dead letter, is taken for a dead one.
    fn progress(&self, event: &EventRow, ids: &[i64]) -> Result<()> {
        let copy = |table: &str, columns: &str, takes: &dyn Fn(&Row<'_>) -> bool| {
            let select = format!("SELECT {columns} FROM {table} WHERE seq = ?");
            let insert = format!("INSERT INTO {table} ({columns}) VALUES (?,?,?,?,?,?,?,?)");
            unless_damaged(self.rows(&select, Some(event.seq), &insert, takes))
        };
        let all = copy("job", JOB, &|row| JobRow::read(row).is_ok())?;
        if event.state == State::Dead && all != Some(true) {
            let known = row::jobs(self.target, event.seq)?;
            for handler in ids {
                if known.iter().any(|job| job.handler == *handler) {
                    continue;
                }
                let dead = JobRow {
                    stage: JobStage::Dead,
                    at: event.ended_at.unwrap_or(event.kept_at),
                    ..JobRow::new(event.seq, *handler)
                };
                dead.put(self.target)?;
            }
        }
        copy("attempt", ATTEMPT, &|_| true)?;
        Ok(())
    }

    /// Bodies whose events are not to be found.
    fn bodies_alone(&mut self, last: i64) -> Result<()> {
        let sql = "SELECT body.seq, event.seq FROM body LEFT JOIN event ON event.seq = body.seq \
                   WHERE body.seq >= ? ORDER BY body.seq";
        let mut alone = BTreeSet::new();
        let mut from = 1;
        while from <= last {
            let mut left = TOGETHER;
            let all = walk(self.source, sql, from, last + 1, |seq, row| {
                (from, left) = (seq + 1, left - 1);
                match row {
                    Ok(row) if row.get::<_, Option<i64>>(1)?.is_some() => {}
                    Ok(_) => alone.extend([seq]),
                    // Of its event or of itself.
                    Err(_) => {
                        let body = cached(self.source, "SELECT 1 FROM body WHERE seq = ?");
                        let is_there = body.and_then(|mut body| Ok(body.exists([seq])?));
                        alone.extend(unless_damaged(is_there)?.filter(|is| *is).map(|_| seq));
                        from = self.past_unread(seq) + 1;
                        left = 0;
                    }
                }
                Ok(match left {
                    0 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })
            })?;
            if all {
                break;
            }
        }
        for lost in &self.report.lost {
            alone.remove(&row::seq_of(lost.id));
        }
        for seq in alone {
            self.lose(seq, None);
        }
        self.report.lost.sort_by_key(|lost| lost.id);
        Ok(())
    }
}

/// Whether the row is one of the table.
fn put(row: &Row<'_>, insert: &mut CachedStatement<'_>) -> Result<bool> {
    let columns = insert.parameter_count();
    let values = (0..columns).map(|column| row.get_ref(column).map(ToSqlOutput::Borrowed));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    match insert.execute(params_from_iter(values)) {
        Ok(_) => Ok(true),
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}
