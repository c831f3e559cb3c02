//! What one commit does: rows, and what they come to in memory once they are committed.

use std::collections::HashSet;
use std::time::SystemTime;

use rusqlite::Connection;

use super::error::{Result, unless_damaged};
use super::load;
use super::names::Names;
use super::queue::EventMeta;
use super::row::{
    self, DAMAGED, EVENT, EventRow, FixedSum, JobRow, JobStage, MARKS, REPEAT, SIGNED, State,
    cached, record_id, seq_of,
};
use super::shared::{PendingKeep, Shared};
use super::time;
use crate::event::{Delivery, Proof, RecordId, TraceContext};
use crate::inbox::{Attempt, HandlerSet, KeptEvent, Lane, Repeats};

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

impl Totals {
    /// An event of so many bytes changes its state.
    pub(super) fn moves(&mut self, from: State, to: State, bytes: u64) {
        let less = |events: &mut usize, of: &mut u64| {
            *events = events.saturating_sub(1);
            *of = of.saturating_sub(bytes);
        };
        match from {
            State::Pending => less(&mut self.events, &mut self.bytes),
            State::Dead => less(&mut self.dead_events, &mut self.dead_bytes),
            State::Done | State::Tombstone => {}
        }
        let more = |events: &mut usize, of: &mut u64| {
            *events += 1;
            *of += bytes;
        };
        match to {
            State::Pending => more(&mut self.events, &mut self.bytes),
            State::Dead => more(&mut self.dead_events, &mut self.dead_bytes),
            State::Done | State::Tombstone => {}
        }
    }
}

/// What is to be written of a job or an event. To write it again changes nothing.
pub(super) enum Change {
    /// How a job stands and, where one has failed, the attempt before that.
    Job(JobRow, Option<Attempt>),
    /// The last job has ended.
    Ended(Ended),
    /// The bytes cannot be read any more.
    Damaged(i64),
}

pub(super) struct Ended {
    pub(super) seq: i64,
    pub(super) fixed_sum: FixedSum,
    pub(super) body_len: i64,
    pub(super) dead: bool,
    pub(super) at: i64,
    /// The last job; `None` where no rows of jobs stay.
    pub(super) last: Option<(JobRow, Option<Attempt>)>,
}

/// What an event is inserted with beside its delivery.
#[derive(Default)]
pub(super) struct Attributes {
    pub(super) marks: bool,
    pub(super) possible_repeat: bool,
    pub(super) lane: Option<Lane>,
    pub(super) parent: Option<RecordId>,
}

/// A commit that is being made.
pub(super) struct Batch<'a> {
    /// To read by, and to write what is not of an event.
    pub(super) connection: &'a Connection,
    pub(super) shared: &'a Shared,
    pub(super) totals: Totals,
    /// Of the first event that it adds, if it adds one.
    pub(super) first_seq: i64,
    pub(super) next_seq: i64,
    /// By the inbox's clock.
    pub(super) now: i64,
    effects: Vec<Effect>,
}

/// What a commit comes to in memory.
enum Effect {
    Kept(KeptEvent, EventMeta),
    Ended(i64),
    Removed(EventRow),
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

    /// Does this or nothing of it.
    pub(super) fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
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

    pub(super) fn keep(&mut self, keep: &PendingKeep) -> Result<()> {
        let incoming = &keep.incoming;
        let attributes = Attributes {
            marks: incoming.repeats == Repeats::Mark,
            possible_repeat: keep.possible_repeat,
            lane: incoming.lane,
            parent: None,
        };
        self.insert(&incoming.delivery, &incoming.handlers, attributes)?;
        Ok(())
    }

    /// Adds an event, and hands it out after the commit. Of one for nobody only the identity is
    /// kept.
    pub(super) fn insert(
        &mut self,
        delivery: &Delivery,
        jobs: &HandlerSet,
        attributes: Attributes,
    ) -> Result<RecordId> {
        let seq = self.next_seq;
        if (seq - self.first_seq) % load::RESERVED == 0 {
            load::reserve(self.connection, seq)?;
        }
        let flag = |holds: bool, flag| if holds { flag } else { 0 };
        let body = delivery.body();
        let handlers = self.shared.names().list(self.connection, jobs)?;
        let kind = delivery.event_type().filter(|_| !jobs.is_empty());
        let kind = kind.map(|kind| self.shared.names().name(self.connection, kind.as_str()));
        let mut row = EventRow {
            seq,
            kept_at: self.now,
            received_at: time::of_unix(delivery.received_at()),
            identity: delivery.identity(),
            flags: flag(delivery.proof() == Proof::Signed, SIGNED)
                | flag(attributes.marks, MARKS)
                | flag(attributes.possible_repeat, REPEAT),
            handlers: handlers.id,
            kind: kind.transpose()?,
            resource: delivery.resource_id().map(str::to_owned),
            content_type: delivery.other_content_type().map(str::to_owned),
            lane: None,
            lane_version: None,
            origin: row::origin(delivery.origin()),
            trace: delivery
                .trace_context()
                .map(TraceContext::as_str)
                .map(str::to_owned),
            parent: attributes.parent.map(seq_of),
            state: State::Pending,
            ended_at: None,
            body_len: Some(body.len() as i64),
        };
        row.set_lane(attributes.lane);
        let id = record_id(seq);
        self.next_seq += 1;
        if jobs.is_empty() {
            row.tombstone().insert(self.connection)?;
            return Ok(id);
        }
        row.insert(self.connection)?;
        row::insert_body(self.connection, seq, body)?;
        let bytes = body.len() as u64;
        self.totals.moves(State::Tombstone, State::Pending, bytes);
        let event = KeptEvent::new(id.get(), delivery.clone())
            .in_lane(attributes.lane)
            .marked(attributes.possible_repeat)
            .replaying(attributes.parent);
        let meta = EventMeta::of(&row, handlers)?;
        self.effects.push(Effect::Kept(event, meta));
        Ok(id)
    }

    pub(super) fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Job(job, failed) => self.put_job(job, failed.as_ref()),
            Change::Ended(ended) => {
                if let Some((job, failed)) = &ended.last {
                    self.put_job(job, failed.as_ref())?;
                }
                self.end(ended)
            }
            Change::Damaged(seq) => self.damaged(*seq),
        }
    }

    fn put_job(&mut self, job: &JobRow, failed: Option<&Attempt>) -> Result<()> {
        if job.put(self.connection)? && job.stage == JobStage::Dead {
            self.totals.dead += 1;
        }
        match failed {
            Some(attempt) => row::put_attempt(self.connection, job, attempt),
            None => Ok(()),
        }
    }

    fn end(&mut self, ended: &Ended) -> Result<()> {
        self.effects.push(Effect::Ended(ended.seq));
        let state = if ended.dead { State::Dead } else { State::Done };
        let sum = ended.fixed_sum.with(state, ended.at, ended.body_len)?;
        let sql = "UPDATE event SET state = ?, ended_at = ?, sum = ? WHERE seq = ? AND state = 0";
        let mut update = cached(self.connection, sql)?;
        if update.execute((state, ended.at, sum, ended.seq))? == 0 {
            return Ok(());
        }
        let bytes = ended.body_len.unsigned_abs();
        self.totals.moves(State::Pending, state, bytes);
        if ended.last.is_none() {
            cached(self.connection, "DELETE FROM job WHERE seq = ?")?.execute([ended.seq])?;
        }
        Ok(())
    }

    /// Removes all of an event but its identity. Its open jobs are not run any more; a run that has
    /// begun goes on. False when there is nothing to remove.
    pub(super) fn discard(&mut self, seq: i64) -> Result<bool> {
        match row::event(self.connection, seq)? {
            Some(event) if event.state != State::Tombstone => {
                self.bury(&event)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Leaves a tombstone of an event.
    pub(super) fn bury(&mut self, event: &EventRow) -> Result<()> {
        self.remove_parts(event)?;
        event.tombstone().replace(self.connection)
    }

    /// Removes all of an event.
    pub(super) fn remove(&mut self, event: &EventRow) -> Result<()> {
        if event.state != State::Tombstone {
            self.remove_parts(event)?;
        }
        cached(self.connection, "DELETE FROM event WHERE seq = ?")?.execute([event.seq])?;
        Ok(())
    }

    /// Removes the rows of an event that are not its own.
    fn remove_parts(&mut self, event: &EventRow) -> Result<()> {
        let dead = dead_jobs(self.connection, event.seq)?;
        for sql in [
            "DELETE FROM body WHERE seq = ?",
            "DELETE FROM job WHERE seq = ?",
            "DELETE FROM attempt WHERE seq = ?",
        ] {
            cached(self.connection, sql)?.execute([event.seq])?;
        }
        self.totals.dead = self.totals.dead.saturating_sub(dead);
        let (state, bytes) = (event.state, event.bytes());
        self.totals.moves(state, State::Tombstone, bytes);
        if state == State::Pending {
            self.effects.push(Effect::Removed(event.clone()));
        }
        if state == State::Dead && event.has(DAMAGED) {
            self.totals.damaged = self.totals.damaged.saturating_sub(1);
        }
        Ok(())
    }

    /// The event was replayed for those of these handlers that gave up.
    pub(super) fn replayed(&mut self, seq: i64, handlers: &[i64]) -> Result<()> {
        let jobs = row::jobs(self.connection, seq)?;
        let dead = jobs.into_iter().filter(|job| job.stage == JobStage::Dead);
        let (replayed, left): (Vec<_>, Vec<_>) =
            dead.partition(|job| handlers.contains(&job.handler));
        for job in &replayed {
            let (stage, at) = (JobStage::Replayed, self.now);
            JobRow { stage, at, ..*job }.put(self.connection)?;
        }
        self.totals.dead = self.totals.dead.saturating_sub(replayed.len());
        if !replayed.is_empty()
            && left.is_empty()
            && let Some(mut event) = row::event(self.connection, seq)?
            && event.state == State::Dead
        {
            self.totals.moves(State::Dead, State::Done, event.bytes());
            (event.state, event.ended_at) = (State::Done, Some(self.now));
            event.replace(self.connection)?;
        }
        let handlers = replayed.iter().map(|job| job.handler).collect();
        self.effects.push(Effect::Replayed(seq, handlers));
        Ok(())
    }

    /// The event cannot be read: it is a dead letter, and what there is of it stays.
    pub(super) fn damaged(&mut self, seq: i64) -> Result<()> {
        let sql = format!("SELECT {EVENT} FROM event WHERE seq = ?");
        let mut select = cached(self.connection, &sql)?;
        let mut rows = select.query([seq])?;
        let row = rows.next().map_err(Into::into);
        let found = row.and_then(|row| row.map(EventRow::salvaged).transpose());
        let Some(found) = unless_damaged(found)? else {
            // Nothing of it can be told but its number.
            self.totals.damaged += 1;
            return Ok(());
        };
        self.effects.push(Effect::Ended(seq));
        let Some(mut event) = found else {
            return Ok(());
        };
        if event.state == State::Dead && event.has(DAMAGED) {
            return Ok(());
        }
        let was_dead = dead_jobs(self.connection, seq)?;
        let handlers = self.shared.handlers(event.handlers);
        let mut dead = 0;
        for handler in handlers.iter().flat_map(|handlers| &handlers.ids) {
            let job = JobRow {
                stage: JobStage::Dead,
                at: self.now,
                ..JobRow::new(seq, *handler)
            };
            dead += usize::from(job.put(self.connection)?);
        }
        if event.state == State::Pending {
            self.effects.push(Effect::Removed(event.clone()));
        }
        self.totals.dead += dead - was_dead.min(dead);
        self.totals.moves(event.state, State::Dead, event.bytes());
        self.totals.damaged += 1;
        event.flags |= DAMAGED;
        (event.state, event.ended_at) = (State::Dead, Some(self.now));
        event.replace(self.connection)
    }

    /// A change of this event cannot be written, as a page that takes it is damaged: it is handed
    /// out no more.
    pub(super) fn lose(&mut self, change: &Change) {
        let (seq, is_counted) = match change {
            Change::Job(job, _) => (job.seq, self.shared.queue().is_damaged(job.seq)),
            Change::Ended(ended) => (ended.seq, self.shared.queue().is_damaged(ended.seq)),
            Change::Damaged(seq) => (*seq, false),
        };
        tracing::error!(
            id = seq,
            "an event of the inbox is on a damaged page: what becomes of it cannot be written; salvage the inbox"
        );
        self.totals.damaged += usize::from(!is_counted);
        self.effects.push(Effect::Lost(seq));
    }

    /// What was committed is so in memory too. Tells whether there is something to hand out.
    pub(super) fn committed(self) -> bool {
        let mut queue = self.shared.queue();
        let mut arrived = false;
        let mut removed = HashSet::new();
        for effect in self.effects {
            match effect {
                Effect::Kept(event, meta) => {
                    arrived = true;
                    queue.push_kept(event, meta);
                }
                Effect::Ended(seq) => queue.close(seq),
                Effect::Lost(seq) => queue.lose(seq),
                Effect::Removed(event) => {
                    self.shared.finish(event.identity, event.shares_identity());
                    removed.insert(event.seq);
                }
                Effect::Replayed(seq, handlers) => queue.replayed(seq, &handlers),
            }
        }
        if !removed.is_empty() {
            queue.forget(&removed);
        }
        arrived
    }
}

fn dead_jobs(connection: &Connection, seq: i64) -> Result<usize> {
    let count = "SELECT count(*) FROM job WHERE seq = ? AND stage = 5";
    let count: i64 = cached(connection, count)?.query_row([seq], |row| row.get(0))?;
    Ok(count.unsigned_abs() as usize)
}

/// The attempt that was cut short when the process died, and how its job stands after it.
pub(super) fn interrupted(job: &mut JobRow, began_at: SystemTime) -> Change {
    job.stage = JobStage::Queued;
    job.attempts = job.attempts.saturating_add(1);
    job.interrupted = true;
    Change::Job(*job, Some(row::interrupted(began_at)))
}
