//! The tables of `inbox.db`, and the connections that use them.
//!
//! An event is a narrow row, so that an open reads little; its body lies in a table of its own
//! under the same number. What few events have is NULL, which takes a byte of a row.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::copy::with_suffix;
use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::wal;

/// The file in the directory of an inbox.
pub(super) const FILE: &str = "inbox.db";

/// Its write-ahead log.
pub(super) const LOG: &str = "inbox.db-wal";

/// `PRAGMA user_version` of the files that this release writes.
pub(super) const VERSION: i64 = 1;

/// `PRAGMA application_id`: "VbIn".
pub(super) const APPLICATION: i64 = 0x5662_496e;

/// Of all sizes, the one with the most throughput: with 4 KiB a third less.
const PAGE_BYTES: i64 = 16_384;

/// Memory for pages, of each connection.
const CACHE_KIB: i64 = 16 << 10;

/// How long a statement waits for another process that holds a lock.
pub(super) const BUSY: Duration = Duration::from_millis(500);

/// Times are milliseconds of the inbox's own [clock](super::time), but for `received_at`.
const TABLES: &str = "
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- Texts that come again and again, once each: handlers, event types.
CREATE TABLE name (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- Lists of handlers, once each: a JSON array of name.id, in the order of registration.
CREATE TABLE handlers (
    id    INTEGER PRIMARY KEY,
    names TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE event (
    seq          INTEGER PRIMARY KEY,  -- never used again: meta has what is reserved
    state        INTEGER NOT NULL,  -- 0 pending, 1 done, 2 dead, 3 only its identity is left
    kept_at      INTEGER NOT NULL,
    ended_at     INTEGER,           -- kept_at in state 3
    received_at  INTEGER NOT NULL,  -- Unix time in milliseconds, by the machine's clock
    identity     BLOB NOT NULL,     -- 16 bytes
    flags        INTEGER NOT NULL,  -- 1 signed, 2 marks, 4 possible repeat, 16 damaged
    handlers     INTEGER NOT NULL,  -- handlers.id
    type         INTEGER,           -- name.id of its current name; NULL for a custom delivery
    resource     TEXT,              -- data.id
    content_type TEXT,              -- NULL for application/json
    lane         INTEGER,           -- stable hash of the lane key
    lane_version INTEGER,           -- which hash
    origin       INTEGER,           -- NULL for a webhook, 1 replay, 2 stream, 3 history, 4 edited
    trace        TEXT,              -- a W3C traceparent and, after a space, its tracestate
    parent       INTEGER,           -- the event that it is a replay of
    body_len     INTEGER,           -- NULL when the body is gone
    sum          INTEGER NOT NULL   -- CRC-32 of all of these
) STRICT;
-- What is over, the first that ended first.
CREATE INDEX event_over ON event (state, ended_at) WHERE state > 0;
CREATE INDEX event_dead ON event (seq) WHERE state = 2;

CREATE TABLE body (
    seq   INTEGER PRIMARY KEY,      -- event.seq
    bytes BLOB NOT NULL,
    sum   INTEGER NOT NULL          -- CRC-32 of both
) STRICT;

-- How far a handler has come with an event. There is no row for one that never began, and none for an
-- event in state 1 or 3.
CREATE TABLE job (
    seq         INTEGER NOT NULL,   -- event.seq
    handler     INTEGER NOT NULL,   -- name.id
    stage       INTEGER NOT NULL,   -- 0 queued, 1 running, 2 delayed, 3 delayed with its lane,
                                    -- 4 done, 5 dead, 6 replayed
    attempts    INTEGER NOT NULL,   -- that have ended badly
    interrupted INTEGER NOT NULL,   -- 1 when the process died during the last of them
    at          INTEGER NOT NULL,   -- since when it is in this stage
    wait        INTEGER,            -- for how long, in stages 2 and 3
    sum         INTEGER NOT NULL,   -- CRC-32 of all of these
    PRIMARY KEY (seq, handler)
) STRICT, WITHOUT ROWID;

-- Attempts that ended badly. Of one job no more than the latest 16.
CREATE TABLE attempt (
    seq     INTEGER NOT NULL,       -- event.seq
    handler INTEGER NOT NULL,       -- name.id
    number  INTEGER NOT NULL,       -- from 1
    at      INTEGER NOT NULL,       -- when it began, as received_at
    took    INTEGER NOT NULL,       -- milliseconds
    ended   INTEGER NOT NULL,       -- 0 failed, 1 panicked, 2 timed out, 3 interrupted
    error   TEXT,                   -- of one that failed, cut to 1,024 bytes
    sum     INTEGER NOT NULL,       -- CRC-32 of all of these
    PRIMARY KEY (seq, handler, number)
) STRICT, WITHOUT ROWID;
";

/// What a connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Write and checkpoint, as one does. It creates the file.
    Write,
    /// Read, in the process of the writer or beside it. It never checkpoints.
    Read,
}

/// Opens the file of an inbox, which is brought to this release's version or refused.
pub(super) fn open(path: &Path, access: Access) -> Result<Connection> {
    let mode = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    if access == Access::Write {
        wal::prepare(&with_suffix(path, "-wal"))?;
    }
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The last connection would checkpoint as it closes, and remove the WAL.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    set(&connection, "trusted_schema", 0)?;
    set(&connection, "cell_size_check", 1)?;
    set(&connection, "mmap_size", 0)?;
    set(&connection, "cache_size", -CACHE_KIB)?;
    set(&connection, "wal_autocheckpoint", 0)?;
    let found = version(&connection)?;
    if access == Access::Read {
        return match found {
            Some(VERSION) => Ok(connection),
            _ => Err(DiskInboxError::damaged()),
        };
    }
    if found.is_none() {
        // Both only count before the first write.
        set(&connection, "page_size", PAGE_BYTES)?;
        set(&connection, "auto_vacuum", 2)?;
    }
    if journal_mode(&connection, "wal")? != "wal" {
        return Err(DiskInboxError::new(DiskInboxErrorKind::Unsupported));
    }
    set(&connection, "synchronous", 2)?;
    set(&connection, "secure_delete", 1)?;
    if found.is_none() {
        create(&connection)?;
    }
    Ok(connection)
}

/// Opens a file that nobody can write and that has no WAL: SQLite makes no files beside it, and
/// takes no locks.
pub(super) fn open_immutable(path: &Path) -> Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    match version(&connection)? {
        Some(_) => Ok(connection),
        None => Err(DiskInboxError::damaged()),
    }
}

/// Sets it and gives what it is then.
fn journal_mode(connection: &Connection, mode: &str) -> Result<String> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode = {mode}"))?;
    let mut rows = statement.query([])?;
    let mut set = String::new();
    // To the end: it answers first and changes the file after that, and the error of that is told
    // nowhere else.
    while let Some(row) = rows.next()? {
        set = row.get(0)?;
    }
    Ok(set)
}

fn set(connection: &Connection, pragma: &str, value: i64) -> Result<()> {
    // Some of them answer with a row, and some do not.
    let sql = format!("PRAGMA {pragma} = {value}");
    connection.query_row(&sql, [], |_| Ok(())).optional()?;
    Ok(())
}

/// The version of a file; `None` of an empty one. One that is no inbox or a later one's is refused.
fn version(connection: &Connection) -> Result<Option<i64>> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(None);
    }
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION || found < 1 {
        return Err(DiskInboxError::of(
            DiskInboxErrorKind::Damaged,
            "the file is no inbox",
        ));
    }
    if found > VERSION {
        let by = "SELECT value FROM meta WHERE name = 'release'";
        let release = connection.query_row(by, [], |row| row.get::<_, String>(0));
        let kind = DiskInboxErrorKind::NewerFormat;
        return Err(match release {
            Ok(release) => DiskInboxError::of(kind, format!("release {release} wrote it")),
            Err(_) => DiskInboxError::new(kind),
        });
    }
    Ok(Some(found))
}

fn create(connection: &Connection) -> Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO meta VALUES ('release', ?)",
        [env!("CARGO_PKG_VERSION")],
    )?;
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}"
    ))?;
    transaction.commit()?;
    Ok(())
}
