use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use demo_support::{Demo, PlatformSender, SECRET, deliver, until};
use voipbin_receiver::Receiver;

use crate::contacts::Contacts;
use crate::events::{
    EMPTY_SOURCE, FIRST_ANSWERED, FIRST_ENDED, NULL_SOURCE, SECOND_ANSWERED, SECOND_ENDED,
};

const CONTACT: &str = "+15550111";

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
