//! Another file with the events of an inbox, each checked by its checksums: a backup, or what can
//! be saved of a damaged one.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params_from_iter};

use super::directory::sync;
use super::row::{self, EVENT, EventRow, JOB, JobRow, JobStage, State, cached};
use super::schema::{self, Role};
use super::store_error::{StoreError, StoreErrorKind};
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
pub(super) fn copy(source: &Connection, to: &Path) -> Result<CopyReport, StoreError> {
    let unnamed = with_suffix(to, ".new");
    let _scratch = Scratch::new(&unnamed)?;
    let report = {
        super::lock::private(&unnamed)?;
        let target = schema::open(&unnamed, Role::Writer)?;
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
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
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

/// What a look-up that may meet a damaged page gives.
fn found<T>(looked_up: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match looked_up {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == StoreErrorKind::Damaged => Ok(None),
        Err(error) => Err(error),
    }
}

impl Copy<'_> {
    fn run(mut self) -> Result<CopyReport, StoreError> {
        self.names()?;
        let (last, sequence) = self.last()?;
        let mut from = 1;
        while from <= last {
            // Short, so that a server's WAL is not held up.
            let reads = self.source.unchecked_transaction()?;
            let writes = self.target.unchecked_transaction()?;
            for _ in 0..TOGETHER {
                if from > last {
                    break;
                }
                from = self.next_event(from, last)?;
            }
            writes.commit()?;
            reads.finish()?;
        }
        self.bodies_alone(last)?;
        self.target
            .execute("DELETE FROM sqlite_sequence WHERE name = 'event'", [])?;
        self.target.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)",
            [sequence],
        )?;
        Ok(self.report)
    }

    /// The number of the last event that may be there, and of the last that there ever was.
    fn last(&self) -> Result<(i64, i64), StoreError> {
        /// A number further away than this is damaged: no inbox has counted so far.
        const FAR: i64 = 1_000_000_000_000;
        let max = |table: &str| {
            let sql = format!("SELECT max(seq) FROM {table}");
            let max = cached(self.source, &sql)
                .and_then(|mut max| Ok(max.query_row([], |row| row.get::<_, Option<i64>>(0))?));
            found(max).map(|max| max.map(Option::unwrap_or_default))
        };
        let (event, body) = (max("event")?, max("body")?);
        let highest = event.max(body);
        let sequence = max("sqlite_sequence")?
            .filter(|last| last.saturating_sub(highest.unwrap_or_default()) < FAR)
            .max(highest)
            .ok_or_else(|| StoreError::new(StoreErrorKind::Damaged))?;
        match (event, body) {
            (Some(event), Some(body)) => Ok((event.max(body), sequence)),
            _ => Ok((sequence, sequence)),
        }
    }

    /// Texts that events point to. Each has its index as a second copy.
    fn names(&self) -> Result<(), StoreError> {
        let writes = self.target.unchecked_transaction()?;
        for (table, column) in [("name", "text"), ("handlers", "names")] {
            let mut read_any = false;
            for from in [
                format!("{table} NOT INDEXED"),
                format!("{table} INDEXED BY sqlite_autoindex_{table}_1 ORDER BY {column}"),
            ] {
                let insert = format!("INSERT OR IGNORE INTO {table} (id, {column}) VALUES (?, ?)");
                let select = format!("SELECT id, {column} FROM {from}");
                read_any |= found(self.rows(&select, &[], &insert, |_| true))?.is_some();
            }
            if !read_any {
                return Err(StoreError::new(StoreErrorKind::Damaged));
            }
        }
        let select = "SELECT name, value FROM meta WHERE name <> 'release'";
        let insert = "INSERT OR IGNORE INTO meta VALUES (?, ?)";
        found(self.rows(select, &[], insert, |_| true))?;
        writes.commit()?;
        Ok(())
    }

    /// Copies rows as they are. Tells whether all of them were taken.
    fn rows(
        &self,
        select: &str,
        keys: &[i64],
        insert: &str,
        takes: impl Fn(&Row<'_>) -> bool,
    ) -> Result<bool, StoreError> {
        let mut select = cached(self.source, select)?;
        let mut insert = cached(self.target, insert)?;
        let mut rows = select.query(params_from_iter(keys))?;
        let mut all = true;
        while let Some(row) = rows.next()? {
            all &= takes(row) && put(row, &mut insert)?;
        }
        Ok(all)
    }

    /// Copies the first event from this number on. Gives the number to go on with.
    fn next_event(&mut self, from: i64, last: i64) -> Result<i64, StoreError> {
        let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? ORDER BY seq LIMIT 1");
        let mut select = cached(self.source, &sql)?;
        let mut rows = select.query([from])?;
        let row = match found(rows.next().map_err(StoreError::from))? {
            Some(Some(row)) => row,
            Some(None) => return Ok(last + 1),
            None => return Ok(self.unread(from, last)),
        };
        let seq: i64 = match row.get(0) {
            Ok(seq) if seq >= from => seq,
            // A page leads back.
            _ => return Ok(self.unread(from, last)),
        };
        if seq > last {
            return Ok(seq);
        }
        match found(EventRow::read(row))? {
            None => self.lose(seq, None),
            Some(event) => self.event(&event)?,
        }
        Ok(seq + 1)
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
        let id = RecordId::new(seq.cast_unsigned());
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
        let id = RecordId::new(seq.cast_unsigned());
        let range = self.report.unread.iter().find(|range| range.contains(&id));
        let long = range.filter(|range| range.end().get() - range.start().get() > LONG);
        long.map_or(seq, |range| range.end().get().cast_signed())
    }

    fn lose(&mut self, seq: i64, identity: Option<Identity>) {
        let id = RecordId::new(seq.cast_unsigned());
        self.report.lost.push(LostEvent { id, identity });
    }

    fn event(&mut self, event: &EventRow) -> Result<(), StoreError> {
        let (seq, ended) = (event.seq, matches!(event.state, State::Done | State::Gone));
        let insert = "INSERT INTO body (seq, bytes, sum) VALUES (?,?,?)";
        let known = "SELECT names FROM handlers WHERE id = ?";
        let known: Option<String> = cached(self.target, known)?
            .query_row([event.handlers], |row| row.get(0))
            .optional()?;
        let ids: Vec<i64> = known
            .and_then(|names| serde_json::from_str(&names).ok())
            .unwrap_or_default();
        let body = match event.state {
            State::Gone => None,
            _ if ids.is_empty() => None,
            _ => found(row::body(self.source, seq))?,
        };
        let Some(_) = body else {
            // Of what is over the identity is of use.
            match ended {
                true => {
                    self.report.identities += 1;
                    event.emptied().insert(self.target)?;
                }
                false => self.lose(seq, Some(event.identity)),
            }
            return Ok(());
        };
        self.rows(
            "SELECT seq, bytes, sum FROM body WHERE seq = ?",
            &[seq],
            insert,
            |_| true,
        )?;
        event.insert(self.target)?;
        self.report.events += 1;
        self.report.unfinished += u64::from(event.state == State::Pending);
        self.progress(event, &ids)
    }

    /// A job of which nothing can be read runs again or, of a dead letter, is taken for a dead one.
    fn progress(&self, event: &EventRow, ids: &[i64]) -> Result<(), StoreError> {
        let select = format!("SELECT {JOB} FROM job WHERE seq = ?");
        let insert = format!("INSERT INTO job ({JOB}) VALUES (?,?,?,?,?,?,?,?)");
        let is_whole = |row: &Row<'_>| JobRow::read(row).is_ok();
        let all = found(self.rows(&select, &[event.seq], &insert, is_whole))?;
        if event.state == State::Dead && all != Some(true) {
            let known = row::jobs(self.target, event.seq)?;
            for handler in ids {
                if known.iter().any(|job| job.handler == *handler) {
                    continue;
                }
                let dead = JobRow {
                    seq: event.seq,
                    handler: *handler,
                    stage: JobStage::Dead,
                    attempts: 0,
                    interrupted: false,
                    at: event.ended_at.unwrap_or(event.kept_at),
                    wait: None,
                };
                dead.put(self.target)?;
            }
        }
        let columns = "seq, handler, number, at, took, ended, error, sum";
        let select = format!("SELECT {columns} FROM attempt WHERE seq = ?");
        let insert = format!("INSERT INTO attempt ({columns}) VALUES (?,?,?,?,?,?,?,?)");
        found(self.rows(&select, &[event.seq], &insert, |_| true))?;
        Ok(())
    }

    /// Bodies whose events are not to be found.
    fn bodies_alone(&mut self, last: i64) -> Result<(), StoreError> {
        const ROWS: usize = 1000;
        let sql = format!(
            "SELECT body.seq, event.seq FROM body LEFT JOIN event ON event.seq = body.seq \
             WHERE body.seq >= ? ORDER BY body.seq LIMIT {ROWS}"
        );
        let mut alone = BTreeSet::new();
        let mut from = 1;
        while from <= last {
            let mut select = cached(self.source, &sql)?;
            let mut rows = select.query([from])?;
            let mut left = ROWS;
            loop {
                match found(rows.next().map_err(StoreError::from))? {
                    Some(Some(row)) => {
                        let seq: i64 = row.get(0).map_err(StoreError::of_row)?;
                        let event: Option<i64> = row.get(1).map_err(StoreError::of_row)?;
                        alone.extend((event.is_none() && seq >= from).then_some(seq));
                        from = from.max(seq) + 1;
                        left -= 1;
                    }
                    Some(None) => {
                        if left > 0 {
                            from = last + 1;
                        }
                        break;
                    }
                    None => {
                        let body = "SELECT seq FROM body WHERE seq = ?";
                        let body = cached(self.source, body).and_then(|mut body| {
                            Ok(body
                                .query_row([from], |row| row.get::<_, i64>(0))
                                .optional()?)
                        });
                        alone.extend(found(body)?.flatten());
                        from = self.past_unread(from) + 1;
                        break;
                    }
                }
            }
        }
        for lost in &self.report.lost {
            alone.remove(&lost.id.get().cast_signed());
        }
        for seq in alone {
            self.lose(seq, None);
        }
        self.report.lost.sort_by_key(|lost| lost.id);
        Ok(())
    }
}

/// Whether the row is one of the table.
fn put(row: &Row<'_>, insert: &mut CachedStatement<'_>) -> Result<bool, StoreError> {
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
