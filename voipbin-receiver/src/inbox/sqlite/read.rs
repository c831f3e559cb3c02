//! Reading back what is to be handed out.

use std::fs::File;
use std::io::{self, Seek};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::batch::{Change, event};
use super::ready::{Fact, ReadBack};
use super::row::{self, EVENT, EventRow, MARKS, REPEAT, State, walk};
use super::shared::{Shared, Work};
use super::store_error::{StoreError, StoreErrorKind};
use crate::inbox::KeptEvent;

/// Events that are read at once, unless their bodies are large.
const AT_ONCE: usize = 256;

/// What is read: events in their turn from a number on, or the events of jobs that come again.
#[derive(Clone, Debug)]
pub(super) enum ToRead {
    From(u64),
    Again(Vec<u64>),
}

/// Reads what is to be handed out.
///
/// # Errors
///
/// Of the kind [`StoreErrorKind::Damaged`] where damage is met and the file was not [found
/// readable](Readability) before: SQLite says the same of a page that the disk does not give.
pub(super) fn read(
    shared: &Shared,
    connection: &Connection,
    what: &ToRead,
) -> Result<(), StoreError> {
    match what {
        ToRead::From(seq) => read_from(shared, connection, *seq),
        ToRead::Again(seqs) => read_again(shared, connection, seqs),
    }
}

fn read_from(shared: &Shared, connection: &Connection, from: u64) -> Result<(), StoreError> {
    let most = shared.settings.memory / 4;
    let Some(end) = shared.ready().begin_read(from) else {
        return Ok(());
    };
    // All of it as of one moment.
    let transaction = connection.unchecked_transaction()?;
    let sql = format!("SELECT {EVENT} FROM event WHERE seq >= ? AND state = 0 ORDER BY seq");
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    let (mut bytes, mut count, mut to) = (0, 0, from);
    let all = walk(
        &transaction,
        &sql,
        from.cast_signed(),
        end.cast_signed(),
        |seq, row| {
            let id = seq.cast_unsigned();
            (count, to) = (count + 1, id + 1);
            if shared.ready().is_in_line(id) {
                let event = row.and_then(EventRow::read);
                match event.and_then(|event| in_full(shared, &transaction, &event)) {
                    Ok(read) => {
                        bytes += read.0.entry.delivery().body().len();
                        found.push(read);
                    }
                    Err(error) => lost.push(shared.damaged(id, error)?),
                }
            }
            Ok(match bytes >= most || count >= AT_ONCE {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        },
    )?;
    drop(transaction);
    if all {
        to = to.max(end);
    }
    shared.ready().push_found(found, &lost, to, !all);
    shared.dead_letter(lost);
    Ok(())
}

fn read_again(shared: &Shared, connection: &Connection, seqs: &[u64]) -> Result<(), StoreError> {
    for seq in seqs {
        let pending = event(connection, seq.cast_signed())
            .map(|event| event.filter(|event| event.state == State::Pending));
        let read = pending.and_then(|event| match event {
            Some(event) => in_full(shared, connection, &event).map(Some),
            None => Ok(None),
        });
        match read {
            Ok(read) => shared
                .ready()
                .fill(*seq, read.map(|(event, _)| Arc::new(event)).as_ref()),
            Err(error) => {
                let lost = shared.damaged(*seq, error)?;
                shared.ready().lose(lost);
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
) -> Result<(ReadBack, Fact), StoreError> {
    let damaged = || StoreError::new(StoreErrorKind::Damaged);
    let fact = Fact {
        base: event.base(),
        body_len: event.body_len.ok_or_else(damaged)?,
        identity: event.identity,
        marks: event.has(MARKS) || event.parent.is_some(),
        list: shared.list(event.handlers).ok_or_else(damaged)?,
    };
    let body = row::body(connection, event.seq)?;
    let seq = event.seq.cast_unsigned();
    let attempts = match shared.ready().has_run(seq) {
        true => row::attempts(connection, event.seq)?,
        false => Vec::new(),
    };
    let entry = KeptEvent::new(seq, event.delivery(body)?)
        .in_lane(event.lane())
        .marked(event.has(REPEAT))
        .replaying(event.parent());
    let entry = Arc::new(entry);
    Ok((ReadBack { entry, attempts }, fact))
}

impl Shared {
    /// An event of this number is damaged, as far as the file is known to be readable.
    fn damaged(&self, seq: u64, error: StoreError) -> Result<u64, StoreError> {
        match error.kind() == StoreErrorKind::Damaged && self.readable.is_known() {
            true => Ok(seq),
            false => Err(error),
        }
    }

    /// What is damaged takes no other event with it: it is a dead letter.
    fn dead_letter(&self, lost: Vec<u64>) {
        if lost.is_empty() {
            return;
        }
        tracing::error!(
            events = lost.len(),
            first = lost.first(),
            "events of the inbox are damaged: they are dead letters"
        );
        for seq in lost {
            self.push(Work::Change(Change::Damaged(seq.cast_signed())));
        }
    }
}

/// Whether the disk gives all of the inbox's files. What cannot be read although it does is
/// damaged.
#[derive(Debug)]
pub(super) struct Readability {
    /// Kept open: closing it would drop all of SQLite's locks on it in this process.
    file: Mutex<(File, Option<Instant>)>,
}

impl Readability {
    /// For so long, what was found holds: the next damaged page is not a reason to read all of it
    /// again.
    const HOLDS: Duration = Duration::from_secs(60);

    pub(super) fn of(file: File) -> Self {
        Self {
            file: Mutex::new((file, None)),
        }
    }

    /// Whether all was readable a moment ago.
    pub(super) fn is_known(&self) -> bool {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.1.is_some_and(|at| at.elapsed() < Self::HOLDS)
    }

    /// Reads the file and the log in this place, unless that was done a moment ago.
    pub(super) fn look(&self, log: &Path) -> bool {
        if self.is_known() {
            return true;
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let log = match File::open(log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            log => log.is_ok_and(|log| can_be_read(&log)),
        };
        let readable = log && can_be_read(&file.0);
        file.1 = readable.then(Instant::now);
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
