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

/// Answers that stay for whoever asked; of more, the oldest go.
const ANSWERS: i64 = 64;

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS request (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    asked  TEXT NOT NULL,  -- Ask, as JSON
    answer TEXT            -- Answer, as JSON
) STRICT;
DELETE FROM request;
";

/// Something to change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Handle these events again.
    Replay {
        ids: Vec<u64>,
        handlers: Option<Vec<String>>,
    },
    /// Give these events up.
    Discard { ids: Vec<u64> },
    /// Leave nothing of what was removed in the write-ahead log.
    Truncate,
    /// Tell which handlers events are held for.
    Held,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The new events, in the order in which they were asked for.
    Replayed(Vec<Result<u64, Refused>>),
    /// How many there were.
    Discarded(usize),
    /// Whether nothing is left.
    Truncated(bool),
    /// Their names.
    Held(Vec<String>),
    /// It was not understood, or the store failed.
    Failed(String),
}

/// Why an event is not handled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refused {
    NotFound,
    Replayed,
    Storage,
}

/// The side of the process that has the inbox. Dropping it ends the thread.
#[derive(Debug)]
pub(super) struct Served(#[expect(dead_code, reason = "its end is the sign")] Sender<()>);

/// Starts the thread that carries requests out, one after the other. Whatever is there was asked of
/// an earlier process.
pub(super) fn serve(
    directory: &Path,
    carry_out: impl Fn(Ask) -> Answer + Send + 'static,
) -> io::Result<(Served, JoinHandle<()>)> {
    let table = make(directory).map_err(io::Error::other)?;
    let (stop, stopped) = channel();
    let answers = BTreeMap::new();
    let mut desk = Desk {
        table,
        version: 0,
        answers,
        carry_out,
    };
    let thread = thread::Builder::new()
        .name("voipbin-inbox-requests".into())
        .spawn(move || desk.run(&stopped))?;
    Ok((Served(stop), thread))
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

struct Desk<F> {
    table: Connection,
    version: i64,
    /// Not written yet, as a tool has the file.
    answers: BTreeMap<i64, String>,
    carry_out: F,
}

impl<F: Fn(Ask) -> Answer> Desk<F> {
    fn run(&mut self, stopped: &Receiver<()>) {
        let mut asked_last: Option<Instant> = None;
        loop {
            let expecting = asked_last.is_some_and(|last| last.elapsed() < EXPECTING);
            let wait = if expecting { BUSY_POLL } else { POLL };
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            match self.look() {
                Ok(true) => asked_last = Some(Instant::now()),
                Ok(false) => {}
                Err(error) if is_busy(&error) => {}
                Err(error) => tracing::warn!(
                    %error,
                    "what tools ask of the inbox cannot be read: they need this process stopped"
                ),
            }
        }
    }

    /// Carries out what has come. Whether there was anything.
    fn look(&mut self) -> rusqlite::Result<bool> {
        let version = self
            .table
            .query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if version == self.version && self.answers.is_empty() {
            return Ok(false);
        }
        let requests = {
            let sql = "SELECT id, asked FROM request WHERE answer IS NULL ORDER BY id";
            let mut select = self.table.prepare_cached(sql)?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<Vec<(i64, String)>, _>>()?
        };
        let mut asked = false;
        for (id, ask) in requests {
            if self.answers.contains_key(&id) {
                continue;
            }
            asked = true;
            let answer = match serde_json::from_str(&ask) {
                Ok(ask) => (self.carry_out)(ask),
                Err(_) => Answer::Failed(
                    "the process that has the inbox does not know this request: use the tools of \
                     its release"
                        .into(),
                ),
            };
            self.answers
                .insert(id, serde_json::to_string(&answer).unwrap_or_default());
        }
        while let Some((id, answer)) = self.answers.first_key_value() {
            let change = self.table.unchecked_transaction()?;
            change.execute("UPDATE request SET answer = ?2 WHERE id = ?1", (id, answer))?;
            change.execute(
                "DELETE FROM request WHERE answer IS NOT NULL AND id <= ?",
                [id - ANSWERS],
            )?;
            change.commit()?;
            self.answers.pop_first();
        }
        // Not before all of it is done: what was held up is looked for again.
        self.version = version;
        Ok(asked)
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskError {
    /// The process ended first: some of it may be done.
    Ended,
    /// The table cannot be used.
    Table(rusqlite::Error),
}

impl From<rusqlite::Error> for AskError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Table(error)
    }
}

/// Asks the process that has the inbox, and waits as long as it is there.
pub(super) fn ask(directory: &Path, ask: &Ask) -> Result<Answer, AskError> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const PAUSE: Duration = Duration::from_millis(5);
    let path = directory.join(FILE);
    let place = Place::of(&path);
    let table = connect(&path, PATIENCE)?;
    let asked = serde_json::to_string(ask).unwrap_or_default();
    table.execute("INSERT INTO request (asked) VALUES (?)", [asked])?;
    let id = table.last_insert_rowid();
    let mut looked = Instant::now();
    loop {
        thread::sleep(PAUSE);
        let select = "SELECT answer FROM request WHERE id = ?";
        let mut select = table.prepare_cached(select)?;
        let found: Option<Option<String>> = select.query_row([id], |row| row.get(0)).optional()?;
        if let Some(answer) = found.as_ref().and_then(Option::as_deref) {
            let answer = serde_json::from_str(answer);
            // It goes by itself as well.
            let _ = table.execute("DELETE FROM request WHERE id = ?", [id]);
            return Ok(answer.unwrap_or_else(|error| Answer::Failed(error.to_string())));
        }
        if found.is_none() {
            return Err(AskError::Ended);
        }
        if looked.elapsed() > POLL {
            looked = Instant::now();
            if holder_of(directory).is_none() || place != Place::of(&path) {
                return Err(AskError::Ended);
            }
        }
    }
}

/// Which file a path leads to, where that can be told.
#[derive(Debug, PartialEq, Eq)]
struct Place(Option<(u64, u64)>);

impl Place {
    fn of(path: &Path) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Self(fs::metadata(path).ok().map(|file| (file.dev(), file.ino())))
        }
        #[cfg(not(unix))]
        {
            Self(fs::metadata(path).ok().map(|_| (0, 0)))
        }
    }
}

#[cfg(test)]
mod tests;
