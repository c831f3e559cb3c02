//! The one thread that writes: it gathers what came meanwhile and commits it together.

mod cleaning;
mod recovery;
mod staging;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use self::cleaning::{CLEANINGS, NEXT_CLEANING};
use self::staging::{Staged, entry, replays};
use super::convert::as_millis;
use super::index::{Change, Cleaning, Index, Replay};
use super::lock::DirLock;
use super::place::Place;
use super::record::{AttemptId, JobStage};
use super::shared::{Begin, Command, Ended, New, Outcome, Shared, Work};
use super::store::{Changes, Loaded, Store};
use super::store_error::{StoreError, StoreErrorKind};
use crate::inbox::{Jobs, KeepErrorKind, RecordId, Starter};
use crate::sync::RwLockReadGuard;
use crate::sync::time::Moment as Instant;

/// How much of bodies goes into one row. With 1.5 KB events that is 40 of them; rows of one event
/// each reach a third of the throughput, larger ones hold more that is finished.
pub(super) const CHUNK_BYTES: usize = 60_000;
pub(super) const CHUNK_EVENTS: usize = 256;

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

/// What one commit is made of, beside what is in the index.
#[derive(Default)]
struct Plan {
    changes: Changes,
    cleanings: Vec<(u64, Cleaning, u64)>,
    dirty: Vec<u64>,
    attempts: Vec<(u64, AttemptId)>,
    replays: Vec<Replay>,
    /// The time of it.
    now: u64,
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
        let new = self.still_dead(new);
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

    fn settle(&self, index: &mut Index, outcome: Outcome, now: u64) {
        let Outcome {
            seq,
            handler,
            ended,
        } = outcome;
        let change = index.change(seq, &handler, self.shared.keep, |job| {
            if let Some(number) = ended.number() {
                job.attempts = number;
                job.interrupted = false;
            }
            job.stage = match ended {
                Ended::Done => JobStage::Done { at: now },
                Ended::Retry { after, in_lane, .. } => JobStage::Waiting {
                    since: now,
                    millis: as_millis(after),
                    in_lane,
                },
                Ended::Dead { .. } => JobStage::Dead { at: now },
                Ended::Released => JobStage::Queued,
            };
        });
        if let Some(number) = ended.number() {
            index.count(seq, &handler, number, change != Change::None);
        }
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

    /// Everything that the next commit writes. Gives back the chunks that it cannot.
    fn plan(&mut self, staged: Vec<Staged>, now: u64) -> (Plan, Vec<Staged>) {
        let mut plan = Plan {
            now,
            ..Plan::default()
        };
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
        plan.replays = replays(&kept);
        for (key, progress) in index.take_dirty(&plan.replays, now) {
            plan.dirty.push(key);
            self.store_progress(&mut plan.changes, key, &progress);
        }
        let counted = index.counted();
        drop(index);
        for (seq, counted) in counted {
            self.store_attempts(&mut plan, seq, counted);
        }
        (plan, kept)
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
                index.attempts_stored(&plan.attempts);
                for replay in &plan.replays {
                    index.replayed(replay, plan.now, keep);
                }
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

    fn store(&self) -> RwLockReadGuard<'_, Option<Store>> {
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
