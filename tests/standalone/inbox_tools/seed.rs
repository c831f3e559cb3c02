//! A directory with an inbox in it, without a server.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use support::ManualClock;
use support::standalone::{Finished, run};
use tempfile::TempDir;
use voipbin_receiver::Identity;
use voipbin_receiver::event::Proof;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, DiskInbox, HandlerSet, Inbox, Incoming, Kept, Prefetch, Repeats, Settled,
    StoredDelivery,
};

/// Bodies hold this, and nothing but `show --body` and `export` may print it.
pub(crate) const PHONE: &str = "+15551234567";

/// The id of a webchat session lets its holder act.
pub(crate) const CREDENTIAL: &str = "0bd1a9a4-6d0e-4a8a-9a55-5ce3bd3d3a11";

/// White space and escapes that a parser would not give back.
pub(crate) const ODD: &str = "{ \"type\":\"call_hangup\",\n \"data\": {\"id\":\"dead\", \"n\":1.00, \"to\":\"\\u00e9 é +15551234567\"} }";

pub(crate) const PENDING: u64 = 1;
pub(crate) const DONE: u64 = 2;
pub(crate) const DEAD: u64 = 3;
pub(crate) const DEAD_CUSTOM: u64 = 4;
pub(crate) const DEAD_CREDENTIAL: u64 = 5;
pub(crate) const INTERRUPTED: u64 = 6;

/// A directory to run in. The inbox in it has the name that is the default.
pub(crate) struct InboxDir(TempDir);

impl InboxDir {
    /// Without an inbox.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With six events that came an hour apart, the last one just now.
    pub(crate) async fn seeded() -> Self {
        let place = Self::empty();
        let killed = place.path().join("killed");
        let inbox = DiskInbox::open(&killed).await.unwrap();
        let call =
            |id: &str| format!(r#"{{"type":"call_hangup","data":{{"id":"{id}","to":"{PHONE}"}}}}"#);
        let session =
            format!(r#"{{"type":"webchat_session_created","data":{{"id":"{CREDENTIAL}"}}}}"#);
        let custom = format!(r#"["{PHONE}"]"#);
        let bodies = [
            call("pending"),
            call("done"),
            ODD.to_owned(),
            custom,
            session,
            call("interrupted"),
        ];
        for (hours, body) in (0..6).rev().zip(bodies) {
            keep(&inbox, body, Duration::from_secs(hours * 3600)).await;
        }
        let consumer = inbox.consume().unwrap();
        for job in consumer.take(Prefetch::for_jobs(16)).await.unwrap() {
            match job.id() {
                PENDING => {}
                DONE => consumer.settle(&job, Settled::Done),
                DEAD => {
                    let failed = failed("the first time");
                    let after = Duration::ZERO;
                    let in_place = false;
                    consumer.settle(
                        &job,
                        Settled::Retry {
                            failed,
                            after,
                            in_place,
                        },
                    );
                }
                DEAD_CUSTOM | DEAD_CREDENTIAL => consumer.settle(&job, dead("gave up")),
                INTERRUPTED => assert!(consumer.begin(&job).await.is_ok()),
                other => panic!("event {other}"),
            }
        }
        let again = consumer
            .take(Prefetch::for_jobs(1))
            .await
            .unwrap()
            .remove(0);
        assert_eq!(again.id(), DEAD);
        consumer.settle(&again, dead("no line to\nthe CRM"));
        consumer.flush().await.unwrap();
        // As a process leaves it that is killed now: a consumer that ends gives back what it has
        // begun.
        DirBuilder::new().mode(0o700).create(place.inbox()).unwrap();
        for file in ["inbox.db", "inbox.db-wal", "inbox.tag"] {
            std::fs::copy(killed.join(file), place.inbox().join(file)).unwrap();
        }
        drop(consumer);
        inbox.closed().await;
        std::fs::remove_dir_all(killed).unwrap();
        place
    }

    /// With so many large finished events.
    pub(crate) async fn with_many(events: usize) -> Self {
        let place = Self::empty();
        let inbox = DiskInbox::open(place.inbox()).await.unwrap();
        for number in 0..events {
            let body = format!(r#"["{number}","{}"]"#, "x".repeat(5000));
            keep(&inbox, body, Duration::ZERO).await;
        }
        inbox.closed().await;
        place
    }

    /// With one event that came and was finished so long ago.
    pub(crate) async fn with_a_finished_one(age: Duration) -> Self {
        let place = Self::empty();
        let clock = Arc::new(ManualClock::default());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        clock.advance(now - age);
        let inbox = DiskInbox::builder(place.inbox())
            .clock(clock)
            .open()
            .await
            .unwrap();
        keep(&inbox, "[1]".to_owned(), age).await;
        let consumer = inbox.consume().unwrap();
        for job in consumer.take(Prefetch::for_jobs(1)).await.unwrap() {
            consumer.settle(&job, Settled::Done);
        }
        drop(consumer);
        inbox.closed().await;
        place
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    pub(crate) fn inbox(&self) -> PathBuf {
        self.path().join("voipbin-inbox")
    }

    /// Runs a tool to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        let arguments: Vec<_> = ["inbox"].iter().chain(arguments).copied().collect();
        run(self.path(), &arguments, &[]).await
    }

    /// Runs one that succeeds; what it prints.
    pub(crate) async fn get(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout
    }

    /// Runs one that prints lines of JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let printed = self.get(arguments).await;
        let lines = printed.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The ids that a list holds with these filters.
    pub(crate) async fn ids(&self, filters: &[&str]) -> Vec<u64> {
        let arguments: Vec<_> = ["list", "--json"].iter().chain(filters).copied().collect();
        let lines = self.json(&arguments).await;
        lines
            .iter()
            .map(|line| line["id"].as_u64().unwrap())
            .collect()
    }
}

async fn keep(inbox: &DiskInbox, body: String, age: Duration) {
    let handler = if body.starts_with('[') {
        "custom"
    } else {
        "event"
    };
    let mut identity = [0; 16];
    for (place, byte) in body.bytes().enumerate() {
        identity[place % 16] ^= byte.rotate_left(u32::try_from(place % 7).unwrap());
    }
    let received_at = SystemTime::now() - age;
    let stored = StoredDelivery::new(
        body.into(),
        Identity::from_bytes(identity),
        Proof::Signed,
        received_at,
    );
    let jobs = HandlerSet::from_iter([HandlerName::new(handler)]);
    let incoming = Incoming::new(stored.restore().unwrap(), jobs, Repeats::Mark);
    assert_eq!(inbox.keep(incoming).await.unwrap(), Kept::New);
}

fn failed(error: &str) -> Attempt {
    let end = AttemptEnd::Failed(error.to_owned());
    Attempt::new(SystemTime::now(), Duration::from_millis(1204), end)
}

fn dead(error: &str) -> Settled {
    Settled::Dead {
        failed: Some(failed(error)),
    }
}
