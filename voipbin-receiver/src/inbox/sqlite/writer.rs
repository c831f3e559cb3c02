//! The one thread that writes: it takes all that waits, commits it together, and answers.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::batch::{Batch, Change};
use super::clean::Cleaner;
use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::files::InboxFiles;
use super::load;
use super::names::Names;
use super::row::cached;
use super::schema::{self, Access, BUSY};
use super::shared::{Flush, OnCommit, Shared, Work};

/// Bytes of the write-ahead log after which it is brought into the file.
const CHECKPOINT: u64 = 4 << 20;

/// How long a checkpoint waits for readers.
const READERS: Duration = Duration::from_millis(20);

/// Brings all of the log into the file and leaves it empty.
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

pub(super) struct Writer {
    shared: Arc<Shared>,
    files: InboxFiles,
    /// `None` after a failure, until it is opened anew.
    connection: Option<Connection>,
    next_seq: i64,
    received: Receiver<Work>,
    /// What was received and not done, before what is received next.
    backlog: VecDeque<Work>,
    /// Bytes of new events in the commit that is being made.
    bytes: usize,
    /// Whether nothing comes any more.
    stopping: bool,
    cleaner: Cleaner,
    next_tick: Instant,
    /// Bytes that were written to the log since it was last brought into the file, about.
    logged: u64,
    /// Whether something was removed since, which the log may still have.
    removed: bool,
    /// Changes that a damaged page is in the way of, until that is committed.
    lost: Vec<Change>,
    /// What was last logged, and when.
    warned: Option<(DiskInboxErrorKind, Instant)>,
}

/// Where it came to light that something cannot be committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FailedAt {
    Work(usize),
    Cleaning,
    Commit,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        received: Receiver<Work>,
        files: InboxFiles,
        connection: Connection,
        next_seq: i64,
    ) -> Self {
        Self {
            shared,
            files,
            connection: Some(connection),
            next_seq,
            received,
            backlog: VecDeque::new(),
            bytes: 0,
            stopping: false,
            cleaner: Cleaner::default(),
            next_tick: Instant::now(),
            logged: 0,
            removed: false,
            lost: Vec::new(),
            warned: None,
        }
    }

    /// Writes until the last handle is gone and nothing is left to write.
    pub(super) fn run(mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            while let Some(work) = self.next_work() {
                self.step(work);
            }
            self.finish();
        }));
        if worked.is_err() {
            tracing::error!("the inbox's writer panicked: new events are refused");
        }
        self.shared.end();
    }

    /// Writes what came while the file was loaded. On a disk that is full that is tried again.
    pub(super) fn write_received(&mut self) {
        let work = self.received.try_iter().collect();
        self.commit(work, false);
    }

    /// Waits for work, until the next tick at the latest, and takes all there is. `None` when there
    /// is none and will be none.
    ///
    /// Changes alone wait a moment, so that one write serves several of them.
    fn next_work(&mut self) -> Option<Vec<Work>> {
        let has_more = self.connection.is_some() && self.cleaner.has_more();
        let mut until = (!has_more).then_some(self.next_tick);
        let mut work = Vec::new();
        self.bytes = 0;
        while let Some(next) = self.receive(until) {
            until = match &next {
                Work::Change(_) if work.is_empty() => {
                    let delayed = Instant::now() + self.shared.settings.completion_delay;
                    until.map(|until| until.min(delayed))
                }
                Work::Change(_) => until,
                _ => None,
            };
            work.push(next);
        }
        (!self.stopping || !work.is_empty()).then_some(work)
    }

    /// The next work that is there or comes by then: of new events only so many bytes as one commit
    /// should write.
    fn receive(&mut self, until: Option<Instant>) -> Option<Work> {
        const MOST: usize = 8 << 20;
        loop {
            let next = match (self.backlog.pop_front(), until) {
                (Some(next), _) => next,
                (None, Some(until)) if !self.stopping => {
                    let left = until.saturating_duration_since(Instant::now());
                    self.received.recv_timeout(left).ok()?
                }
                (None, _) => self.received.try_recv().ok()?,
            };
            match &next {
                Work::Stop => self.stopping = true,
                Work::Keep(keep) => {
                    let bytes = self.bytes + keep.incoming.delivery.body().len();
                    if self.bytes > 0 && bytes > MOST {
                        self.backlog.push_front(next);
                        return None;
                    }
                    self.bytes = bytes;
                    return Some(next);
                }
                _ => return Some(next),
            }
        }
    }

    fn step(&mut self, work: Vec<Work>) {
        if self.connection.is_none() && !self.reopen() {
            return self.refuse(work);
        }
        let ticks = Instant::now() >= self.next_tick;
        if ticks {
            self.next_tick = Instant::now() + self.shared.settings.tick;
            let bytes = self.files.bytes();
            self.shared.disk_bytes.store(bytes, Ordering::Relaxed);
        }
        self.commit(work, ticks);
        let quiet = ticks && self.removed && !self.cleaner.has_more();
        if quiet {
            self.removed = !self.checkpoint(TRUNCATE);
        } else if self.logged >= CHECKPOINT {
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    fn commit(&mut self, mut work: Vec<Work>, ticks: bool) {
        let mut cleans = ticks || self.cleaner.has_more();
        if work.is_empty() && !cleans {
            return;
        }
        let Some(connection) = self.connection.take() else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let mut suspect = None;
        loop {
            let mut callbacks = Vec::new();
            let mut batch = Batch::new(&connection, &shared, self.next_seq);
            let cleans_now = cleans.then_some(ticks);
            let written = self.write(&mut batch, &mut work, &mut callbacks, cleans_now);
            let Err((at, error)) = written else {
                let flushes = self.committed(work, batch, callbacks);
                self.connection = Some(connection);
                // What is told of the inbox is of after the commit.
                for Flush { truncate, done } in flushes {
                    let _ = done.send(!truncate || self.checkpoint(TRUNCATE));
                }
                return;
            };
            drop(batch);
            let has_commands = !callbacks.is_empty();
            callbacks.into_iter().for_each(|callback| callback(false));
            let goes_on = error.is_damaged()
                && roll_back(&connection, &shared).is_ok()
                && match at {
                    FailedAt::Work(place) => self.leave_out(&mut work, place, &mut suspect),
                    FailedAt::Cleaning => {
                        cleans = self.cleaner.goes_around();
                        true
                    }
                    // A command has met it. They are not run again.
                    FailedAt::Commit => has_commands,
                };
            if !goes_on {
                if error.kind() == DiskInboxErrorKind::Moved {
                    // What is in a log without a name can still be brought into the file.
                    let _ = checkpoint(&connection, TRUNCATE);
                }
                // Whatever SQLite believes of the file now is dropped with the connection.
                drop(connection);
                self.fail(&error);
                return self.refuse(work);
            }
        }
    }

    /// One transaction, with cleaning where that is wanted. What comes while it is made joins it.
    fn write(
        &mut self,
        batch: &mut Batch<'_>,
        work: &mut Vec<Work>,
        callbacks: &mut Vec<OnCommit>,
        cleans: Option<bool>,
    ) -> Result<(), (FailedAt, DiskInboxError)> {
        let connection = batch.connection;
        let at = |at| move |error| (at, error);
        let run = |sql| Ok(cached(connection, sql)?.execute([]).map(drop)?);
        run("BEGIN IMMEDIATE").map_err(at(FailedAt::Commit))?;
        for change in &self.lost {
            batch.lose(change);
        }
        let mut place = 0;
        while let Some(next) = work.get_mut(place) {
            let written = match next {
                Work::Keep(keep) => batch.keep(keep),
                Work::Change(change) | Work::Begin(change, _) => batch.apply(change),
                Work::Command(command) => {
                    callbacks.extend(command.take().map(|command| command(batch)));
                    // SQLite has rolled all of it back.
                    match connection.is_autocommit() {
                        true => Err(DiskInboxError::new(DiskInboxErrorKind::Io)),
                        false => Ok(()),
                    }
                }
                Work::Flush(_) | Work::Stop => Ok(()),
            };
            written.map_err(at(FailedAt::Work(place)))?;
            place += 1;
            if place == work.len() {
                work.extend(self.receive(None));
            }
        }
        if let Some(ticks) = cleans {
            let cleaned = self.cleaner.step(batch, ticks, work.is_empty());
            self.removed |= cleaned.map_err(at(FailedAt::Cleaning))?;
        }
        run("COMMIT").map_err(at(FailedAt::Commit))?;
        // What is in files that are somewhere else by now is lost.
        self.files.check().map_err(at(FailedAt::Commit))
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

    /// Tells whoever waits for it, but for those that are given back.
    fn committed(
        &mut self,
        work: Vec<Work>,
        batch: Batch<'_>,
        callbacks: Vec<OnCommit>,
    ) -> Vec<Flush> {
        /// Pages that a commit writes beside bodies, and what it writes of an event and a job.
        const PAGES: u64 = 4 << 14;
        const EVENT: u64 = 200;
        const JOB: u64 = 100;
        self.next_seq = batch.next_seq;
        self.lost.clear();
        self.logged += PAGES;
        let mut keeps = Vec::with_capacity(work.len());
        let mut flushes = Vec::new();
        for work in work {
            match work {
                Work::Keep(keep) => {
                    self.logged += keep.incoming.delivery.body().len() as u64 + EVENT;
                    keeps.push(keep);
                }
                Work::Begin(_, sender) => {
                    self.logged += JOB;
                    sender.send(Ok(()));
                }
                Work::Flush(flush) => flushes.push(flush),
                Work::Change(_) | Work::Command(_) | Work::Stop => self.logged += JOB,
            }
        }
        let shared = &self.shared;
        shared.answer(keeps, Some(batch.totals), || {
            if batch.committed() {
                shared.arrived.notify_one();
            }
        });
        callbacks.into_iter().for_each(|callback| callback(true));
        flushes
    }

    /// Events are refused; what changed of others is written when it can be. At the end there is no
    /// next try: what is left is dropped.
    fn refuse(&mut self, work: Vec<Work>) {
        let mut keeps = Vec::new();
        let mut left = VecDeque::new();
        for work in work {
            match work {
                Work::Keep(keep) => keeps.push(keep),
                Work::Begin(_, ref sender) if sender.is_closed() => {}
                Work::Change(_) | Work::Begin(..) => left.push_back(work),
                // Their other side is told by the end of this one.
                Work::Command(_) | Work::Flush(_) | Work::Stop => {}
            }
        }
        self.shared.answer(keeps, None, || ());
        left.append(&mut self.backlog);
        self.backlog = left;
        while !self.stopping {
            let wait = self.next_tick.saturating_duration_since(Instant::now());
            match self.received.recv_timeout(wait) {
                Ok(Work::Stop) => self.stopping = true,
                Ok(work) => self.backlog.push_back(work),
                Err(_) => return,
            }
        }
        self.backlog.clear();
    }

    fn fail(&mut self, error: &DiskInboxError) {
        /// What lasts is logged now and then.
        const QUIET: Duration = Duration::from_secs(60);
        self.connection = None;
        self.shared.failing.store(true, Ordering::Relaxed);
        let now = Instant::now();
        self.next_tick = now + self.shared.settings.tick;
        let is_known = |(kind, at): (_, Instant)| kind == error.kind() && now - at < QUIET;
        if self.warned.is_some_and(is_known) {
            return;
        }
        self.warned = Some((error.kind(), now));
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
            self.files.check()?;
            let connection = schema::open(self.files.path(), Access::Write)?;
            *self.shared.names() = Names::load(&connection)?;
            let next_seq = load::take_over(&self.shared, &connection, self.next_seq)?;
            // On a disk that is full the log has room again once it is in the file.
            let _ = checkpoint(&connection, TRUNCATE);
            Ok::<_, DiskInboxError>((connection, next_seq))
        })();
        match opened {
            Ok((connection, next_seq)) => {
                tracing::info!("the inbox's file can be written again");
                self.connection = Some(connection);
                self.next_seq = next_seq;
                self.warned = None;
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

    /// Brings the log into the file, and tells whether all of it is there. Nothing is lost where
    /// that fails: it is tried again.
    fn checkpoint(&mut self, kind: &str) -> bool {
        let Some(connection) = &self.connection else {
            return false;
        };
        let is_whole = checkpoint(connection, kind).unwrap_or_else(|error| {
            tracing::warn!(%error, "the inbox's log cannot be brought into its file");
            false
        });
        // Somebody reads what was there before, where it is not whole.
        self.logged = if is_whole { 0 } else { self.logged / 2 };
        is_whole
    }

    /// A clean end: the file has all, and there is no log.
    fn finish(&mut self) {
        let Some(connection) = mem::take(&mut self.connection) else {
            return;
        };
        let closed = load::save(&self.shared, &connection, self.next_seq)
            .and_then(|()| checkpoint(&connection, TRUNCATE));
        if let Err(error) = closed {
            tracing::warn!(%error, "the inbox's log stays beside its file");
        }
    }
}

fn roll_back(connection: &Connection, shared: &Shared) -> Result<()> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    *shared.names() = Names::load(connection)?;
    Ok(())
}

/// Tells whether all of the log is in the file.
fn checkpoint(connection: &Connection, kind: &str) -> Result<bool> {
    // For those who read. Whoever keeps an event waits meanwhile.
    connection.busy_timeout(READERS)?;
    let mut pragma = cached(connection, kind)?;
    let (busy, log, done): (i64, i64, i64) =
        pragma.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    connection.busy_timeout(BUSY)?;
    Ok(busy == 0 && log == done)
}
