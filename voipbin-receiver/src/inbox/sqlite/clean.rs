//! What is removed: for its age, and for want of room.

use std::collections::HashSet;
use std::mem;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::error::{DiskInboxError, Result, unless_damaged};
use super::load;
use super::row::{EVENT, EventRow, State, cached};
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
    warned: bool,
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
    pub(super) fn step(&mut self, batch: &mut Batch<'_>, ticks: bool, alone: bool) -> Result<bool> {
        let shared = batch.shared;
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
                load::save(shared, batch.connection, batch.first_seq)?;
            }
        }
        let most = if alone { ALONE } else { BESIDE };
        let mut left = most;
        for (state, retention) in [
            (State::Done, settings.retain_done),
            (State::Dead, settings.retain_dead),
            (State::Tombstone, settings.identity_ttl),
        ] {
            if self.ages || retention.is_zero() {
                let due = batch.now.saturating_sub(millis(retention));
                left -= self.remove(batch, state, due, left)?;
            }
        }
        while left > 0 && is_full(batch)? {
            // Done events go first, and no more of them than must.
            if self.remove(batch, State::Done, i64::MAX, 1)? == 0 && !self.drop_dead(batch)? {
                break;
            }
            left -= 1;
        }
        self.more = left == 0;
        self.warn(batch);
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
        state: State,
        ended: i64,
        most: usize,
    ) -> Result<usize> {
        let sql = format!(
            "SELECT {EVENT} FROM event INDEXED BY event_over \
             WHERE state > 0 AND state = ? AND ended_at <= ? ORDER BY ended_at LIMIT ?"
        );
        let known = millis(batch.shared.settings.identity_ttl);
        let known = batch.now.saturating_sub(known);
        let mut removed = 0;
        for (seq, event) in self.select(batch, &sql, state, ended, most)? {
            let remove = |batch: &mut Batch<'_>, event: &EventRow| match state {
                State::Tombstone => batch.remove(event),
                _ if event.kept_at <= known => batch.remove(event),
                _ => batch.bury(event),
            };
            removed += usize::from(self.apart(batch, seq, event.as_ref(), remove)?);
        }
        Ok(removed)
    }

    /// Drops the oldest dead letter if there are too many. False when there are not.
    fn drop_dead(&mut self, batch: &mut Batch<'_>) -> Result<bool> {
        if !batch.shared.settings.has_too_many_dead(&batch.totals) {
            return Ok(false);
        }
        let sql = format!(
            "SELECT {EVENT} FROM event INDEXED BY event_dead \
             WHERE state = ? AND state = 2 AND seq <= ? ORDER BY seq LIMIT ?"
        );
        let oldest = self.select(batch, &sql, State::Dead, i64::MAX, 1)?.pop();
        let Some((id, event)) = oldest else {
            return Ok(false);
        };
        let dropped = self.apart(batch, id, event.as_ref(), |batch, event| {
            batch.totals.dropped += 1;
            batch.bury(event)
        })?;
        if let Some(event) = event.filter(|_| dropped) {
            let names = batch.shared.names();
            tracing::error!(
                id,
                event_type = event
                    .kind
                    .and_then(|kind| names.text(kind))
                    .map(|kind| &**kind),
                "a dead letter is dropped: there are more than the inbox has room for"
            );
        }
        Ok(true)
    }

    /// Does this with an event and with no other. False when it is damaged: it stays.
    fn apart(
        &mut self,
        batch: &mut Batch<'_>,
        seq: i64,
        event: Option<&EventRow>,
        run: impl FnOnce(&mut Batch<'_>, &EventRow) -> Result<()>,
    ) -> Result<bool> {
        let done = match event {
            Some(event) => run(batch, event),
            None => batch.damaged(seq),
        };
        let met_damage = done.as_ref().is_err_and(DiskInboxError::is_damaged);
        if met_damage || event.is_none() {
            self.damaged.insert(seq);
        }
        if met_damage {
            self.met_damage = true;
            tracing::error!(
                id = seq,
                "an event that is over cannot be removed, as the page that it is on is damaged: salvage the inbox"
            );
        }
        done.map(|()| event.is_some())
    }

    /// Events with their numbers, `None` of one that is damaged. Without those that stay.
    fn select(
        &self,
        batch: &Batch<'_>,
        sql: &str,
        state: State,
        limit: i64,
        most: usize,
    ) -> Result<Vec<(i64, Option<EventRow>)>> {
        let mut select = cached(batch.connection, sql)?;
        let mut rows = select.query((state, limit, (most + self.damaged.len()) as i64))?;
        let mut events = Vec::new();
        while events.len() < most
            && let Some(row) = rows.next()?
        {
            let seq = row.get(0)?;
            if !self.damaged.contains(&seq) {
                events.push((seq, unless_damaged(EventRow::read(row))?));
            }
        }
        Ok(events)
    }

    fn warn(&mut self, batch: &Batch<'_>) {
        let near = batch.shared.settings.dead_nearly_full(&batch.totals);
        if near && !self.warned {
            tracing::warn!(
                dead_letters = batch.totals.dead_events,
                "the inbox has room for few more dead letters: at its limit the oldest are dropped"
            );
        }
        self.warned = near;
    }
}

/// Whether the file takes more than it should, or there are too many dead letters.
fn is_full(batch: &Batch<'_>) -> Result<bool> {
    let settings = &batch.shared.settings;
    let pages = pragma(batch, "page_count")? - pragma(batch, "freelist_count")?;
    let used = pages * pragma(batch, "page_size")?;
    Ok(settings.has_too_many_dead(&batch.totals) || used.unsigned_abs() > settings.max_bytes)
}

fn pragma(batch: &Batch<'_>, name: &str) -> Result<i64> {
    let mut pragma = cached(batch.connection, &format!("PRAGMA {name}"))?;
    Ok(pragma.query_row([], |row| row.get(0))?)
}

/// Gives pages back that nothing uses. Tells whether there are more.
fn vacuum(batch: &Batch<'_>) -> Result<bool> {
    let (pages, free) = (
        pragma(batch, "page_count")?,
        pragma(batch, "freelist_count")?,
    );
    if free < VACUUMED * 4 || free < pages / 4 {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({VACUUMED})");
    let mut vacuum = batch.connection.prepare(&sql)?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}
