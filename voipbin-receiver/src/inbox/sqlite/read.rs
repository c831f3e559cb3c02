//! Reading back what is to be handed out.

use std::fs::File;
use std::io::{self, Seek};
use std::sync::Arc;

use rusqlite::Connection;

use super::batch::{Change, event};
use super::ready::{Fact, ReadBack};
use super::row::{self, EVENT, EventRow, MARKS, REPEAT, State, cached};
use super::shared::{Shared, Work};
use super::store_error::{StoreError, StoreErrorKind};
use crate::inbox::KeptEvent;

/// Events that are read at once, unless their bodies are large.
const AT_ONCE: i64 = 256;

/// Reads events in their turn, from this number on.
pub(super) fn read_from(
    shared: &Shared,
    connection: &Connection,
    from: u64,
) -> Result<(), StoreError> {
    let most = shared.settings.memory / 4;
    if !shared.ready().begin_read(from) {
        return Ok(());
    }
    // What is read is of one moment.
    let transaction = connection.unchecked_transaction()?;
    let sql = format!(
        "SELECT {EVENT} FROM event WHERE seq >= ? AND state = 0 ORDER BY seq LIMIT {AT_ONCE}"
    );
    let mut select = cached(&transaction, &sql)?;
    let mut rows = select.query([from.cast_signed()])?;
    let (mut found, mut bytes, mut count, mut to) = (Vec::new(), 0, 0, from);
    let mut more = false;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if seq.cast_unsigned() < to {
            return Err(StoreError::new(StoreErrorKind::Damaged));
        }
        count += 1;
        to = seq.cast_unsigned() + 1;
        if !shared.ready().is_in_line(seq.cast_unsigned()) {
            continue;
        }
        match EventRow::read(row).and_then(|event| Ok((fact(shared, &event)?, event))) {
            Ok((fact, event)) => match read_back(shared, &transaction, &event) {
                Ok(event) => {
                    bytes += event.entry.delivery().body().len();
                    found.push((event, fact));
                }
                Err(error) => unreadable(shared, seq, Some(fact), error)?,
            },
            Err(error) => unreadable(shared, seq, None, error)?,
        }
        if bytes >= most {
            more = true;
            break;
        }
    }
    drop(rows);
    drop(select);
    if !more && count < AT_ONCE {
        let last = "SELECT max(seq) FROM event";
        let last: Option<i64> = cached(&transaction, last)?.query_row([], |row| row.get(0))?;
        to = to.max(last.unwrap_or_default().cast_unsigned() + 1);
    } else {
        more = true;
    }
    drop(transaction);
    shared.ready().push_found(found, to, more);
    Ok(())
}

/// Reads the events of jobs that come again.
pub(super) fn read_again(
    shared: &Shared,
    connection: &Connection,
    seqs: &[u64],
) -> Result<(), StoreError> {
    for seq in seqs {
        let number = seq.cast_signed();
        let pending = event(connection, number)
            .map(|event| event.filter(|event| event.state == State::Pending));
        let read = match pending {
            Ok(None) => Ok(None),
            Ok(Some(event)) => fact(shared, &event)
                .and_then(|_| read_back(shared, connection, &event))
                .map(Some),
            Err(error) => Err(error),
        };
        let read = match read {
            Ok(read) => read.map(Arc::new),
            Err(error) => {
                unreadable(shared, number, None, error)?;
                None
            }
        };
        shared.ready().fill(*seq, read.as_ref());
    }
    Ok(())
}

fn fact(shared: &Shared, event: &EventRow) -> Result<Fact, StoreError> {
    let damaged = || StoreError::new(StoreErrorKind::Damaged);
    Ok(Fact {
        base: event.base(),
        body_len: event.body_len.ok_or_else(damaged)?,
        identity: event.identity,
        marks: event.has(MARKS) || event.parent.is_some(),
        list: shared.list(event.handlers).ok_or_else(damaged)?,
    })
}

fn read_back(
    shared: &Shared,
    connection: &Connection,
    event: &EventRow,
) -> Result<ReadBack, StoreError> {
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
    Ok(ReadBack { entry, attempts })
}

/// An event that is damaged is a dead letter, and takes no other with it. One whose page SQLite finds wrong may only not
/// be there for the moment: it is tried again, and damaged when the whole file can be read and it still cannot.
fn unreadable(
    shared: &Shared,
    seq: i64,
    fact: Option<Fact>,
    error: StoreError,
) -> Result<(), StoreError> {
    const TRIES: u32 = 3;
    if error.kind() != StoreErrorKind::Damaged {
        return Err(error);
    }
    if error.is_of_page() {
        let tries = shared
            .ready()
            .stick(seq.cast_unsigned(), fact, shared.settings.tick);
        let Some(tries) = tries else {
            return Err(error);
        };
        if tries < TRIES || !can_be_read(&shared.file) {
            tracing::warn!(
                id = seq,
                tries,
                "an event cannot be read: it is tried again"
            );
            return Ok(());
        }
    }
    tracing::error!(
        id = seq,
        "an event of the inbox is damaged: it is a dead letter"
    );
    shared.push(Work::Change(Change::Damaged(seq)));
    Ok(())
}

/// Whether the disk gives all of a file. SQLite tells a page that it does not give as one that is wrong.
pub(super) fn can_be_read(mut file: &File) -> bool {
    let read = file
        .rewind()
        .and_then(|()| io::copy(&mut file, &mut io::sink()));
    read.is_ok()
}
