//! What is removed: for its age, and for want of room.

use std::collections::HashSet;
use std::mem;
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
    told: bool,
    /// Events that are on a damaged page, and stay for now.
    damaged: HashSet<i64>,
    /// Whether the last step ended at one of them.
    met_damage: bool,
    /// Nothing is removed before.
    rests_until: Option<Instant>,
}

impl Cleaner {
    /// Whether there was more to do at the last step.
    pub(super) fn has_more(&self) -> bool {
        self.more
    }

    /// The last step met a damaged page, which is no reason to write nothing else. Tells whether
    /// the next one may go around it.
    pub(super) fn goes_around(&mut self) -> bool {
        const REST: Duration = Duration::from_secs(600);
        self.more = false;
        if mem::take(&mut self.met_damage) {
            return true;
        }
        self.rests_until = Some(Instant::now() + REST);
        tracing::error!("the inbox cannot remove what is over, as its file is damaged: salvage it");
        false
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
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return Ok(false);
        }
        if self.rests_until.take().is_some() {
            self.damaged.clear();
        }
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
        let ages = self.ages;
        let due = |retention: Duration| match (retention.is_zero(), ages) {
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
                left -= self.remove(batch, shared, (state, due), left)?;
            }
        }
        while left > 0 && is_full(batch, shared)? {
            // Done events go first, and no more of them than must.
            let removed = self.remove(batch, shared, (1, i64::MAX), 1)?;
            left -= removed;
            if removed == 0 && !self.drop_dead(batch, shared)? {
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

    /// Removes events in this state that ended by then, the first that ended first. Gives their
    /// number.
    fn remove(
        &mut self,
        batch: &mut Batch<'_>,
        shared: &Shared,
        (state, ended): (i64, i64),
        most: usize,
    ) -> Result<usize, StoreError> {
        let sql = format!(
            "SELECT {EVENT} FROM event INDEXED BY event_over \
             WHERE state > 0 AND state = ? AND ended_at <= ? ORDER BY ended_at LIMIT ?"
        );
        let known = batch
            .now()
            .saturating_sub(millis(shared.settings.identity_ttl));
        let mut removed = 0;
        for event in self.select(batch, &sql, (state, ended), most)? {
            removed += usize::from(self.apart(batch, event, |batch, event| {
                match event.kept_at > known && state != 3 {
                    true => batch.empty(event),
                    false => batch.remove(&event),
                }
            })?);
        }
        Ok(removed)
    }

    /// Drops the oldest dead letter if there are too many. False when there are not.
    fn drop_dead(&mut self, batch: &mut Batch<'_>, shared: &Shared) -> Result<bool, StoreError> {
        let (most, bytes) = (shared.settings.max_dead, shared.settings.max_dead_bytes());
        if batch.totals.dead_events <= most && batch.totals.dead_bytes <= bytes {
            return Ok(false);
        }
        let sql = format!(
            "SELECT {EVENT} FROM event INDEXED BY event_dead \
             WHERE state = ? AND state = 2 AND seq <= ? ORDER BY seq LIMIT ?"
        );
        let Some(event) = self.select(batch, &sql, (2, i64::MAX), 1)?.pop() else {
            return Ok(false);
        };
        let of = event.as_ref().ok().map(|event| (event.seq, event.kind));
        let dropped = self.apart(batch, event, |batch, event| {
            batch.totals.dropped += 1;
            batch.empty(event)
        })?;
        if let Some((id, kind)) = of.filter(|_| dropped) {
            tracing::error!(
                id,
                event_type = kind.and_then(|kind| batch.text(kind)).as_deref(),
                "a dead letter is dropped: there are more than the inbox has room for"
            );
        }
        Ok(true)
    }

    /// Does this with an event and with no other. False when a damaged page is in its way: it
    /// stays.
    fn apart(
        &mut self,
        batch: &mut Batch<'_>,
        event: Result<EventRow, i64>,
        run: impl FnOnce(&mut Batch<'_>, EventRow) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let (seq, is_whole) = match &event {
            Ok(event) => (event.seq, true),
            Err(seq) => (*seq, false),
        };
        let done = match event {
            Ok(event) => run(batch, event),
            Err(seq) => batch.damaged(seq),
        };
        let met_damage = matches!(&done, Err(error) if error.kind() == StoreErrorKind::Damaged);
        if met_damage || !is_whole {
            self.damaged.insert(seq);
        }
        if met_damage {
            self.met_damage = true;
            tracing::error!(
                id = seq,
                "an event that is over cannot be removed, as the page that it is on is damaged: salvage the inbox"
            );
        }
        done.map(|()| is_whole)
    }

    /// Those that can be read, and the numbers of the others. Without those that stay.
    fn select(
        &self,
        batch: &Batch<'_>,
        sql: &str,
        (state, limit): (i64, i64),
        most: usize,
    ) -> Result<Vec<Result<EventRow, i64>>, StoreError> {
        let mut select = cached(batch.connection(), sql)?;
        let mut rows = select.query((state, limit, (most + self.damaged.len()) as i64))?;
        let mut events = Vec::new();
        while events.len() < most
            && let Some(row) = rows.next()?
        {
            let seq = row.get(0)?;
            if self.damaged.contains(&seq) {
                continue;
            }
            events.push(match EventRow::read(row) {
                Ok(event) => Ok(event),
                Err(error) if error.kind() == StoreErrorKind::Damaged => Err(seq),
                Err(error) => return Err(error),
            });
        }
        Ok(events)
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
