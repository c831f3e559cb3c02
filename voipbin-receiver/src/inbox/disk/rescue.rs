//! A damaged inbox, written anew from what can still be read of it.

use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::mem;
use std::path::Path;

use bytes::Bytes;

use super::error::{DiskInboxError, DiskInboxErrorKind};
use super::lock::DirLock;
use super::record::{Attempts, Chunk, EventProgress, Head, JobProgress, Progress};
use super::salvage::{SalvagedEvent, salvage};
use super::store::{Changes, Store};
use super::store_error::StoreError;
use super::writer::{CHUNK_BYTES, CHUNK_EVENTS};
use super::{CACHE_BYTES, DiskInbox, EVENTS_FILE, LOCK_FILE, create};
use crate::event::EventKey;

/// What came of [`DiskInbox::salvage`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SalvageReport {
    /// Events that were brought back with their bytes.
    pub events: u64,
    /// Those of them that are not finished: the next receiver on the new directory handles them.
    pub unfinished: u64,
    /// Finished events of which only the identity is left, as of all whose retention is over, and those
    /// that were given up. Copies of them are still known.
    pub identities: u64,
    /// Unfinished events whose bytes are gone, by identity. They cannot be handled.
    pub lost: Vec<EventKey>,
    /// Places in the file that look like a row and are not whole. What was in them is among the lost
    /// or, where nothing else tells of it, unknown.
    pub damaged_rows: u64,
}

impl DiskInbox {
    /// Brings back what can be read of a damaged inbox, into a new one in an empty directory.
    ///
    /// It finds the rows of the old file by their own marks and checksums, whatever has become of its
    /// tables, and changes nothing in it. It prefers to bring back too much: an event that was
    /// finished and removed shortly before may come back and be handled again. Events get new
    /// numbers.
    ///
    /// It blocks, and reads the whole file.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use voipbin_receiver::inbox::DiskInbox;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let (damaged, anew) = (directory.path().join("damaged"), directory.path().join("anew"));
    /// # drop(DiskInbox::open(&damaged)?);
    /// let report = DiskInbox::salvage(&damaged, &anew)?;
    /// println!("{} unfinished events are back", report.unfinished);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When a directory is in use, the old file cannot be read, or the new one is there already or
    /// cannot be written.
    pub fn salvage(
        damaged: impl AsRef<Path>,
        new: impl AsRef<Path>,
    ) -> Result<SalvageReport, DiskInboxError> {
        let (from, to) = (damaged.as_ref(), new.as_ref());
        let failed = |error| DiskInboxError::io(from, error);
        let file = File::open(from.join(EVENTS_FILE)).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                DiskInboxError::new(from, DiskInboxErrorKind::NotFound)
            }
            _ => failed(error),
        })?;
        let path = to.join(EVENTS_FILE);
        if path.exists() {
            return Err(DiskInboxError::new(to, DiskInboxErrorKind::AlreadyExists));
        }
        let _old = DirLock::acquire(from, LOCK_FILE)
            .map_err(|error| DiskInboxError::locked(from, error))?;
        create(to)?;
        let _new =
            DirLock::acquire(to, LOCK_FILE).map_err(|error| DiskInboxError::locked(to, error))?;
        if path.exists() {
            return Err(DiskInboxError::new(to, DiskInboxErrorKind::AlreadyExists));
        }
        let store =
            Store::open(&path, CACHE_BYTES).map_err(|error| DiskInboxError::store(to, error))?;
        let mut rescue = Rescue::new(&store);
        let salvaged = salvage(file, |event| rescue.add(event)).map_err(failed)?;
        let mut report = rescue
            .finish()
            .map_err(|error| DiskInboxError::store(to, error))?;
        report.damaged_rows = salvaged.damaged;
        Ok(report)
    }
}

struct Rescue<'a> {
    store: &'a Store,
    report: SalvageReport,
    seen: HashSet<EventKey>,
    next_seq: u64,
    chunk: Chunk,
    progress: Vec<(u64, EventProgress)>,
    attempts: Vec<(u64, Attempts)>,
    bytes: usize,
    has_bodies: bool,
    changes: Changes,
    pending_bytes: usize,
    failed: Option<StoreError>,
}

impl<'a> Rescue<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            report: SalvageReport::default(),
            seen: HashSet::new(),
            next_seq: 1,
            chunk: Chunk::default(),
            progress: Vec::new(),
            attempts: Vec::new(),
            bytes: 0,
            has_bodies: true,
            changes: Changes::default(),
            pending_bytes: 0,
            failed: None,
        }
    }

    fn add(&mut self, event: SalvagedEvent) {
        let SalvagedEvent {
            head,
            jobs,
            body,
            progress,
            attempts,
        } = event;
        let finished = jobs.is_empty() || progress.as_ref().is_some_and(is_finished);
        // What was given up stays so: nothing but its identity is of use.
        let body = body.filter(|_| !matches!(progress, Some(EventProgress::Discarded { .. })));
        // A copy that was kept after its first was refused, or a row that was moved. One that
        // carries no identity of its own may mean something new each time.
        if !head.marks && !self.seen.insert(head.identity) {
            return;
        }
        let (body, has_body) = match body {
            Some(body) => (body, true),
            None if finished => (Bytes::new(), false),
            None => return self.report.lost.push(head.identity),
        };
        if has_body {
            self.report.events += 1;
            self.report.unfinished += u64::from(!finished);
        } else {
            self.report.identities += 1;
        }
        let full = self.bytes + body.len() > CHUNK_BYTES
            || self.chunk.events.len() >= CHUNK_EVENTS
            || self.has_bodies != has_body;
        if full {
            self.close_chunk();
            self.has_bodies = has_body;
        }
        let places = jobs.into_iter().map(|job| {
            let names = &mut self.chunk.names;
            let place = names.iter().position(|name| *name == job);
            let place = place.unwrap_or_else(|| {
                names.push(job);
                names.len() - 1
            });
            u16::try_from(place).unwrap_or(u16::MAX)
        });
        let jobs = places.collect();
        let seq = self.next_seq;
        self.next_seq += 1;
        if let Some(progress) = progress {
            self.progress.push((seq, progress));
        }
        if has_body && !attempts.is_empty() {
            self.attempts.push((seq, attempts));
        }
        self.bytes += body.len();
        // The number of the original is not the same any more.
        let head = Head {
            seq,
            replay_of: None,
            jobs,
            ..head
        };
        self.chunk.events.push((head, body));
    }

    fn close_chunk(&mut self) {
        let chunk = mem::take(&mut self.chunk);
        let events = mem::take(&mut self.progress);
        let attempts = mem::take(&mut self.attempts);
        self.bytes = 0;
        let Some((first, _)) = chunk.events.first() else {
            return;
        };
        let key = first.seq;
        let rows = || {
            let progress = Progress {
                generation: 1,
                events,
            };
            let attempts = attempts
                .iter()
                .map(|(seq, attempts)| Ok((*seq, attempts.encode(*seq)?)));
            Ok::<_, super::record::RecordError>((
                chunk.encode(key)?,
                chunk.encode_heads(key)?,
                progress.encode(key)?,
                attempts.collect::<Result<Vec<_>, _>>()?,
            ))
        };
        match rows() {
            Ok((bodies, heads, progress, attempts)) => {
                self.pending_bytes += bodies.len();
                for row in attempts {
                    self.pending_bytes += row.1.len();
                    self.changes.attempts.push(row);
                }
                if self.has_bodies {
                    self.changes.chunks.push((key, bodies));
                }
                self.changes.heads.push((key, heads));
                self.changes.progress.push((key, progress));
            }
            Err(error) => self.failed = self.failed.take().or(Some(StoreError::damaged(error))),
        }
        if self.pending_bytes > 8 << 20 {
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.pending_bytes = 0;
        let changes = mem::take(&mut self.changes);
        if self.failed.is_none()
            && let Err(error) = self.store.commit(&changes)
        {
            self.failed = Some(error);
        }
    }

    fn finish(mut self) -> Result<SalvageReport, StoreError> {
        self.close_chunk();
        self.commit();
        self.failed.map_or(Ok(self.report), Err)
    }
}

fn is_finished(progress: &EventProgress) -> bool {
    match progress {
        EventProgress::Finished { .. } | EventProgress::Discarded { .. } => true,
        EventProgress::Jobs(jobs) => jobs.iter().all(JobProgress::has_ended),
    }
}
