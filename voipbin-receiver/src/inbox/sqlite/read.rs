//! Reading back what is to be handed out.

use std::fs::File;
use std::io::{self, Seek};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::batch::Change;
use super::error::{DiskInboxError, Result};
use super::queue::{EventMeta, LoadedEvent};
use super::row::{self, EVENT, EventRow, REPEAT, State, record_id, walk};
use super::shared::{Shared, Work};
use crate::inbox::KeptEvent;

/// Events that are read at once, unless their bodies are large.
const AT_ONCE: usize = 256;

/// Reads events in their turn, from a number on.
///
/// # Errors
///
/// Damaged where damage is met and the file was not [found readable](Readability) before: SQLite
/// says the same of a page that the disk does not give.
pub(super) fn read_from(shared: &Shared, connection: &Connection, from: i64) -> Result<()> {
    let most = shared.settings.memory / 4;
    let Some(end) = shared.queue().begin_read(from) else {
        return Ok(());
    };
    // All of it as of one moment.
    let transaction = connection.unchecked_transaction()?;
    let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? AND state = 0 ORDER BY seq");
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let (mut bytes, mut count, mut to) = (0, 0, from);
    let all = walk(&transaction, &sql, from, end, |seq, row| {
        (count, to) = (count + 1, seq + 1);
        if shared.queue().is_in_line(seq) {
            let event = row.and_then(EventRow::read);
            match event.and_then(|event| in_full(shared, &transaction, &event)) {
                Ok((loaded, meta)) => {
                    bytes += loaded.bytes();
                    found.push((loaded, meta));
                }
                Err(error) => lost.push(shared.damaged(seq, error)?),
            }
        }
        Ok(match bytes >= most || count >= AT_ONCE {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    })?;
    drop(transaction);
    if all {
        to = to.max(end);
    }
    shared.queue().push_found(found, &lost, to, !all);
    shared.dead_letter(lost);
    Ok(())
}

/// Reads the events of jobs that come again.
///
/// # Errors
///
/// As [`read_from`].
pub(super) fn read_again(shared: &Shared, connection: &Connection, seqs: &[i64]) -> Result<()> {
    for seq in seqs {
        let loaded = row::event(connection, *seq).and_then(|event| {
            let pending = event.filter(|event| event.state == State::Pending);
            let loaded = pending.map(|event| in_full(shared, connection, &event));
            loaded.transpose()
        });
        match loaded {
            Ok(loaded) => shared.queue().fill(*seq, loaded.map(|(event, _)| event)),
            Err(error) => {
                let lost = shared.damaged(*seq, error)?;
                shared.queue().lose(lost);
                shared.dead_letter(vec![lost]);
            }
        }
    }
    Ok(())
}

fn in_full(
    shared: &Shared,
    connection: &Connection,
    event: &EventRow,
) -> Result<(LoadedEvent, EventMeta)> {
    let handlers = shared.handlers(event.handlers);
    let meta = EventMeta::of(event, handlers.ok_or_else(DiskInboxError::damaged)?)?;
    let body = row::body(connection, event.seq)?;
    let attempts = match shared.queue().has_run(event.seq) {
        true => row::attempts(connection, event.seq)?,
        false => Vec::new(),
    };
    let kept = KeptEvent::new(event.seq.cast_unsigned(), event.delivery(body)?)
        .in_lane(event.lane())
        .marked(event.has(REPEAT))
        .replaying(event.parent.map(record_id));
    let event = Arc::new(kept);
    Ok((LoadedEvent { event, attempts }, meta))
}

impl Shared {
    /// An event of this number is damaged, as far as the file is known to be readable.
    fn damaged(&self, seq: i64, error: DiskInboxError) -> Result<i64> {
        match error.is_damaged() && self.readable.is_known() {
            true => Ok(seq),
            false => Err(error),
        }
    }

    /// What is damaged takes no other event with it: it is a dead letter.
    fn dead_letter(&self, lost: Vec<i64>) {
        if lost.is_empty() {
            return;
        }
        tracing::error!(
            events = lost.len(),
            first = lost.first(),
            "events of the inbox are damaged: they are dead letters"
        );
        for seq in lost {
            self.push(Work::Change(Change::Damaged(seq)));
        }
    }
}

/// Whether the disk gives all of the inbox's files. What cannot be read although it does is
/// damaged.
#[derive(Debug)]
pub(super) struct Readability {
    /// Kept open: closing it would drop all of SQLite's locks on it in this process.
    file: File,
    /// When all of it was readable.
    checked: Mutex<Option<Instant>>,
}

impl Readability {
    /// For so long, what was found holds: the next damaged page is not a reason to read all of it
    /// again.
    const HOLDS: Duration = Duration::from_secs(60);

    pub(super) fn of(file: File) -> Self {
        let checked = Mutex::default();
        Self { file, checked }
    }

    /// Whether all was readable a moment ago.
    pub(super) fn is_known(&self) -> bool {
        let checked = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.is_some_and(|at| at.elapsed() < Self::HOLDS)
    }

    /// Reads the file and the log in this place, unless that was done a moment ago.
    pub(super) fn check(&self, log: &Path) -> bool {
        if self.is_known() {
            return true;
        }
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match File::open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            log => log.is_ok_and(|log| can_be_read(&log)),
        };
        let readable = log && can_be_read(&self.file);
        *checked = readable.then(Instant::now);
        readable
    }
}

/// Whether the disk gives all of a file.
pub(super) fn can_be_read(mut file: &File) -> bool {
    let read = file
        .rewind()
        .and_then(|()| io::copy(&mut file, &mut io::sink()));
    read.is_ok()
}
