//! Opening an inbox after its process or its machine died, and holding it to what was said before.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use support::life::{End, body};
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    DiskInbox, HandlerSet, Inbox, Incoming, Kept, Prefetch, Record, RecordFilter, RecordState,
    Records, Settled,
};
use voipbin_receiver::testing::delivery;
use voipbin_receiver::{Delivery, Repeats};

use crate::faults::expected::{Event, Expected};

/// How many events that are done were removed from the inbox in this directory, or what does not
/// hold of it.
pub(crate) fn check(directory: &Path, expected: &Expected) -> Result<usize, String> {
    // What waits for its time is not waited for.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(opened(directory, expected))
}

async fn opened(directory: &Path, expected: &Expected) -> Result<usize, String> {
    let inbox = DiskInbox::builder(directory).retain_done(Duration::from_millis(200));
    let inbox = inbox
        .open()
        .await
        .map_err(|error| format!("it does not open: {error:?}"))?;
    let stats = inbox.stats();
    if stats.damaged > 0 || stats.failing {
        return Err(format!("{stats:?}"));
    }
    let mut found = listed(&inbox).await?;
    let mut removed = 0;
    for (number, event) in &expected.events {
        let records = found.remove(number).unwrap_or_default();
        removed += usize::from(event.is == Some(End::Done) && records.is_empty());
        holds(event, &records)
            .map_err(|error| format!("event {number}: {error}: {event:?}, {records:#?}"))?;
    }
    goes_on(&inbox, expected).await?;
    inbox.closed().await;
    let file = Connection::open(directory.join("inbox.db")).map_err(|error| error.to_string())?;
    let sound = file.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    match sound {
        Ok(sound) if sound == "ok" => Ok(removed),
        unsound => Err(format!("{unsound:?}")),
    }
}

async fn listed(inbox: &DiskInbox) -> Result<HashMap<u64, Vec<Record>>, String> {
    let page = inbox.list(&RecordFilter::new(), None, usize::MAX).await;
    let mut found = HashMap::<u64, Vec<Record>>::new();
    for record in page
        .map_err(|error| format!("it is not listed: {error:?}"))?
        .records
    {
        found
            .entry(whole(&record.delivery)?)
            .or_default()
            .push(record);
    }
    Ok(found)
}

/// The number of the event, all of whose bytes are right.
pub(crate) fn whole(delivery: &Delivery) -> Result<u64, String> {
    let number = delivery.resource_id().and_then(|id| id.parse().ok());
    let number = number.ok_or("an event without a number")?;
    if delivery.body() != body(number).as_bytes() {
        return Err(format!("event {number} has other bytes"));
    }
    Ok(number)
}

fn holds(event: &Event, records: &[Record]) -> Result<(), &'static str> {
    let mut pending = records
        .iter()
        .filter(|record| record.state == RecordState::Pending);
    let one = pending.next();
    if pending.next().is_some() {
        return Err("it is to be handled twice");
    }
    if !event.kept || event.unsure {
        return Ok(());
    }
    let is_dead = records
        .iter()
        .any(|record| record.state == RecordState::Dead);
    match (event.is, event.may_be, one) {
        (Some(_), _, Some(_)) => Err("it is over and is handled again"),
        // It may have been removed since.
        (Some(End::Done), _, None) | (None, Some(End::Done), None) => Ok(()),
        (Some(_), _, None) if is_dead => Ok(()),
        (Some(_), _, None) => Err("a dead letter is lost"),
        (None, Some(_), None) if is_dead => Ok(()),
        (None, _, None) => Err("it is lost"),
        (None, _, Some(record)) if record.jobs[0].attempts < event.attempts => {
            Err("attempts went back")
        }
        (None, _, Some(_)) => Ok(()),
    }
}

/// Copies are known, new events are kept, and all that is left is handed out, in its time.
async fn goes_on(inbox: &DiskInbox, expected: &Expected) -> Result<(), String> {
    let consumer = inbox.consume().map_err(|error| format!("{error:?}"))?;
    let jobs: HandlerSet = [HandlerName::new("handler")].into_iter().collect();
    let keep = |number: u64| {
        let delivery = delivery(body(number)).unwrap();
        inbox.keep(Incoming::new(delivery, jobs.clone(), Repeats::Drop))
    };
    for (number, event) in &expected.events {
        let kept = match event.kept {
            true => keep(*number).await,
            false => continue,
        };
        if !matches!(kept, Ok(Kept::Duplicate)) {
            return Err(format!("a copy of event {number}: {kept:?}"));
        }
    }
    let kept = keep(u64::MAX).await;
    if !matches!(kept, Ok(Kept::New)) {
        return Err(format!("a new event: {kept:?}"));
    }
    while inbox.stats().events > 0 {
        let taken = consumer.take(Prefetch::for_jobs(64)).await;
        for job in taken.into_iter().flatten() {
            let number = whole(job.delivery())?;
            let event = expected.events.get(&number);
            let least = event.filter(|event| event.kept && !event.unsure);
            if job.attempts() < least.map_or(0, |event| event.attempts) {
                return Err(format!("attempts of event {number} went back: {job:?}"));
            }
            if consumer.begin(&job).await.is_err() {
                return Err(format!("event {number} cannot begin"));
            }
            consumer.settle(&job, Settled::Done);
        }
        consumer
            .flush()
            .await
            .map_err(|error| format!("{error:?}"))?;
    }
    let stats = inbox.stats();
    if stats.damaged > 0 || stats.failing {
        return Err(format!("{stats:?}"));
    }
    Ok(())
}
