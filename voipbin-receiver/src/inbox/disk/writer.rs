//! The one thread that writes: it gathers what came meanwhile and commits it together.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::convert::{add, head};
use super::index::{Change, Cleaning, Event, Index};
use super::lock::DirLock;
use super::place::Place;
use super::record::{Chunk, JobStage, Progress, RecordError};
use super::shared::{Begin, Command, New, Outcome, Shared, Told, Work};
use super::store::{Changes, Loaded, Store};
use super::store_error::{StoreError, StoreErrorKind};
use crate::handler::HandlerName;
use crate::inbox::{Entry, Incoming, Jobs, KeepErrorKind, RecordId, Repeats, Settled, Starter};

/// How much of bodies goes into one row. With 1.5 KB events that is 40 of them; rows of one event
/// each reach a third of the throughput, larger ones hold more that is finished.
pub(super) const CHUNK_BYTES: usize = 60_000;
pub(super) const CHUNK_EVENTS: usize = 256;

/// How many rows one commit cleans, and how soon the next one goes on where there are more.
const CLEANINGS: usize = 256;
const NEXT_CLEANING: Duration = Duration::from_millis(20);

/// The file is made smaller when nothing came for a tick, it is at least so large, less than a
/// quarter of it is used, and so little is used that to move it takes a moment.
const COMPACT_FROM: u64 = 16 << 20;
const COMPACT_MOST: u64 = 32 << 20;

pub(super) struct Writer {
    shared: Arc<Shared>,
    place: Box<dyn Place>,
    /// Whether the file is not where it was. It stays open then: what is in it may be nowhere else.
    moved: bool,
    /// What was last told of, and when.
    told: Option<(StoreErrorKind, Instant)>,
    next_tick: Instant,
    /// Attempts that wait for their record to be stored.
    starters: Vec<Starter>,
    /// Whoever waits for everything to be stored.
    flushes: Vec<oneshot::Sender<()>>,
    /// Chunks of a commit that failed: nobody knows whether they are in the file.
    doubtful: Vec<u64>,
    next_seq: u64,
    lock: Option<DirLock>,
    /// When something last came.
    busy: Instant,
    /// What was used of the file when it was last made smaller, and its length after that.
    compacted: Option<(u64, u64)>,
}

/// A chunk that is about to be stored.
struct Staged {
    key: u64,
    chunk: Chunk,
    events: Vec<(Event, New)>,
    bytes: usize,
}

/// What one commit is made of, beside what is in the index.
#[derive(Default)]
struct Plan {
    changes: Changes,
    cleanings: Vec<(u64, Cleaning, u64)>,
    dirty: Vec<u64>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, place: Box<dyn Place>, lock: Option<DirLock>) -> Self {
        let next_seq = shared.index().next_seq();
        Self {
            shared,
            place,
            moved: false,
            told: None,
            next_tick: Instant::now(),
            starters: Vec::new(),
            flushes: Vec::new(),
            doubtful: Vec::new(),
            next_seq,
            lock,
            busy: Instant::now(),
            compacted: None,
        }
    }

    /// Writes until the last handle is gone and nothing is left to write.
    /// Gives the lock back, for when the file is closed.
    pub(super) fn run(mut self) -> Option<DirLock> {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            while let Some(work) = self.shared.next_work(self.next_tick) {
                self.step(work);
            }
        }));
        if worked.is_err() {
            tracing::error!("the inbox's writer panicked: new events are refused");
        }
        self.shared.end();
        if worked.is_ok()
            && let Some(lock) = &mut self.lock
        {
            lock.prove();
        }
        self.lock
    }

    fn step(&mut self, work: Work) {
        if !work.is_empty() {
            self.busy = Instant::now();
        }
        let Work {
            new,
            outcomes,
            begins,
            commands,
        } = work;
        let now = self.shared.now();
        let shared = Arc::clone(&self.shared);
        {
            let mut index = shared.index();
            for outcome in outcomes {
                self.settle(&mut index, outcome, now);
            }
            for begin in begins {
                self.begin(&mut index, begin, now);
            }
            for command in commands {
                self.obey(&mut index, command, now);
            }
        }
        self.look();
        if self.moved || (self.is_in_need() && !self.reopen()) {
            // Whoever waits for what cannot be stored now waits in vain.
            self.flushes.clear();
            return refuse(&shared, new, KeepErrorKind::Storage);
        }
        let staged = match self.stage(new) {
            Ok(staged) => staged,
            Err(new) => {
                return refuse(&shared, new, KeepErrorKind::Storage);
            }
        };
        let (plan, staged) = self.plan(staged, now);
        let cleans = plan.cleanings.len() == CLEANINGS;
        self.commit(plan, staged);
        if self.busy.elapsed() >= self.shared.settings.tick && !cleans {
            self.compact();
        }
    }

    /// Gives room that is not used any more back to the file system, where that is quick.
    fn compact(&mut self) {
        let shared = Arc::clone(&self.shared);
        let len = shared.disk_bytes.load(Ordering::Relaxed);
        if len < COMPACT_FROM || self.is_in_need() {
            return;
        }
        let used = shared.index().used();
        let worth = match self.compacted {
            Some((before, after)) => used < before / 2 || len > after.saturating_mul(2),
            None => true,
        };
        if !worth || used > len / 4 || used > COMPACT_MOST {
            return;
        }
        let mut store = shared
            .store
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(store) = store.as_mut() else { return };
        match store.compact() {
            Ok(_) => {
                self.compacted = Some((used, store.file_len()));
                shared.disk_bytes.store(store.file_len(), Ordering::Relaxed);
            }
            Err(error) => self.fail(&error),
        }
    }

    fn settle(&self, index: &mut Index, outcome: Outcome, now: u64) {
        let Outcome {
            seq,
            handler,
            settled,
        } = outcome;
        let change = index.change(seq, &handler, self.shared.keep, |job| match settled {
            Settled::Done => job.stage = JobStage::Done { at: now },
            Settled::Retry { failed, after } | Settled::Delayed { failed, after } => {
                add(job, failed);
                job.stage = JobStage::Waiting {
                    since: now,
                    millis: super::convert::as_millis(after),
                };
            }
            Settled::Dead { failed } => {
                if let Some(failed) = failed {
                    add(job, failed);
                }
                job.stage = JobStage::Dead { at: now };
            }
            Settled::Released => job.stage = JobStage::Queued,
            Settled::Held => {}
        });
        self.finished(index, change);
    }

    fn begin(&mut self, index: &mut Index, begin: Begin, now: u64) {
        let Begin {
            seq,
            handler,
            starter,
        } = begin;
        // It was cut short, and what was said of it since may be written already.
        if !starter.is_awaited() {
            return;
        }
        let change = index.change(seq, &handler, self.shared.keep, |job| {
            job.stage = JobStage::Begun { at: now };
        });
        // Of a job that is gone, by a discard, the attempt does not begin.
        if change != Change::None {
            self.starters.push(starter);
        }
    }

    fn obey(&mut self, index: &mut Index, command: Command, now: u64) {
        match command {
            Command::Flush(told) => self.flushes.push(told),
            Command::Discard(seqs, told) => {
                let mut discarded = 0;
                for seq in seqs {
                    self.unseal(index, seq);
                    let change = index.discard(seq, now, self.shared.keep);
                    self.finished(index, change);
                    discarded += usize::from(change != Change::None);
                }
                self.next_tick = Instant::now();
                let _ = told.send(discarded);
            }
        }
    }

    /// Reads what the index let go of when all events of a chunk were finished.
    fn unseal(&self, index: &mut Index, seq: u64) {
        let Some(key) = index.key_of(seq).filter(|key| index.is_sealed(*key)) else {
            return;
        };
        let loaded = match &*self.store() {
            Some(store) => store.rows(key, 1).ok().and_then(|mut rows| rows.pop()),
            None => return,
        };
        if let Some(Loaded {
            heads: Some(heads),
            progress,
            ..
        }) = loaded
        {
            let jobs = heads.heads.iter().map(|_| Jobs::from_iter([])).collect();
            index.unseal(key, &heads, jobs, progress);
        }
    }

    fn finished(&self, index: &Index, change: Change) {
        if let Change::Finished(identity, marks) = change {
            if !marks {
                self.shared.seen.finish(identity);
            }
            self.shared.publish(index.totals);
        }
    }

    /// Puts new events into chunks. Gives them back when they do not fit the format.
    fn stage(&mut self, new: Vec<New>) -> Result<Vec<Staged>, Vec<New>> {
        let mut staged: Vec<Staged> = Vec::new();
        // The events of one receiver share a few lists of handlers.
        let mut places: HashMap<*const HandlerName, Vec<u16>> = HashMap::new();
        for new in new {
            let Incoming {
                delivery,
                jobs,
                repeats,
                ..
            } = &new.incoming;
            let body = if jobs.is_empty() {
                Bytes::new()
            } else {
                delivery.body().clone()
            };
            let full = staged.last().is_none_or(|last| {
                last.bytes + body.len() > CHUNK_BYTES || last.events.len() >= CHUNK_EVENTS
            });
            let seq = self.next_seq;
            self.next_seq += 1;
            if full {
                places.clear();
                staged.push(Staged {
                    key: seq,
                    chunk: Chunk::default(),
                    events: Vec::new(),
                    bytes: 0,
                });
            }
            let Some(last) = staged.last_mut() else {
                continue;
            };
            let list = places
                .entry(jobs.iter().as_slice().as_ptr())
                .or_insert_with(|| places_of(jobs, &mut last.chunk.names));
            let replay_of = match &new.told {
                Told::Replay { original, .. } => Some(*original),
                Told::Sender(_) => None,
            };
            let marks = *repeats == Repeats::Mark || replay_of.is_some();
            let kept_at = super::convert::millis(delivery.received_at());
            let mut head = head(
                seq,
                kept_at,
                delivery,
                marks,
                new.possible_repeat,
                replay_of,
                list.clone(),
            );
            head.body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
            last.bytes += body.len();
            let event = Event::new(&head, jobs.clone());
            last.chunk.events.push((head, body));
            last.events.push((event, new));
        }
        Ok(staged)
    }

    /// Everything that the next commit writes. Gives back the chunks that it cannot.
    fn plan(&mut self, staged: Vec<Staged>, now: u64) -> (Plan, Vec<Staged>) {
        let mut plan = Plan::default();
        let mut kept = Vec::with_capacity(staged.len());
        let changes = &mut plan.changes;
        changes.drop_chunks.extend(&self.doubtful);
        changes.drop_heads.extend(&self.doubtful);
        changes.drop_progress.extend(&self.doubtful);
        for staged in staged {
            let rows = staged
                .chunk
                .encode(staged.key)
                .and_then(|chunk| Ok((chunk, staged.chunk.encode_heads(staged.key)?)));
            match rows {
                Ok((chunk, heads)) => {
                    changes.chunks.push((staged.key, chunk));
                    changes.heads.push((staged.key, heads));
                    kept.push(staged);
                }
                Err(error) => self.unfit(staged, error),
            }
        }
        let shared = Arc::clone(&self.shared);
        let mut index = shared.index();
        if Instant::now() >= self.next_tick || index.totals.stored > self.shared.settings.max_bytes
        {
            let more = self.clean(&mut index, &mut plan, now);
            let tick = self.shared.settings.tick;
            self.next_tick = Instant::now() + if more { NEXT_CLEANING.min(tick) } else { tick };
        }
        for (key, progress) in index.take_dirty() {
            plan.dirty.push(key);
            self.store_progress(&mut plan.changes, key, &progress);
        }
        (plan, kept)
    }

    fn store_progress(&self, changes: &mut Changes, key: u64, progress: &Progress) {
        match progress.encode(key) {
            Ok(row) => changes.progress.push((key, row)),
            Err(error) => tracing::error!(%error, "how far events have come cannot be stored"),
        }
    }

    /// Finds what is over, and takes it out of the file. Tells whether there may be more.
    fn clean(&self, index: &mut Index, plan: &mut Plan, now: u64) -> bool {
        let most = self.shared.settings.max_bytes;
        let keep = self.shared.keep;
        let mut stored = index.totals.stored;
        let mut early = true;
        for _ in 0..CLEANINGS {
            let due = match index.next_due(now) {
                Some(key) => Some((key, index.cleaning(key, now, keep))),
                None if stored > most && early => index.next_early(),
                None => None,
            };
            let Some((key, cleaning)) = due else {
                return false;
            };
            let changes = &mut plan.changes;
            let mut left = 0;
            match &cleaning {
                Cleaning::Nothing => {
                    index.postpone(key, now, keep);
                    continue;
                }
                Cleaning::Bodies => changes.drop_chunks.push(key),
                Cleaning::All => {
                    changes.drop_chunks.push(key);
                    changes.drop_heads.push(key);
                    changes.drop_progress.push(key);
                }
                Cleaning::BodiesBut(wanted) => match self.without(key, wanted) {
                    Some((row, bytes)) => {
                        changes.chunks.push((key, row));
                        left = bytes;
                    }
                    None => {
                        early = false;
                        index.postpone(key, now.saturating_add(60_000), keep);
                        continue;
                    }
                },
            }
            stored = stored.saturating_sub(index.stored_in(key)) + left;
            plan.cleanings.push((key, cleaning, left));
        }
        true
    }

    /// A chunk with these events alone, and the bytes of their bodies.
    fn without(&self, key: u64, wanted: &[u64]) -> Option<(Vec<u8>, u64)> {
        let store = self.store();
        let mut chunk = store.as_ref()?.chunk(key).ok().flatten()?;
        drop(store);
        chunk
            .events
            .retain(|(head, _)| wanted.binary_search(&head.seq).is_ok());
        let bytes = chunk.events.iter().map(|(_, body)| body.len() as u64).sum();
        Some((chunk.encode(key).ok()?, bytes))
    }

    fn commit(&mut self, plan: Plan, staged: Vec<Staged>) {
        let shared = Arc::clone(&self.shared);
        if !plan.changes.is_empty()
            && let Some(lock) = &mut self.lock
        {
            lock.attempt();
        }
        let begun = Instant::now();
        let committed = match &*self.store() {
            Some(store) => {
                let committed = store.commit(&plan.changes);
                shared.disk_bytes.store(store.file_len(), Ordering::Relaxed);
                committed
            }
            None => Err(StoreError::closed()),
        };
        let took = begun.elapsed();
        let keep = shared.keep;
        let mut index = shared.index();
        match committed {
            Ok(()) => {
                self.doubtful.clear();
                if !plan.changes.is_empty()
                    && let Some(lock) = &mut self.lock
                {
                    lock.prove();
                }
                let mut landed = Vec::new();
                let mut ready = Vec::new();
                for Staged { key, events, .. } in staged {
                    let (events, new): (Vec<_>, Vec<_>) = events.into_iter().unzip();
                    for (event, new) in events.iter().zip(&new) {
                        if !event.jobs.is_empty() {
                            ready.push((entry(event.seq, new), event.jobs.clone()));
                        }
                    }
                    let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
                    let kept = seqs.into_iter().map(|seq| Some(RecordId::new(seq)));
                    index.add(key, events, keep);
                    landed.extend(new.into_iter().zip(kept));
                }
                index.stored(plan.dirty.into_iter(), keep);
                for (key, cleaning, left) in plan.cleanings {
                    index.cleaned(key, &cleaning, left, keep);
                }
                let totals = index.totals;
                drop(index);
                let some_ready = !ready.is_empty();
                {
                    let mut line = shared.ready();
                    for (entry, jobs) in ready {
                        line.push_kept(entry, jobs);
                    }
                }
                let answered = landed.len();
                shared.landed(landed, Some(totals), KeepErrorKind::Storage);
                if some_ready {
                    shared.arrived.notify_one();
                }
                self.starters.drain(..).for_each(Starter::start);
                shared.answered(answered, took);
                for flush in self.flushes.drain(..) {
                    let _ = flush.send(());
                }
            }
            Err(error) => {
                index.unstored(plan.dirty.into_iter());
                let now = shared.now();
                for (key, ..) in plan.cleanings {
                    index.postpone(key, now, keep);
                }
                drop(index);
                self.fail(&error);
                let new = staged
                    .into_iter()
                    .flat_map(|staged| {
                        self.doubtful.push(staged.key);
                        staged.events
                    })
                    .map(|(_, new)| new)
                    .collect();
                refuse(&shared, new, KeepErrorKind::Storage);
            }
        }
    }

    fn fail(&mut self, error: &StoreError) {
        /// What lasts is told of now and then.
        const QUIET: Duration = Duration::from_secs(60);
        self.shared.failing.store(true, Ordering::Relaxed);
        self.flushes.clear();
        let now = Instant::now();
        self.next_tick = now + self.shared.settings.tick;
        if let Some((kind, at)) = self.told
            && kind == error.kind()
            && now.duration_since(at) < QUIET
        {
            return;
        }
        self.told = Some((error.kind(), now));
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(
            %error,
            cause,
            "the inbox cannot write: new events are refused until it can"
        );
    }

    /// Looks whether the file is where it was. What is written into one that is not would be lost.
    fn look(&mut self) {
        match self.place.look() {
            Err(error) => {
                self.moved = true;
                self.fail(&error);
            }
            Ok(()) if self.moved => {
                self.moved = false;
                self.recovered();
            }
            Ok(()) => {}
        }
    }

    fn recovered(&mut self) {
        tracing::info!("the inbox's file can be written again");
        self.told = None;
        self.shared.failing.store(false, Ordering::Relaxed);
        self.shared.arrived.notify_waiters();
    }

    /// Whether a write failed, or somebody's read.
    fn is_in_need(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
            || self.store().as_ref().is_none_or(Store::is_broken)
    }

    /// Opens the file anew, which drops whatever the failed write left in memory.
    fn reopen(&mut self) -> bool {
        if self.shared.failing.load(Ordering::Relaxed) && Instant::now() < self.next_tick {
            return false;
        }
        let mut store = self
            .shared
            .store
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *store = None;
        match self.place.open(false) {
            Ok(opened) => {
                *store = Some(opened);
                drop(store);
                self.recovered();
                true
            }
            Err(error) => {
                drop(store);
                self.fail(&error);
                false
            }
        }
    }

    /// Events that the format has no room for: more than four billion bytes, or handlers.
    fn unfit(&self, staged: Staged, error: RecordError) {
        tracing::error!(%error, "events cannot be stored");
        let new = staged.events.into_iter().map(|(_, new)| new).collect();
        refuse(&self.shared, new, KeepErrorKind::Storage);
    }

    fn store(&self) -> std::sync::RwLockReadGuard<'_, Option<Store>> {
        self.shared
            .store
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn refuse(shared: &Shared, new: Vec<New>, kind: KeepErrorKind) {
    let landed = new.into_iter().map(|new| (new, None)).collect();
    shared.landed(landed, None, kind);
}

fn entry(seq: u64, new: &New) -> Entry {
    let Incoming {
        delivery,
        jobs,
        span,
        ..
    } = &new.incoming;
    let replay_of = match &new.told {
        Told::Replay { original, .. } => Some(*original),
        Told::Sender(_) => None,
    };
    Entry::new(seq, delivery.clone(), jobs.len())
        .marked(new.possible_repeat)
        .replaying(replay_of)
        .within(span.clone())
}

/// Where the names of these handlers are among the names of a chunk.
fn places_of(jobs: &Jobs, names: &mut Vec<HandlerName>) -> Vec<u16> {
    jobs.iter()
        .map(|name| {
            let place = names.iter().position(|known| known == name);
            let place = place.unwrap_or_else(|| {
                names.push(name.clone());
                names.len() - 1
            });
            u16::try_from(place).unwrap_or(u16::MAX)
        })
        .collect()
}
