use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OptionalExtension, Result, params};
use voipbin_receiver::Identity;
use voipbin_receiver::event::Time;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS contacts (
        number      TEXT PRIMARY KEY,
        calls       INTEGER NOT NULL DEFAULT 0,
        talk_ms     INTEGER NOT NULL DEFAULT 0,
        last_end_ms INTEGER,
        last_reason TEXT
    ) STRICT;
    CREATE TABLE IF NOT EXISTS calls (
        id      TEXT PRIMARY KEY,
        contact TEXT NOT NULL REFERENCES contacts,
        ended   INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS deliveries (
        identity TEXT PRIMARY KEY
    ) STRICT;
";

/// The contacts of the CRM.
///
/// One connection behind a lock, as SQLite has one writer at a time anyway. Every method blocks.
#[derive(Clone)]
pub(crate) struct Contacts(Arc<Mutex<Connection>>);

/// What the end of a call changes.
pub(crate) struct CallEnd<'a> {
    pub(crate) delivery: Identity,
    pub(crate) call: Option<&'a str>,
    pub(crate) at: Time,
    pub(crate) reason: Option<&'a str>,
    pub(crate) talk: Duration,
}

/// What is known of a contact.
#[derive(Debug, PartialEq)]
pub(crate) struct Contact {
    pub(crate) calls: u32,
    pub(crate) talk: Duration,
    pub(crate) last_end: Option<String>,
    pub(crate) last_reason: Option<String>,
    pub(crate) on_the_phone: bool,
}

impl Contacts {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Notes a running call, unless it is known already: events come in any order, and a call that
    /// ended does not begin again.
    pub(crate) fn call_began(&self, call: &str, number: &str) -> Result<()> {
        let mut connection = self.connection();
        let change = connection.transaction()?;
        change.execute(
            "INSERT INTO contacts (number) VALUES (?1) ON CONFLICT DO NOTHING",
            [number],
        )?;
        change.execute(
            "INSERT INTO calls (id, contact, ended) VALUES (?1, ?2, FALSE) ON CONFLICT DO NOTHING",
            [call, number],
        )?;
        change.commit()
    }

    /// Counts a call that ended; `false` when this delivery was counted before. A handler can run
    /// again for the same delivery, such as after a crash between its work and the note that it
    /// was done, so work and note are one transaction here.
    pub(crate) fn call_ended(&self, number: &str, end: &CallEnd<'_>) -> Result<bool> {
        let mut connection = self.connection();
        let change = connection.transaction()?;
        let new = change.execute(
            "INSERT INTO deliveries (identity) VALUES (?1) ON CONFLICT DO NOTHING",
            [end.delivery.to_string()],
        )?;
        if new == 0 {
            return Ok(false);
        }
        // The last end is the latest, not the one that was heard of last.
        change.execute(
            "INSERT INTO contacts (number, calls, talk_ms, last_end_ms, last_reason)
             VALUES (?1, 1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET
                 calls = calls + 1,
                 talk_ms = talk_ms + excluded.talk_ms,
                 last_reason = iif(last_end_ms > excluded.last_end_ms,
                                   last_reason, excluded.last_reason),
                 last_end_ms = max(coalesce(last_end_ms, 0), excluded.last_end_ms)",
            params![
                number,
                milliseconds(end.talk.as_millis()),
                milliseconds(end.at.as_unix_nanos() / 1_000_000),
                end.reason
            ],
        )?;
        if let Some(call) = end.call {
            change.execute(
                "INSERT INTO calls (id, contact, ended) VALUES (?1, ?2, TRUE)
                 ON CONFLICT DO UPDATE SET ended = TRUE",
                [call, number],
            )?;
        }
        change.commit()?;
        Ok(true)
    }

    pub(crate) fn find(&self, number: &str) -> Result<Option<Contact>> {
        self.connection()
            .query_row(
                "SELECT calls, talk_ms, last_end_ms, last_reason,
                        EXISTS (SELECT 1 FROM calls WHERE contact = number AND NOT ended)
                 FROM contacts WHERE number = ?1",
                [number],
                |row| {
                    Ok(Contact {
                        calls: row.get(0)?,
                        talk: Duration::from_millis(row.get::<_, i64>(1)?.unsigned_abs()),
                        last_end: row.get::<_, Option<i64>>(2)?.and_then(readable),
                        last_reason: row.get(3)?,
                        on_the_phone: row.get(4)?,
                    })
                },
            )
            .optional()
    }

    pub(crate) fn count(&self) -> Result<u32> {
        self.connection()
            .query_row("SELECT count(*) FROM contacts", [], |row| row.get(0))
    }

    /// A panic elsewhere leaves nothing half done: its transaction was rolled back.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(milliseconds: impl TryInto<i64>) -> i64 {
    milliseconds.try_into().unwrap_or(i64::MAX)
}

fn readable(milliseconds: i64) -> Option<String> {
    let time =
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds.unsigned_abs()))?;
    Some(Time::try_from(time).ok()?.to_string())
}
