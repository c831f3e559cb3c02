//! What tools ask of the process that has the inbox, in a table of a file of its own.
//!
//! Nobody but that process writes `inbox.db`: a tool that were stopped within a transaction there
//! would hold up whoever keeps an event. Here it holds up other tools.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use serde::{Deserialize, Serialize};

use super::files::FileId;
use super::lock::{holder_of, private};

/// The file in the directory of an inbox.
pub(super) const FILE: &str = "requests.db";

/// How many events one request is about: it is one transaction.
pub(super) const MOST: usize = 500;

/// How often the process looks, and how often while one request follows the other.
const POLL: Duration = Duration::from_millis(200);
const BUSY_POLL: Duration = Duration::from_millis(5);

/// How long after a request the next one is looked for so often.
const EXPECTING: Duration = Duration::from_secs(1);

/// Responses that stay for whoever asked; of more, the oldest go.
const RESPONSES: i64 = 64;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS request (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    asked  TEXT NOT NULL,  -- Request, as JSON
    answer TEXT            -- Response, as JSON
) STRICT;
DELETE FROM request;
";

/// What the process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Handle these events again.
    Replay {
        ids: Vec<i64>,
        handlers: Option<Vec<String>>,
    },
    /// Handle these dead letters again, each by those of these handlers that gave it up.
    Retry { dead: Vec<(i64, Vec<String>)> },
    /// Tell the note.
    Note,
    /// Keep this note, or none, in the place of another one.
    SwapNote {
        from: Option<String>,
        to: Option<String>,
    },
    /// Give these events up.
    Discard { ids: Vec<i64> },
    /// Leave nothing of what was removed in the write-ahead log.
    Truncate,
    /// Tell which handlers events are held for.
    Held,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Response {
    /// The new events, in the order in which they were asked for.
    Replayed(Vec<Result<i64, ReplayError>>),
    /// How many there were.
    Discarded(usize),
    /// Whether nothing is left.
    Truncated(bool),
    /// Their names.
    Held(Vec<String>),
    /// What it is.
    Note(Option<String>),
    /// Whether the other one was there.
    Swapped(bool),
    /// It was not understood, or the store failed.
    Failed(String),
}

/// Why an event is not handled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ReplayError {
    NotFound,
    Replayed,
}

/// The side of the process that has the inbox. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct RequestServer(#[expect(dead_code, reason = "its end is the sign")] Sender<()>);

/// Starts the thread that executes requests, one after the other. Whatever is there was asked of an
/// earlier process.
pub(super) fn serve(
    directory: &Path,
    execute: impl Fn(Request) -> Response + Send + 'static,
) -> io::Result<(RequestServer, JoinHandle<()>)> {
    let table = make(directory).map_err(io::Error::other)?;
    let (stop, stopped) = channel();
    let mut poller = Poller {
        table,
        version: 0,
        responses: BTreeMap::new(),
        execute,
    };
    let thread = thread::Builder::new()
        .name("voipbin-inbox-requests".into())
        .spawn(move || poller.run(&stopped))?;
    Ok((RequestServer(stop), thread))
}

fn make(directory: &Path) -> rusqlite::Result<Connection> {
    let path = directory.join(FILE);
    let open = || {
        private(&path).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let table = connect(&path, Duration::from_millis(50))?;
        table.execute_batch(TABLE)?;
        Ok(table)
    };
    // A tool that was stopped may have it for good, and what crashed may have left it torn.
    open().or_else(|_: rusqlite::Error| {
        for file in [FILE, "requests.db-journal"] {
            let _ = fs::remove_file(directory.join(file));
        }
        open()
    })
}

fn connect(path: &Path, busy: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let table = Connection::open_with_flags(path, flags)?;
    table.busy_timeout(busy)?;
    // A power cut may tear it: it is made anew then.
    table.execute_batch("PRAGMA synchronous = OFF; PRAGMA secure_delete = ON")?;
    Ok(table)
}

struct Poller<F> {
    table: Connection,
    version: i64,
    /// Not written yet, as a tool has the file.
    responses: BTreeMap<i64, String>,
    execute: F,
}

impl<F: Fn(Request) -> Response> Poller<F> {
    fn run(&mut self, stopped: &Receiver<()>) {
        let mut last: Option<Instant> = None;
        loop {
            let expecting = last.is_some_and(|last| last.elapsed() < EXPECTING);
            let wait = if expecting { BUSY_POLL } else { POLL };
            if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            match self.poll() {
                Ok(true) => last = Some(Instant::now()),
                Ok(false) => {}
                Err(error) if is_busy(&error) => {}
                Err(error) => tracing::warn!(
                    %error,
                    "what tools ask of the inbox cannot be read: they need this process stopped"
                ),
            }
        }
    }

    /// Executes what has come. Whether there was anything.
    fn poll(&mut self) -> rusqlite::Result<bool> {
        let data_version = "PRAGMA data_version";
        let version = self.table.query_row(data_version, [], |row| row.get(0))?;
        if version == self.version && self.responses.is_empty() {
            return Ok(false);
        }
        let requests = {
            let sql = "SELECT id, asked FROM request WHERE answer IS NULL ORDER BY id";
            let mut select = self.table.prepare_cached(sql)?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(i64, String)>, _>>()?
        };
        let mut found = false;
        for (id, request) in requests {
            if self.responses.contains_key(&id) {
                continue;
            }
            found = true;
            let response = match serde_json::from_str(&request) {
                Ok(request) => (self.execute)(request),
                Err(_) => Response::Failed(
                    "the process that has the inbox does not know this request: use the tools of \
                     its release"
                        .into(),
                ),
            };
            let response = serde_json::to_string(&response).unwrap_or_default();
            self.responses.insert(id, response);
        }
        while let Some((id, response)) = self.responses.first_key_value() {
            let change = self.table.unchecked_transaction()?;
            let sql = "UPDATE request SET answer = ?2 WHERE id = ?1";
            change.execute(sql, (id, response))?;
            let sql = "DELETE FROM request WHERE answer IS NOT NULL AND id <= ?";
            change.execute(sql, [id - RESPONSES])?;
            change.commit()?;
            self.responses.pop_first();
        }
        // Not before all of it is done: what was held up is looked for again.
        self.version = version;
        Ok(found)
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum RequestError {
    /// The process ended first: some of it may be done.
    Ended,
    /// The table cannot be used.
    Table(rusqlite::Error),
}

impl From<rusqlite::Error> for RequestError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Table(error)
    }
}

/// Has the process that has the inbox execute this, and waits as long as it is there.
pub(super) fn send(directory: &Path, request: &Request) -> Result<Response, RequestError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(5);
    let path = directory.join(FILE);
    let file = FileId::of(&path).ok();
    let table = connect(&path, PATIENCE)?;
    let request = serde_json::to_string(request).unwrap_or_default();
    table.execute("INSERT INTO request (asked) VALUES (?)", [request])?;
    let id = table.last_insert_rowid();
    let mut looked = Instant::now();
    loop {
        thread::sleep(PAUSE);
        let select = "SELECT answer FROM request WHERE id = ?";
        let mut select = table.prepare_cached(select)?;
        let found = select.query_row([id], |row| row.get::<_, Option<String>>(0));
        match found.optional()? {
            Some(Some(response)) => {
                // It goes by itself as well.
                let _ = table.execute("DELETE FROM request WHERE id = ?", [id]);
                let response = serde_json::from_str(&response);
                return Ok(response.unwrap_or_else(|error| Response::Failed(error.to_string())));
            }
            Some(None) if looked.elapsed() <= POLL => {}
            Some(None) if holder_of(directory).is_some() && file == FileId::of(&path).ok() => {
                looked = Instant::now();
            }
            _ => return Err(RequestError::Ended),
        }
    }
}

#[cfg(test)]
mod tests;
