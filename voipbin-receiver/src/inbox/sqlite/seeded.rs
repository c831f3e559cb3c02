//! Inboxes with events in every state, for tests.

use std::time::{Duration, SystemTime};

use super::DiskInbox;
use crate::event::HandlerName;
use crate::event::{Identity, Proof, RecordId, StoredDelivery};
use crate::inbox::{
    Attempt, AttemptEnd, HandlerSet, Inbox, Incoming, Kept, Prefetch, Record, Records, Repeats,
    Settled,
};

pub(super) const PENDING: u64 = 1;
pub(super) const DONE: u64 = 2;
/// For `a` and `b`, not for `c`.
pub(super) const DEAD: u64 = 3;
pub(super) const DELAYED: u64 = 4;
pub(super) const RUNNING: u64 = 5;
pub(super) const DISCARDED: u64 = 6;
pub(super) const HELD: u64 = 7;

/// In the body of each of them, and in the error of some.
pub(super) const PHONE: &str = "+15551234567";

pub(super) fn failed(error: &str) -> Attempt {
    let ended = AttemptEnd::Failed(error.into());
    Attempt::new(SystemTime::now(), Duration::from_millis(1), ended)
}

pub(super) async fn keep(inbox: &DiskInbox, number: u64, names: &[&str], body: String) {
    let mut identity = [7; 16];
    identity[..8].copy_from_slice(&number.to_le_bytes());
    let identity = Identity::from_bytes(identity);
    let stored = StoredDelivery::new(body.into(), identity, Proof::Signed, SystemTime::now());
    let jobs: HandlerSet = names.iter().map(|name| HandlerName::new(name)).collect();
    let incoming = Incoming::new(stored.restore().unwrap(), jobs, Repeats::Drop);
    assert_eq!(inbox.keep(incoming).await.unwrap(), Kept::New);
}

/// Events from 1 to 7, attached.
pub(super) async fn seed(inbox: &DiskInbox) {
    inbox.shared().attach().unwrap();
    for number in PENDING..=HELD {
        let body =
            format!(r#"{{"type":"call_hangup","data":{{"id":"call-{number}","to":"{PHONE}"}}}}"#);
        let names: &[&str] = match number {
            DEAD => &["a", "b", "c"],
            HELD => &["h"],
            _ => &["a"],
        };
        keep(inbox, number, names, body).await;
    }
    let mut left = 9;
    while left > 0 {
        for job in inbox.take(Prefetch::for_jobs(left)).await.unwrap() {
            left -= 1;
            let dead = || Settled::Dead {
                failed: Some(failed(PHONE)),
            };
            match job.id() {
                DONE => inbox.settle(&job, Settled::Done),
                DEAD if job.handler().as_str() == "c" => inbox.settle(&job, Settled::Done),
                DEAD => inbox.settle(&job, dead()),
                DELAYED => inbox.settle(
                    &job,
                    Settled::Retry {
                        failed: failed(PHONE),
                        after: Duration::from_secs(3600),
                        in_place: false,
                    },
                ),
                RUNNING => assert!(inbox.begin(&job).await.is_ok()),
                HELD => inbox.settle(&job, Settled::Unroutable),
                _ => {}
            }
        }
    }
    assert_eq!(inbox.discard(&[RecordId::new(DISCARDED)]).await.unwrap(), 1);
    inbox.flush().await.unwrap();
}

pub(super) async fn record(records: &dyn Records, id: u64) -> Option<Record> {
    records.get(RecordId::new(id)).await.unwrap()
}

pub(super) async fn stages(records: &dyn Records, id: u64) -> Vec<&'static str> {
    let record = record(records, id).await.unwrap();
    record.jobs.iter().map(|job| job.stage.as_str()).collect()
}
