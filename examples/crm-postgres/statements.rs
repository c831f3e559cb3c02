//! The tables, and what is done to them, by whichever driver.

pub(crate) const SCHEMA: &str = "
    CREATE SCHEMA IF NOT EXISTS example_crm;
    CREATE TABLE IF NOT EXISTS example_crm.contacts (
        number  text PRIMARY KEY,
        calls   bigint NOT NULL DEFAULT 0,
        talk_ms bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE IF NOT EXISTS example_crm.calls (
        id      text PRIMARY KEY,
        contact text NOT NULL REFERENCES example_crm.contacts,
        ended   boolean NOT NULL
    );
    CREATE TABLE IF NOT EXISTS example_crm.outbox (
        delivery text PRIMARY KEY,
        note     text NOT NULL
    );
";

/// Of a number.
pub(crate) const ADD_CONTACT: &str =
    "INSERT INTO example_crm.contacts (number) VALUES ($1) ON CONFLICT DO NOTHING";

/// Of a call and its contact. Events come in any order, and a call that ended does not begin again.
pub(crate) const BEGIN_CALL: &str = "INSERT INTO example_crm.calls (id, contact, ended) VALUES ($1, $2, false) ON CONFLICT DO NOTHING";

/// Of a call and its contact.
pub(crate) const END_CALL: &str = "
    INSERT INTO example_crm.calls (id, contact, ended) VALUES ($1, $2, true)
    ON CONFLICT (id) DO UPDATE SET ended = true";

/// Of a contact and the milliseconds of a call. Whoever does this twice counts twice.
pub(crate) const COUNT_CALL: &str =
    "UPDATE example_crm.contacts SET calls = calls + 1, talk_ms = talk_ms + $2 WHERE number = $1";

/// Of a delivery and a text.
pub(crate) const PUT_NOTE: &str = "INSERT INTO example_crm.outbox (delivery, note) VALUES ($1, $2)";

/// Of a delivery; gives the text.
pub(crate) const TAKE_NOTE: &str =
    "DELETE FROM example_crm.outbox WHERE delivery = $1 RETURNING note";

/// Of a contact: calls, milliseconds, whether one goes on, and all notes that are left.
pub(crate) const SHOW: &str = "
    SELECT calls, talk_ms, EXISTS (SELECT FROM example_crm.calls WHERE contact = number AND NOT ended),
           (SELECT count(*) FROM example_crm.outbox)
    FROM example_crm.contacts WHERE number = $1";
