use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use demo_support::{Demo, PlatformSender, SECRET, deliver, until};
use voipbin_receiver::Receiver;

use crate::contacts::Contacts;

const CONTACT: &str = "+15550111";

/// We called, and talked for 42.25 seconds.
const FIRST_ANSWERED: &str = r#"{"type":"call_progressing","data":{"id":"cfda08cd-ba8e-4c29-a927-67156793afc4","source":{"type":"tel","target":"+15550100"},"destination":{"type":"tel","target":"+15550111"},"status":"progressing","direction":"outgoing","tm_progressing":"2026-09-01T08:00:05.5Z","tm_create":"2026-09-01T08:00:00.123456Z","tm_update":"2026-09-01T08:00:05.5Z"}}"#;
const FIRST_ENDED: &str = r#"{"type":"call_hangup","data":{"id":"cfda08cd-ba8e-4c29-a927-67156793afc4","source":{"type":"tel","target":"+15550100"},"destination":{"type":"tel","target":"+15550111"},"status":"hangup","direction":"outgoing","hangup_by":"local","hangup_reason":"normal","tm_progressing":"2026-09-01T08:00:05.5Z","tm_hangup":"2026-09-01T08:00:47.75Z","tm_create":"2026-09-01T08:00:00.123456Z","tm_update":"2026-09-01T08:00:47.75Z"}}"#;

/// The contact called back, and talked for 17.75 seconds.
const SECOND_ENDED: &str = r#"{"type":"call_hangup","data":{"id":"0de1932c-39ca-4859-8647-240159f8a845","source":{"type":"tel","target":"+15550111"},"destination":{"type":"tel","target":"+15550100"},"status":"hangup","direction":"incoming","hangup_by":"remote","hangup_reason":"timeout","tm_progressing":"2026-09-01T09:00:00Z","tm_hangup":"2026-09-01T09:00:17.75Z","tm_create":"2026-09-01T08:59:55Z","tm_update":"2026-09-01T09:00:17.75Z"}}"#;
/// Sent before the end, and overtaken by it.
const SECOND_ANSWERED: &str = r#"{"type":"call_progressing","data":{"id":"0de1932c-39ca-4859-8647-240159f8a845","source":{"type":"tel","target":"+15550111"},"destination":{"type":"tel","target":"+15550100"},"status":"progressing","direction":"incoming","tm_progressing":"2026-09-01T09:00:00Z","tm_create":"2026-09-01T08:59:55Z","tm_update":"2026-09-01T09:00:00Z"}}"#;

const NULL_SOURCE: &str = r#"{"type":"call_hangup","data":{"id":"6aef63dc-81f4-47a8-aca1-ea10182e100e","source":null,"destination":{"type":"tel","target":"+15550100"},"status":"hangup","direction":"incoming","hangup_reason":"cancel","tm_hangup":"2026-09-01T10:00:00Z"}}"#;
const EMPTY_SOURCE: &str = r#"{"type":"call_hangup","data":{"id":"143cdb17-576c-4684-96ac-7c595017413f","source":{},"destination":{"type":"tel","target":"+15550100"},"status":"hangup","direction":"incoming","hangup_reason":"cancel","tm_hangup":"2026-09-01T11:00:00Z"}}"#;

pub(crate) async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("crm.sqlite");
    let mut demo = Demo::new("crm: call events into contacts in SQLite");

    let (receiver, platform, contacts) = start(&database).await?;
    demo.tell("we call the contact");
    deliver(&platform, FIRST_ANSWERED).await;
    handled(&receiver, 1).await?;
    demo.check("on the phone", on_the_phone(&contacts)?, true);
    deliver(&platform, FIRST_ENDED).await;
    handled(&receiver, 2).await?;
    demo.check("on the phone", on_the_phone(&contacts)?, false);

    demo.tell("the same event comes once more");
    let answer = deliver(&platform, FIRST_ENDED).await;
    demo.check("answer", answer.as_str(), "duplicate");

    demo.tell("the contact calls back; the news of the answer comes after that of the end");
    deliver(&platform, SECOND_ENDED).await;
    handled(&receiver, 3).await?;
    deliver(&platform, SECOND_ANSWERED).await;
    handled(&receiver, 4).await?;
    demo.check("on the phone", on_the_phone(&contacts)?, false);

    demo.tell("two callers without a number");
    deliver(&platform, NULL_SOURCE).await;
    deliver(&platform, EMPTY_SOURCE).await;
    handled(&receiver, 6).await?;
    demo.check("contacts", contacts.count()?, 1);

    demo.tell("the application restarts, forgets what it saw, and gets the first event again");
    let drained = receiver
        .shutdown(Duration::from_secs(10))
        .await
        .is_drained();
    demo.check("drained", drained, true);
    demo.check("failed handlers", receiver.stats().failed, 0);
    drop(contacts);
    let (receiver, platform, contacts) = start(&database).await?;
    let answer = deliver(&platform, FIRST_ENDED).await;
    demo.check("answer", answer.as_str(), "received");
    handled(&receiver, 1).await?;

    demo.tell("the contact, as the CRM knows it");
    let contact = contacts.find(CONTACT)?.ok_or("the contact is missing")?;
    demo.check("calls", contact.calls, 2);
    demo.check("talked", contact.talk, Duration::from_secs(60));
    demo.check(
        "last call ended",
        contact.last_end.as_deref(),
        Some("2026-09-01T09:00:17.75Z"),
    );
    demo.check(
        "because of",
        contact.last_reason.as_deref(),
        Some("timeout"),
    );
    demo.check("on the phone", contact.on_the_phone, false);
    Ok(demo.end())
}

async fn start(database: &Path) -> Result<(Receiver, PlatformSender, Contacts), Box<dyn Error>> {
    let contacts = Contacts::open(database)?;
    let (receiver, app) = crate::application(SECRET, contacts.clone())?;
    let (listener, address) = demo_support::listen().await?;
    demo_support::serve(listener, app);
    Ok((receiver, demo_support::platform(address)?, contacts))
}

/// Waits for the end of this many handlers.
async fn handled(receiver: &Receiver, runs: u64) -> Result<(), String> {
    until("the handlers have run", || {
        let stats = receiver.stats();
        stats.handled + stats.failed >= runs
    })
    .await
}

fn on_the_phone(contacts: &Contacts) -> rusqlite::Result<bool> {
    Ok(contacts
        .find(CONTACT)?
        .is_some_and(|contact| contact.on_the_phone))
}
