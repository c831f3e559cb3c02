//! What one commit does: rows, and what they come to in memory once they are committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, params};
use tracing::Span;

use super::names::{List, Names};
use super::ready::{Fact, Stage};
use super::row::{
    self, Base, DAMAGED, EVENT, EventRow, JobRow, JobStage, MARKS, REPEAT, SIGNED, State, cached,
};
use super::shared::{New, Shared};
use super::store_error::{StoreError, StoreErrorKind};
use super::time;
use crate::catalog::EventType;
use crate::event::{Delivery, Proof, RecordId};
use crate::inbox::{Attempt, Jobs, KeptEvent, Lane, Repeats};

/// Sums over all events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Events that are not finished, and the bytes of their bodies.
    pub(super) events: usize,
    pub(super) bytes: u64,
    /// Jobs that are dead.
    pub(super) dead: usize,
    /// Events that are finished and of which a job is dead, and the bytes of their bodies.
    pub(super) dead_events: usize,
    pub(super) dead_bytes: u64,
    /// Events whose bytes turned out to be damaged.
    pub(super) damaged: usize,
    /// Dead letters that were dropped for want of room.
    pub(super) dropped: u64,
}

/// What is to be written of a job or an event. To write it again changes nothing.
#[derive(Clone)]
pub(super) enum Change {
    Job(JobRow),
    /// The attempt of this number, and how the job stands after it.
    Failed(JobRow, Attempt),
    /// The last job has ended, and before it this attempt.
    Ended(Ended, Option<(JobRow, Option<Attempt>)>),
    /// The bytes cannot be read any more.
    Damaged(i64),
}

#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) seq: i64,
    pub(super) base: Base,
    pub(super) body_len: i64,
    pub(super) dead: bool,
    pub(super) at: i64,
    /// Whether there are rows of jobs.
    pub(super) stored: bool,
}

/// What an event is inserted with beside its delivery.
#[derive(Default)]
pub(super) struct With {
    pub(super) marks: bool,
    pub(super) possible_repeat: bool,
    pub(super) lane: Option<Lane>,
    pub(super) parent: Option<RecordId>,
    pub(super) span: Option<Span>,
}

/// A commit that is being made.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    shared: &'a Shared,
    pub(super) totals: Totals,
    /// Of the first event that it adds, if it adds one.
    first_seq: i64,
    next_seq: i64,
    now: i64,
    effects: Vec<Effect>,
}

/// What a commit comes to in memory.
enum Effect {
    Kept(KeptEvent, Fact),
    Ended(i64),
    Gone(EventRow),
    Replayed(i64, Vec<i64>),
    Lost(i64),
}

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a Connection, shared: &'a Shared, next_seq: i64) -> Self {
        Self {
            connection,
            shared,
            totals: shared.totals(),
            first_seq: next_seq,
            next_seq,
            now: shared.time.now(),
            effects: Vec::new(),
        }
    }

    /// To read by, and to write what is not of an event.
    pub(super) fn connection(&self) -> &'a Connection {
        self.connection
    }

    /// By the inbox's clock.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    pub(super) fn first_seq(&self) -> i64 {
        self.first_seq
    }

    pub(super) fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// Does this or nothing of it.
    pub(super) fn nested<T>(
        &mut self,
        run: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (totals, next_seq, effects) = (self.totals, self.next_seq, self.effects.len());
        self.connection.execute_batch("SAVEPOINT nested")?;
        let result = run(self);
        let end = match result.is_ok() {
            true => "RELEASE nested",
            false => "ROLLBACK TO nested; RELEASE nested",
        };
        self.connection.execute_batch(end)?;
        if result.is_err() {
            (self.totals, self.next_seq) = (totals, next_seq);
            self.effects.truncate(effects);
            *self.shared.names() = Names::load(self.connection)?;
        }
        result
    }

    pub(super) fn keep(&mut self, new: &New) -> Result<(), StoreError> {
        let incoming = &new.incoming;
        let with = With {
            marks: incoming.repeats == Repeats::Mark,
            possible_repeat: new.possible_repeat,
            lane: incoming.lane,
            parent: None,
            span: Some(incoming.span.clone()),
        };
        self.insert(&incoming.delivery, &incoming.jobs, with)?;
        Ok(())
    }

    /// Adds an event, and hands it out after the commit. Of one for nobody only the identity is
    /// kept.
    pub(super) fn insert(
        &mut self,
        delivery: &Delivery,
        jobs: &Jobs,
        with: With,
    ) -> Result<RecordId, StoreError> {
        let seq = self.next_seq;
        if seq == self.first_seq {
            self.reserve()?;
        }
        let list = self.shared.names().list(self.connection, jobs)?;
        let pending = !jobs.is_empty();
        let kind = delivery.event_type();
        let kind = kind.as_ref().map(EventType::as_str).filter(|_| pending);
        let kind = kind.map(|kind| self.shared.names().name(self.connection, kind));
        let body = delivery.body();
        let flag = |holds: bool, flag| if holds { flag } else { 0 };
        let row = EventRow {
            seq,
            kept_at: self.now,
            received_at: time::of_unix(delivery.received_at()),
            identity: delivery.identity(),
            flags: flag(delivery.proof() == Proof::Signed, SIGNED)
                | flag(with.marks, MARKS)
                | flag(with.possible_repeat, REPEAT),
            handlers: list.id,
            kind: kind.transpose()?,
            resource: delivery
                .resource_id()
                .filter(|_| pending)
                .map(str::to_owned),
            content_type: delivery.other_content_type().map(str::to_owned),
            lane: with.lane.map(|lane| lane.get().cast_signed()),
            lane_version: with.lane.map(|_| row::LANE_VERSION),
            origin: row::origin(delivery.origin()),
            trace: None,
            parent: with.parent.map(|parent| parent.get().cast_signed()),
            state: if pending { State::Pending } else { State::Gone },
            ended_at: (!pending).then_some(self.now),
            body_len: pending.then_some(body.len() as i64),
        };
        row.insert(self.connection)?;
        self.next_seq += 1;
        let id = RecordId::new(seq.cast_unsigned());
        if pending {
            row::insert_body(self.connection, seq, body)?;
            self.totals.events += 1;
            self.totals.bytes += body.len() as u64;
            let entry = KeptEvent::new(id.get(), delivery.clone())
                .in_lane(with.lane)
                .marked(with.possible_repeat)
                .replaying(with.parent)
                .within(with.span.unwrap_or_else(Span::none));
            let fact = Fact {
                base: row.base(),
                body_len: body.len() as i64,
                identity: row.identity,
                marks: with.marks || with.parent.is_some(),
                list,
            };
            self.effects.push(Effect::Kept(entry, fact));
        }
        Ok(id)
    }

    /// Numbers are reserved ahead: else each commit writes the page of AUTOINCREMENT's mark too. After
    /// a restart those that were not used are left out.
    fn reserve(&self) -> Result<(), StoreError> {
        const AHEAD: i64 = 4096;
        let mut reserve = cached(
            self.connection,
            "UPDATE sqlite_sequence SET seq = ?1 + ?2 WHERE name = 'event' AND seq <= ?1",
        )?;
        reserve.execute([self.next_seq, AHEAD])?;
        Ok(())
    }

    pub(super) fn apply(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Job(job) => self.put_job(job),
            Change::Failed(job, attempt) => {
                self.put_job(job)?;
                let key = (job.seq, job.handler, job.attempts);
                row::put_attempt(self.connection, key, attempt)
            }
            Change::Ended(ended, last) => {
                if let Some((job, attempt)) = last {
                    self.put_job(job)?;
                    if let Some(attempt) = attempt {
                        let key = (job.seq, job.handler, job.attempts);
                        row::put_attempt(self.connection, key, attempt)?;
                    }
                }
                self.end(ended)
            }
            Change::Damaged(seq) => self.damaged(*seq),
        }
    }

    fn put_job(&mut self, job: &JobRow) -> Result<(), StoreError> {
        if job.put(self.connection)? && job.stage == JobStage::Dead {
            self.totals.dead += 1;
        }
        Ok(())
    }

    fn end(&mut self, ended: &Ended) -> Result<(), StoreError> {
        self.effects.push(Effect::Ended(ended.seq));
        let state = if ended.dead { State::Dead } else { State::Done };
        let sum = ended.base.sum(state, Some(ended.at), Some(ended.body_len));
        let mut update = cached(
            self.connection,
            "UPDATE event SET state = ?, ended_at = ?, sum = ? WHERE seq = ? AND state = 0",
        )?;
        if update.execute(params![state as i64, ended.at, sum, ended.seq])? == 0 {
            return Ok(());
        }
        let bytes = ended.body_len.unsigned_abs();
        self.totals.events = self.totals.events.saturating_sub(1);
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
        if ended.dead {
            self.totals.dead_events += 1;
            self.totals.dead_bytes += bytes;
        } else if ended.stored {
            cached(self.connection, "DELETE FROM job WHERE seq = ?")?.execute([ended.seq])?;
        }
        Ok(())
    }

    /// The text of an id.
    pub(super) fn text(&self, id: i64) -> Option<Arc<str>> {
        self.shared.names().text(id).cloned()
    }

    /// The handlers of an event.
    pub(super) fn list(&self, id: i64) -> Option<Arc<List>> {
        self.shared.names().by_id(id).cloned()
    }

    /// An event; `None` when there is none of this number.
    pub(super) fn event(&self, seq: i64) -> Result<Option<EventRow>, StoreError> {
        event(self.connection, seq)
    }

    /// Changes what may change of an event.
    fn set(&mut self, event: &EventRow) -> Result<(), StoreError> {
        let sum = event
            .base()
            .sum(event.state, event.ended_at, event.body_len);
        let mut update = cached(
            self.connection,
            "UPDATE event SET state = ?, ended_at = ?, body_len = ?, flags = ?, type = ?, \
             resource = ?, content_type = ?, trace = ?, sum = ? WHERE seq = ?",
        )?;
        update.execute(params![
            event.state as i64,
            event.ended_at,
            event.body_len,
            event.flags,
            event.kind,
            event.resource,
            event.content_type,
            event.trace,
            sum,
            event.seq,
        ])?;
        Ok(())
    }

    /// Removes all of an event but its identity. Its open jobs are not run any more; a run that has
    /// begun goes on. False when there is nothing to remove.
    pub(super) fn discard(&mut self, seq: i64) -> Result<bool, StoreError> {
        let Some(event) = self.event(seq)?.filter(|event| event.state != State::Gone) else {
            return Ok(false);
        };
        self.empty(event)?;
        Ok(true)
    }

    /// Removes the rows of an event that are not its own.
    fn remove_parts(&mut self, event: &EventRow) -> Result<(), StoreError> {
        let dead = dead_jobs(self.connection, event.seq)?;
        for sql in [
            "DELETE FROM body WHERE seq = ?",
            "DELETE FROM job WHERE seq = ?",
            "DELETE FROM attempt WHERE seq = ?",
        ] {
            cached(self.connection, sql)?.execute([event.seq])?;
        }
        let bytes = event.body_len.unwrap_or_default().unsigned_abs();
        let totals = &mut self.totals;
        totals.dead = totals.dead.saturating_sub(dead);
        match event.state {
            State::Pending => {
                totals.events = totals.events.saturating_sub(1);
                totals.bytes = totals.bytes.saturating_sub(bytes);
                self.effects.push(Effect::Gone(event.clone()));
            }
            State::Dead => {
                totals.dead_events = totals.dead_events.saturating_sub(1);
                totals.dead_bytes = totals.dead_bytes.saturating_sub(bytes);
                let damaged = usize::from(event.has(DAMAGED));
                totals.damaged = totals.damaged.saturating_sub(damaged);
            }
            State::Done | State::Gone => {}
        }
        Ok(())
    }

    /// Leaves the identity alone of an event.
    pub(super) fn empty(&mut self, event: EventRow) -> Result<(), StoreError> {
        self.remove_parts(&event)?;
        self.set(&event.emptied())
    }

    /// Removes all of an event.
    pub(super) fn remove(&mut self, event: &EventRow) -> Result<(), StoreError> {
        if event.state != State::Gone {
            self.remove_parts(event)?;
        }
        cached(self.connection, "DELETE FROM event WHERE seq = ?")?.execute([event.seq])?;
        Ok(())
    }

    /// The event was replayed for those of these handlers that gave up. Tells how many they are.
    pub(super) fn replayed(&mut self, seq: i64, handlers: &[i64]) -> Result<usize, StoreError> {
        let jobs = row::jobs(self.connection, seq)?;
        let (mut replayed, mut left) = (Vec::new(), 0);
        for mut job in jobs {
            if job.stage != JobStage::Dead {
                continue;
            }
            if !handlers.contains(&job.handler) {
                left += 1;
                continue;
            }
            (job.stage, job.at) = (JobStage::Replayed, self.now);
            job.put(self.connection)?;
            replayed.push(job.handler);
        }
        self.totals.dead = self.totals.dead.saturating_sub(replayed.len());
        let count = replayed.len();
        if count > 0
            && left == 0
            && let Some(mut event) = self.event(seq)?
            && event.state == State::Dead
        {
            let bytes = event.body_len.unwrap_or_default().unsigned_abs();
            self.totals.dead_events = self.totals.dead_events.saturating_sub(1);
            self.totals.dead_bytes = self.totals.dead_bytes.saturating_sub(bytes);
            (event.state, event.ended_at) = (State::Done, Some(self.now));
            self.set(&event)?;
        }
        self.effects.push(Effect::Replayed(seq, replayed));
        Ok(count)
    }

    /// The event cannot be read: it is a dead letter, and what there is of it stays.
    pub(super) fn damaged(&mut self, seq: i64) -> Result<(), StoreError> {
        let sql = format!("SELECT {EVENT} FROM event WHERE seq = ?");
        let mut select = cached(self.connection, &sql)?;
        let found = select.query_row([seq], EventRow::unchecked).optional();
        let mut event = match found.map_err(StoreError::of_row) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.effects.push(Effect::Ended(seq));
                return Ok(());
            }
            Err(error) if error.kind() == StoreErrorKind::Damaged => {
                // Nothing of it can be told but its number.
                self.totals.damaged += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.effects.push(Effect::Ended(seq));
        if event.state == State::Dead && event.has(DAMAGED) {
            return Ok(());
        }
        let was_dead = dead_jobs(self.connection, seq)?;
        if event.state == State::Pending {
            let bytes = event.body_len.unwrap_or_default().unsigned_abs();
            self.totals.events = self.totals.events.saturating_sub(1);
            self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
            self.effects.push(Effect::Gone(event.clone()));
        }
        let list = self.shared.names().by_id(event.handlers).cloned();
        let mut dead = 0;
        for handler in list.iter().flat_map(|list| &list.ids) {
            let job = JobRow {
                seq,
                handler: *handler,
                stage: JobStage::Dead,
                attempts: 0,
                interrupted: false,
                at: self.now,
                wait: None,
            };
            dead += usize::from(job.put(self.connection)?);
        }
        self.totals.dead += dead - was_dead.min(dead);
        if event.state != State::Dead {
            self.totals.dead_events += 1;
            self.totals.dead_bytes += event.body_len.unwrap_or_default().unsigned_abs();
        }
        self.totals.damaged += 1;
        event.flags |= DAMAGED;
        (event.state, event.ended_at) = (State::Dead, Some(self.now));
        self.set(&event)
    }

    /// A change of this event cannot be written, as a page that takes it is damaged: it is handed
    /// out no more.
    pub(super) fn lose(&mut self, change: &Change) {
        let (seq, told) = match change {
            Change::Job(job) | Change::Failed(job, _) => (job.seq, false),
            Change::Ended(ended, _) => (ended.seq, false),
            Change::Damaged(seq) => (*seq, true),
        };
        tracing::error!(
            id = seq,
            "an event of the inbox is on a damaged page: what becomes of it cannot be written; salvage the inbox"
        );
        if told || !self.shared.ready().is_damaged(seq.cast_unsigned()) {
            self.totals.damaged += 1;
        }
        self.effects.push(Effect::Lost(seq));
    }

    /// What was committed is so in memory too. Tells whether there is something to hand out.
    pub(super) fn committed(self) -> bool {
        let mut ready = self.shared.ready();
        let mut arrived = false;
        let mut gone = HashSet::new();
        for effect in self.effects {
            match effect {
                Effect::Kept(entry, fact) => {
                    arrived = true;
                    ready.push_kept(entry, fact);
                }
                Effect::Ended(seq) => ready.close(seq.cast_unsigned()),
                Effect::Lost(seq) => ready.lose(seq.cast_unsigned()),
                Effect::Gone(event) => {
                    self.shared
                        .finish(event.identity, event.has(MARKS) || event.parent.is_some());
                    gone.insert(event.seq.cast_unsigned());
                }
                Effect::Replayed(seq, handlers) => {
                    if let Some(open) = ready.open(seq.cast_unsigned()) {
                        let ids = open.fact.list.ids.iter();
                        for (id, job) in ids.zip(&mut open.jobs) {
                            if handlers.contains(id) && job.stage == Stage::Dead {
                                job.stage = Stage::Replayed;
                            }
                        }
                    }
                }
            }
        }
        if !gone.is_empty() {
            ready.forget(&gone);
        }
        arrived
    }
}

fn dead_jobs(connection: &Connection, seq: i64) -> Result<usize, StoreError> {
    let count = "SELECT count(*) FROM job WHERE seq = ? AND stage = 5";
    let count: i64 = cached(connection, count)?.query_row([seq], |row| row.get(0))?;
    Ok(count.unsigned_abs() as usize)
}

/// An event; `None` when there is none of this number.
pub(super) fn event(connection: &Connection, seq: i64) -> Result<Option<EventRow>, StoreError> {
    let sql = format!("SELECT {EVENT} FROM event WHERE seq = ?");
    let mut select = cached(connection, &sql)?;
    let mut rows = select.query([seq])?;
    rows.next()?.map(EventRow::read).transpose()
}

/// The attempt that was cut short when the process died, and how its job stands after it.
pub(super) fn interrupted(mut job: JobRow, began_at: SystemTime) -> Change {
    job.stage = JobStage::Queued;
    job.attempts = job.attempts.saturating_add(1);
    job.interrupted = true;
    Change::Failed(job, row::interrupted(began_at))
}
