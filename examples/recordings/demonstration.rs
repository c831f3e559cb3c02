use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use demo_support::{Demo, SECRET, deliver, until};
use voipbin_receiver::RetryPolicy;

use crate::api::{ACCESS_KEY, Storage, api};
use crate::archives::Archives;
use crate::mailbox::Mailbox;
use crate::team::Team;

/// How often an archive is asked for.
const ATTEMPTS: u32 = 4;

/// The first wait, so short that nobody has to wait.
const WAIT: Duration = Duration::from_millis(10);

const STORED_LATE: &str = "0085c92c-f14f-40ca-a375-5aa4349832cb";
const NEVER_STORED: &str = "6e812dae-eae8-428b-b0ba-fe88f1c9a172";

pub(crate) async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut demo = Demo::new("recordings: a mail to the team once the files are stored");
    let storage = Storage::default();
    storage.complete_at(STORED_LATE, 3);
    let (listener, storage_address) = demo_support::listen().await?;
    demo_support::serve(listener, storage.router());
    let (listener, api_address) = demo_support::listen().await?;
    demo_support::serve(listener, api(format!("http://{storage_address}")));
    let (mailbox, mail_address) = Mailbox::open().await?;

    let archives = Archives::new(format!("http://{api_address}").parse()?, ACCESS_KEY)?;
    let team = Team::new(
        &mail_address.ip().to_string(),
        mail_address.port(),
        "VoIPBIN <voipbin@example.org>".parse()?,
        "The team <team@example.org>".parse()?,
    );
    let retry = RetryPolicy::default().attempts(ATTEMPTS).initial(WAIT);
    let (receiver, app) = crate::application(SECRET, archives, team, retry)?;
    let (listener, address) = demo_support::listen().await?;
    demo_support::serve(listener, app);
    let platform = demo_support::platform(address)?;

    demo.tell("a recording ends; its archive is empty twice and then has files");
    let answer = deliver(&platform, &finished(STORED_LATE)).await;
    demo.check(
        "answer, before any file is stored",
        answer.as_str(),
        "received",
    );
    let answer = deliver(&platform, &finished(STORED_LATE)).await;
    demo.check("answer to a copy", answer.as_str(), "duplicate");
    until("the mail has come", || !mailbox.mails().is_empty()).await?;
    demo.check("downloads", storage.requests(STORED_LATE), 3);

    demo.tell("another one ends, and its files never come");
    deliver(&platform, &finished(NEVER_STORED)).await;
    until("the event is a dead letter", || receiver.stats().dead > 0).await?;
    demo.check("downloads", storage.requests(NEVER_STORED), ATTEMPTS);

    let drained = receiver
        .shutdown(Duration::from_secs(10))
        .await
        .is_drained();
    demo.check("drained", drained, true);

    demo.tell("what the team got");
    let mails = mailbox.mails();
    demo.check("mails", mails.len(), 1);
    let mail = mails.into_iter().next().ok_or("no mail came")?;
    let subject = mail.text.lines().find(|line| line.starts_with("Subject:"));
    demo.check(
        "subject",
        subject,
        Some(format!("Subject: Recording {STORED_LATE}").as_str()),
    );
    let files = mail.text.lines().filter(|line| line.ends_with(".wav"));
    demo.check("files named", files.count(), 2);
    demo.check("recipients", mail.recipients, 1);
    demo.check(
        "the storage saw the access key",
        storage.saw_access_key(),
        false,
    );
    Ok(demo.end())
}

fn finished(id: &str) -> String {
    format!(
        r#"{{"type":"recording_finished","data":{{"id":"{id}","customer_id":"cba36057-addc-453d-89c5-fc34d1a8b667","owner_type":"","owner_id":"00000000-0000-0000-0000-000000000000","activeflow_id":"00000000-0000-0000-0000-000000000000","reference_type":"call","reference_id":"316bf1b2-21ef-4b63-837b-98ce418109d8","status":"ended","format":"wav","on_end_flow_id":"00000000-0000-0000-0000-000000000000","tm_start":"2026-09-01T08:00:06.2Z","tm_end":"2026-09-01T08:00:36.7Z","tm_create":"2026-09-01T08:00:00.123456Z","tm_update":"2026-09-01T08:01:00.00001Z"}}}}"#
    )
}
