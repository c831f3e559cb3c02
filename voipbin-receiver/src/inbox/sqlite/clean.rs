//! What is removed: for its age, and for want of room.

use std::time::{Duration, Instant};

use super::batch::Batch;
use super::load;
use super::row::{EVENT, EventRow, cached};
use super::shared::Shared;
use super::store_error::{StoreError, StoreErrorKind};
use super::time::millis;

/// How often it is written down that the process is up.
const SAVED: Duration = Duration::from_secs(60);

/// How many events go in one commit: in one of its own, and in one that others wait for.
const ALONE: usize = 500;
const BESIDE: usize = 64;

/// Pages that are given back to the file system in one commit.
const VACUUMED: i64 = 64;

#[derive(Default)]
pub(super) struct Cleaner {
    more: bool,
    /// Whether ages count.
    ages: bool,
    /// Whether the file is being made smaller.
    vacuums: bool,
    saved: Option<Instant>,
    failed: Option<Instant>,
    told: bool,
}

impl Cleaner {
    /// Whether there was more to do at the last step.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    /// What cannot be read is not removed, and no reason to write nothing else.
    pub(super) fn failed(&mut self, error: StoreError) -> Result<bool, StoreError> {
        const QUIET: Duration = Duration::from_secs(600);
        if error.kind() != StoreErrorKind::Damaged {
            return Err(error);
        }
        self.more = false;
        if self.failed.is_none_or(|at| at.elapsed() >= QUIET) {
            self.failed = Some(Instant::now());
            tracing::error!(%error, "the inbox cannot remove what is over");
        }
        Ok(false)
    }

    /// A few events. Tells whether something was removed.
    pub(super) fn step(
        &mut self,
        batch: &mut Batch<'_>,
        shared: &Shared,
        ticks: bool,
        alone: bool,
    ) -> Result<bool, StoreError> {
        let settings = &shared.settings;
        if ticks {
            self.ages = shared.time.counts();
            if self.saved.is_none_or(|at| at.elapsed() >= SAVED) {
                self.saved = Some(Instant::now());
                // What this commit adds is not known as pending before its end.
                load::save(shared, batch.connection(), batch.first_seq())?;
            }
        }
        let most = if alone { ALONE } else { BESIDE };
        let mut left = most;
        let now = batch.now();
        let due = |retention: Duration| match (retention.is_zero(), self.ages) {
            (true, _) => Some(now),
            (false, true) => Some(now.saturating_sub(millis(retention))),
            (false, false) => None,
        };
        for (state, retention) in [
            (1, settings.retain_done),
            (2, settings.retain_dead),
            (3, settings.identity_ttl),
        ] {
            if let Some(due) = due(retention) {
                left -= remove(batch, shared, (state, due), left)?;
            }
        }
        while left > 0 && is_full(batch, shared)? {
            // Done events go first, and no more of them than must.
            let removed = remove(batch, shared, (1, i64::MAX), 1)?;
            left -= removed;
            if removed == 0 && !drop_dead(batch, shared)? {
                break;
            } else if removed == 0 {
                left -= 1;
            }
        }
        self.more = left == 0;
        self.warn(batch, shared);
        if alone && !self.more && (ticks || self.vacuums) {
            self.vacuums = vacuum(batch)?;
            self.more = self.vacuums;
        }
        Ok(left < most)
    }

    fn warn(&mut self, batch: &Batch<'_>, shared: &Shared) {
        let totals = batch.totals;
        let near = shared.settings.dead_nearly_full(&totals);
        if near && !self.told {
            tracing::warn!(
                dead_letters = totals.dead_events,
                "the inbox has room for few more dead letters: at its limit the oldest are dropped"
            );
        }
        self.told = near;
    }
}

/// Removes events in this state that ended by then, the first that ended first. Gives their number.
fn remove(
    batch: &mut Batch<'_>,
    shared: &Shared,
    (state, ended): (i64, i64),
    most: usize,
) -> Result<usize, StoreError> {
    let sql = format!(
        "SELECT {EVENT} FROM event INDEXED BY event_over \
         WHERE state > 0 AND state = ? AND ended_at <= ? ORDER BY ended_at LIMIT ?"
    );
    let events = select(batch, &sql, (state, ended, most as i64))?;
    let known = batch
        .now()
        .saturating_sub(millis(shared.settings.identity_ttl));
    let removed = events.len();
    for event in events {
        match event {
            Err(seq) => batch.damaged(seq)?,
            Ok(event) if event.kept_at > known && state != 3 => batch.empty(event)?,
            Ok(event) => batch.remove(&event)?,
        }
    }
    Ok(removed)
}

/// Those that can be read, and the numbers of the others.
fn select(
    batch: &Batch<'_>,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Result<EventRow, i64>>, StoreError> {
    let mut select = cached(batch.connection(), sql)?;
    let mut rows = select.query(parameters)?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(match EventRow::read(row) {
            Ok(event) => Ok(event),
            Err(error) if error.kind() == StoreErrorKind::Damaged => Err(row.get(0)?),
            Err(error) => return Err(error),
        });
    }
    Ok(events)
}

/// Whether the file takes more than it should, or there are too many dead letters.
fn is_full(batch: &Batch<'_>, shared: &Shared) -> Result<bool, StoreError> {
    let settings = &shared.settings;
    let totals = batch.totals;
    if totals.dead_events > settings.max_dead || totals.dead_bytes > settings.max_dead_bytes() {
        return Ok(true);
    }
    let used = pragma(batch, "page_count")? - pragma(batch, "freelist_count")?;
    let used = used.unsigned_abs() * pragma(batch, "page_size")?.unsigned_abs();
    Ok(used > settings.max_bytes)
}

fn pragma(batch: &Batch<'_>, name: &str) -> Result<i64, StoreError> {
    let mut pragma = cached(batch.connection(), &format!("PRAGMA {name}"))?;
    Ok(pragma.query_row([], |row| row.get(0))?)
}

/// Drops the oldest dead letter if there are too many. False when there are not.
fn drop_dead(batch: &mut Batch<'_>, shared: &Shared) -> Result<bool, StoreError> {
    let (most, bytes) = (shared.settings.max_dead, shared.settings.max_dead_bytes());
    if batch.totals.dead_events <= most && batch.totals.dead_bytes <= bytes {
        return Ok(false);
    }
    let sql = format!(
        "SELECT {EVENT} FROM event INDEXED BY event_dead WHERE state = 2 ORDER BY seq LIMIT 1"
    );
    let Some(event) = select(batch, &sql, [])?.pop() else {
        return Ok(false);
    };
    let event = match event {
        Ok(event) => event,
        Err(seq) => {
            batch.damaged(seq)?;
            return Ok(true);
        }
    };
    tracing::error!(
        id = event.seq,
        event_type = event.kind.and_then(|kind| batch.text(kind)).as_deref(),
        "a dead letter is dropped: there are more than the inbox has room for"
    );
    batch.totals.dropped += 1;
    batch.empty(event)?;
    Ok(true)
}

/// Gives pages back that nothing uses. Tells whether there are more.
fn vacuum(batch: &Batch<'_>) -> Result<bool, StoreError> {
    let (pages, free) = (
        pragma(batch, "page_count")?,
        pragma(batch, "freelist_count")?,
    );
    if free < VACUUMED * 4 || free < pages / 4 {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({VACUUMED})");
    let mut vacuum = batch.connection().prepare(&sql)?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}
