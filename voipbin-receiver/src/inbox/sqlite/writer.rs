//! The one thread that writes: it takes all that waits, commits it together, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::batch::{Batch, Change, Totals};
use super::clean::Cleaner;
use super::load;
use super::names::Names;
use super::place::Place;
use super::row::cached;
use super::schema::{self, BUSY, Role};
use super::shared::{Answer, Shared, Work};
use super::store_error::{StoreError, StoreErrorKind};

/// Bytes of the write-ahead log after which it is brought into the file.
const CHECKPOINT: u64 = 4 << 20;

/// How long a checkpoint waits for readers.
const READERS: Duration = Duration::from_millis(20);

pub(super) struct Writer {
    shared: Arc<Shared>,
    place: Place,
    /// `None` after a failure, until it is opened anew.
    connection: Option<Connection>,
    next_seq: i64,
    cleaner: Cleaner,
    next_tick: Instant,
    /// Bytes that were written to the log since it was last brought into the file, about.
    logged: u64,
    /// Whether something was removed since, which the log may still have.
    removed: bool,
    /// Changes that a damaged page is in the way of, until that is committed.
    lost: Vec<Change>,
    /// What was last told of, and when.
    told: Option<(StoreErrorKind, Instant)>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        place: Place,
        connection: Connection,
        next_seq: i64,
    ) -> Self {
        Self {
            cleaner: Cleaner::default(),
            shared,
            place,
            connection: Some(connection),
            next_seq,
            next_tick: Instant::now(),
            logged: 0,
            removed: false,
            lost: Vec::new(),
            told: None,
        }
    }

    /// Writes until the last handle is gone and nothing is left to write.
    pub(super) fn run(mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            while let Some(work) = self.shared.next_work(self.until()) {
                self.step(work);
            }
            self.finish();
        }));
        if worked.is_err() {
            tracing::error!("the inbox's writer panicked: new events are refused");
        }
        self.shared.end();
    }

    fn until(&self) -> Instant {
        match self.connection.is_some() && self.cleaner.has_more() {
            true => Instant::now(),
            false => self.next_tick,
        }
    }

    fn step(&mut self, work: Vec<Work>) {
        if self.connection.is_none() && !self.reopen() {
            return self.refuse(work);
        }
        let ticks = Instant::now() >= self.next_tick;
        if ticks {
            self.next_tick = Instant::now() + self.shared.settings.tick;
            self.shared
                .disk_bytes
                .store(self.place.bytes(), Ordering::Relaxed);
        }
        self.commit(work, ticks);
        if self.connection.is_some() {
            self.checkpoint(ticks);
        }
    }

    fn commit(&mut self, mut work: Vec<Work>, ticks: bool) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let mut cleans = ticks || self.cleaner.has_more();
        if work.is_empty() && !cleans {
            self.connection = Some(connection);
            return;
        }
        let mut suspect = None;
        loop {
            let mut answers = Vec::new();
            let mut batch = Batch::new(&connection, &shared, self.next_seq);
            let cleans_now = cleans.then_some(ticks);
            let Err(failed) = self.write(&mut batch, &mut work, &mut answers, cleans_now) else {
                let (totals, next_seq) = (batch.totals, batch.next_seq());
                self.next_seq = next_seq;
                self.lost.clear();
                let hand_over = || {
                    if batch.committed() {
                        shared.arrived.notify_one();
                    }
                };
                let truncates = self.committed(work, totals, hand_over, answers);
                self.connection = Some(connection);
                for told in truncates {
                    let _ = told.send(self.truncate());
                }
                return;
            };
            drop(batch);
            let has_commands = !answers.is_empty();
            for answer in answers {
                answer(false);
            }
            let goes_on = failed.error.kind() == StoreErrorKind::Damaged
                && roll_back(&connection, &shared).is_ok()
                && match failed.at {
                    At::Work(place) => self.leave_out(&mut work, place, &mut suspect),
                    At::Cleaning => {
                        cleans = self.cleaner.goes_around();
                        true
                    }
                    // A command has met it. They are not run again.
                    At::Commit => has_commands,
                };
            if !goes_on {
                if failed.error.kind() == StoreErrorKind::Moved {
                    // What is in a log without a name can still be brought into the file.
                    let _ = checkpoint(&connection, "PRAGMA wal_checkpoint(TRUNCATE)");
                }
                // Whatever SQLite believes of the file now is dropped with the connection.
                drop(connection);
                self.fail(&failed.error);
                return self.refuse(work);
            }
        }
    }

    /// One transaction, with cleaning where that is wanted.
    fn write(
        &mut self,
        batch: &mut Batch<'_>,
        work: &mut [Work],
        answers: &mut Vec<Answer>,
        cleans: Option<bool>,
    ) -> Result<(), Failed> {
        let connection = batch.connection();
        let at = |at| move |error| Failed { error, at };
        let run = |sql| Ok(cached(connection, sql)?.execute([]).map(drop)?);
        run("BEGIN IMMEDIATE").map_err(at(At::Commit))?;
        for change in &self.lost {
            batch.lose(change);
        }
        for (place, work) in work.iter_mut().enumerate() {
            let written = match work {
                Work::Keep(new) => batch.keep(new),
                Work::Change(change) | Work::Begin(change, _) => batch.apply(change),
                Work::Command(command) => {
                    answers.extend(command.take().map(|command| command(batch)));
                    match connection.is_autocommit() {
                        true => Err(StoreError::new(StoreErrorKind::Io)),
                        false => Ok(()),
                    }
                }
                Work::Flush(_) | Work::Truncate(_) => Ok(()),
            };
            written.map_err(at(At::Work(place)))?;
        }
        if let Some(ticks) = cleans {
            let cleaned = self
                .cleaner
                .step(batch, &self.shared, ticks, work.is_empty());
            self.removed |= cleaned.map_err(at(At::Cleaning))?;
        }
        run("COMMIT").map_err(at(At::Commit))?;
        // What is in files that are somewhere else by now is lost.
        self.place.look().map_err(at(At::Commit))
    }

    /// A damaged page is in the way of this work, twice: a change of one event holds up no other.
    /// SQLite commits no transaction that has met damage, so it is left out of the next one. False
    /// where that cannot be.
    fn leave_out(
        &mut self,
        work: &mut Vec<Work>,
        place: usize,
        suspect: &mut Option<usize>,
    ) -> bool {
        match work.get(place) {
            Some(Work::Command(_)) => true,
            Some(Work::Change(_) | Work::Begin(..)) if *suspect != Some(place) => {
                *suspect = Some(place);
                self.shared.is_readable()
            }
            Some(Work::Change(_) | Work::Begin(..)) => {
                *suspect = None;
                // Whoever waits for the beginning of an attempt is told by the end of its side.
                if let Work::Change(change) | Work::Begin(change, _) = work.remove(place) {
                    self.lost.push(change);
                }
                true
            }
            _ => false,
        }
    }

    fn committed(
        &mut self,
        work: Vec<Work>,
        totals: Totals,
        hand_over: impl FnOnce(),
        answers: Vec<Answer>,
    ) -> Vec<oneshot::Sender<bool>> {
        /// Pages that a commit writes beside bodies.
        const BESIDE: u64 = 4 << 14;
        self.logged += BESIDE;
        let mut landed = Vec::with_capacity(work.len());
        let (mut flushes, mut truncates) = (Vec::new(), Vec::new());
        for work in work {
            match work {
                Work::Keep(new) => {
                    self.logged += new.incoming.delivery.body().len() as u64 + 200;
                    landed.push((new, true));
                }
                Work::Begin(_, starter) => {
                    self.logged += 100;
                    starter.send(Ok(()));
                }
                Work::Flush(told) => flushes.push(told),
                Work::Truncate(told) => truncates.push(told),
                Work::Change(_) | Work::Command(_) => self.logged += 100,
            }
        }
        self.shared.landed(landed, Some(totals), hand_over);
        for answer in answers {
            answer(true);
        }
        // What is told of the inbox is of after the commit.
        for told in flushes {
            let _ = told.send(());
        }
        truncates
    }

    /// Events are refused; what changed of others is written when it can be.
    fn refuse(&mut self, work: Vec<Work>) {
        let mut landed = Vec::new();
        let mut left = Vec::new();
        for work in work {
            match work {
                Work::Keep(new) => landed.push((new, false)),
                Work::Begin(_, ref starter) if starter.is_closed() => {}
                Work::Change(_) | Work::Begin(..) => left.push(work),
                // Their other side is told by the end of this one.
                Work::Command(_) | Work::Flush(_) | Work::Truncate(_) => {}
            }
        }
        self.shared.landed(landed, None, || ());
        self.shared.put_back(left.into_iter());
        self.shared.rest(self.next_tick);
    }

    fn fail(&mut self, error: &StoreError) {
        /// What lasts is told of now and then.
        const QUIET: Duration = Duration::from_secs(60);
        self.connection = None;
        self.shared.failing.store(true, Ordering::Relaxed);
        let now = Instant::now();
        self.next_tick = now + self.shared.settings.tick;
        if let Some((kind, at)) = &self.told
            && *kind == error.kind()
            && now - *at < QUIET
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

    /// Opens the file anew, once the log is known to be on the disk.
    fn reopen(&mut self) -> bool {
        if Instant::now() < self.next_tick {
            return false;
        }
        let opened = (|| {
            self.place.look()?;
            let connection = schema::open(self.place.path(), Role::Writer)?;
            *self.shared.names() = Names::load(&connection)?;
            let next_seq = load::take_over(&self.shared, &connection, self.next_seq)?;
            // On a disk that is full the log has room again once it is in the file.
            let _ = checkpoint(&connection, "PRAGMA wal_checkpoint(TRUNCATE)");
            Ok::<_, StoreError>((connection, next_seq))
        })();
        match opened {
            Ok((connection, next_seq)) => {
                tracing::info!("the inbox's file can be written again");
                self.connection = Some(connection);
                self.next_seq = next_seq;
                self.told = None;
                self.shared.failing.store(false, Ordering::Relaxed);
                self.shared.arrived.notify_waiters();
                true
            }
            Err(error) => {
                self.fail(&error);
                false
            }
        }
    }

    /// Brings the log into the file, now and then. Nothing is lost where that fails: it is tried
    /// again.
    fn checkpoint(&mut self, ticks: bool) {
        let quiet = ticks && self.removed && !self.cleaner.has_more();
        let kind = match (self.logged >= CHECKPOINT, quiet) {
            (_, true) => "PRAGMA wal_checkpoint(TRUNCATE)",
            (true, _) => "PRAGMA wal_checkpoint(PASSIVE)",
            _ => return,
        };
        let Some(connection) = &self.connection else {
            return;
        };
        match checkpoint(connection, kind) {
            Ok(true) => {
                self.logged = 0;
                self.removed &= !quiet;
            }
            // Somebody reads what was there before.
            Ok(false) => self.logged /= 2,
            Err(error) => {
                self.logged /= 2;
                tracing::warn!(%error, "the inbox's log cannot be brought into its file");
            }
        }
    }

    fn truncate(&mut self) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        let truncated = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
        truncated.unwrap_or_else(|error| {
            tracing::warn!(%error, "the inbox's log cannot be brought into its file");
            false
        })
    }

    /// A clean end: the file has all, and there is no log.
    fn finish(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        let closed = load::save(&self.shared, connection, self.next_seq)
            .and_then(|()| checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
        if let Err(error) = closed {
            tracing::warn!(%error, "the inbox's log stays beside its file");
        }
    }
}

/// What was not committed, and where that came to light.
struct Failed {
    error: StoreError,
    at: At,
}

enum At {
    Work(usize),
    Cleaning,
    Commit,
}

fn roll_back(connection: &Connection, shared: &Shared) -> Result<(), StoreError> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    *shared.names() = Names::load(connection)?;
    Ok(())
}

/// Tells whether all of the log is in the file.
fn checkpoint(connection: &Connection, kind: &str) -> Result<bool, StoreError> {
    // For those who read. Whoever keeps an event waits meanwhile.
    connection.busy_timeout(READERS)?;
    let mut pragma = cached(connection, kind)?;
    let (busy, log, done): (i64, i64, i64) =
        pragma.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    connection.busy_timeout(BUSY)?;
    Ok(busy == 0 && log == done)
}
