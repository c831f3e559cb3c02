//! An inbox on disk that is moved, by a process that is killed again and again.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use support::standalone::program;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, DiskInbox, DiskRecords, HandlerSet, Inbox, Incoming, Kept,
    PostgresInboxErrorKind, Record, RecordFilter, Records, Repeats, Settled,
};

use crate::server::{builder, client, count, schema, url};
use crate::{event, incoming, patiently, take};

const EVENTS: usize = 1500;

/// One that nobody has begun, of which another process gets a copy.
const COPIED: usize = EVENTS - 100;

/// An hour, so that nothing comes back while the test runs.
const LATER: Duration = Duration::from_secs(3600);

fn failed(end: AttemptEnd) -> Attempt {
    Attempt::new(SystemTime::now(), Duration::from_millis(3), end)
}

/// An inbox with all that can become of an event.
async fn fill(directory: &Path) {
    let inbox = DiskInbox::open(directory).await.unwrap();
    for number in 0..EVENTS {
        let jobs = ["crm", "billing"].map(HandlerName::new);
        let jobs = HandlerSet::from_iter(jobs.into_iter().take(1 + number % 2));
        let Incoming { delivery, lane, .. } = event(number);
        let event = Incoming::new(delivery, jobs, Repeats::Drop).in_lane(lane);
        assert_eq!(inbox.keep(event).await.unwrap(), Kept::New);
    }
    for _ in 0..3 {
        let marks = incoming(r#"{"the same":true}"#, Repeats::Mark);
        assert_eq!(inbox.keep(marks).await.unwrap(), Kept::New);
    }
    let consumer = inbox.consume().unwrap();
    for (place, job) in take(&*consumer, EVENTS).await.iter().enumerate() {
        patiently(consumer.begin(job)).await.unwrap();
        let error = || failed(AttemptEnd::Failed("the CRM is down: \u{1f4de}".into()));
        let outcome = match place % 7 {
            0 | 1 => Settled::Done,
            2 => Settled::Dead {
                failed: Some(error()),
            },
            3 => Settled::Retry {
                failed: error(),
                after: LATER,
                in_place: false,
            },
            4 => Settled::Retry {
                failed: error(),
                after: LATER,
                in_place: true,
            },
            5 => Settled::Dead { failed: None },
            _ => Settled::Released,
        };
        consumer.settle(job, outcome);
    }
    consumer.flush().await.unwrap();
    drop(consumer);
    let records = inbox.records().unwrap();
    let of_crm = RecordFilter::new().handler(HandlerName::new("crm"));
    let dead = records.list(&of_crm, None, 3);
    for record in dead.await.unwrap().records {
        records.replay(record.id, None).await.unwrap();
    }
    inbox.closed().await;
}

async fn all(records: &dyn Records) -> Vec<Record> {
    let page = records
        .list(&RecordFilter::new(), None, usize::MAX - 1)
        .await
        .unwrap();
    page.records
}

/// What is told of an event, its number aside, by which it may differ.
fn told(record: &Record, first: u64) -> serde_json::Value {
    let mut told = serde_json::to_value(record).unwrap();
    told["id"] = (record.id.get() - first).into();
    told["replay_of"] = record.replay_of.map(|of| of.get() - first).into();
    told
}

fn start_moving(directory: &Path, schema: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(["inbox", "--directory"])
        .arg(directory)
        .args(["move", "--to", "postgres", "--database-schema", schema])
        .env_clear()
        .env("VOIPBIN_DATABASE_URL", url())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_that_is_moved_by_a_process_that_dies_is_there_once_and_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("inbox");
    // As the inbox counts, in milliseconds.
    let began = SystemTime::now() - Duration::from_millis(1);
    fill(&directory).await;
    let before = all(&DiskRecords::open(&directory).unwrap()).await;
    let stopped = SystemTime::now();
    let schema = schema();
    let inbox = builder(schema.clone()).connect().await.unwrap();
    assert_eq!(inbox.down_since(), None);
    // What is there already, and a copy that came here before the move: of one that is not
    // finished there.
    assert_eq!(inbox.keep(event(EVENTS + 1)).await.unwrap(), Kept::New);
    assert_eq!(inbox.keep(event(COPIED)).await.unwrap(), Kept::New);
    let client = client(&url()).await;
    let here = format!("SELECT coalesce(sum(last), 0)::bigint FROM {schema}.moved");
    let mut kills = 0;
    loop {
        let mut moving = start_moving(&directory, &schema).spawn().unwrap();
        let seen = count(&client, &here).await;
        // After a few of its transactions, and in the middle of one.
        let status = loop {
            if let Some(status) = moving.try_wait().unwrap() {
                break Some(status);
            }
            if count(&client, &here).await > seen + 200 {
                moving.kill().unwrap();
                moving.wait().unwrap();
                break None;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        match status {
            Some(status) => {
                assert!(status.success(), "{:?}", moving.wait_with_output());
                break;
            }
            None => kills += 1,
        }
    }
    assert!(kills >= 3, "{kills}");
    // Where it was there is nothing to be handled any more, and nothing to be moved.
    let left = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(!left.contains(&"inbox.db".to_owned()), "{left:?}");
    assert!(
        left.iter().any(|name| name.starts_with("moved-")),
        "{left:?}"
    );
    let again = inbox.move_from(&directory).await.unwrap();
    assert_eq!(again.events, 0);
    // Since then nobody took events in, as far as the next process can know.
    let next = builder(schema.clone()).connect().await.unwrap();
    let down_since = next.down_since().unwrap();
    assert!(began <= down_since && down_since <= stopped);
    let elsewhere = inbox
        .move_from(directory.join("nothing"))
        .await
        .unwrap_err();
    assert_eq!(elsewhere.kind(), PostgresInboxErrorKind::Move);

    let after = all(inbox.records().unwrap()).await;
    let shift = format!("SELECT shift FROM {schema}.moved");
    let shift = count(&client, &shift).await.cast_unsigned();
    let first = after
        .iter()
        .filter(|record| record.id.get() <= shift)
        .count();
    assert_eq!(first, 2);
    let moved = &after[first..];
    assert_eq!(
        moved.len(),
        before.len() - 1,
        "all but the one that a copy came of"
    );
    let copied = event(COPIED).delivery.identity();
    let before = before
        .iter()
        .filter(|record| record.delivery.identity() != copied || record.replay_of.is_some());
    for (before, after) in before.zip(moved) {
        assert_eq!(told(after, shift), told(before, 0));
    }
    // Copies are known, and each event is handled once.
    for number in [0, 1, EVENTS - 1] {
        assert_eq!(inbox.keep(event(number)).await.unwrap(), Kept::Duplicate);
    }
    let open = format!("SELECT count(*) FROM {schema}.job WHERE due IS NULL");
    let open = usize::try_from(count(&client, &open).await).unwrap();
    let consumer = inbox.consume().unwrap();
    let jobs = take(&*consumer, open).await;
    let waiting = jobs
        .iter()
        .filter(|job| job.history().is_some_and(|of| of.delay.is_some()));
    assert!(waiting.count() > 100);
    let keys: BTreeSet<_> = jobs
        .iter()
        .map(|job| (job.id(), job.handler().clone()))
        .collect();
    assert_eq!(keys.len(), open);
}
