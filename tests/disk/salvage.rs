//! What is left of an inbox on disk when its file is damaged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::call_hangup;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    DiskInbox, DiskInboxErrorKind, HandlerSet, Inbox, Incoming, Kept, Prefetch, RecordFilter,
    RecordState, Records, Repeats, Settled,
};
use voipbin_receiver::testing::delivery;
use voipbin_receiver::{Delivery, Identity};

fn event(id: usize) -> Delivery {
    delivery(call_hangup(format_args!("{id:0900}"))).unwrap()
}

async fn keep(inbox: &DiskInbox, id: usize) -> Kept {
    let jobs: HandlerSet = [HandlerName::new("crm")].into_iter().collect();
    let incoming = Incoming::new(event(id), jobs, Repeats::Drop);
    inbox.keep(incoming).await.unwrap()
}

/// 600 events, of which the first 200 are done.
async fn fill(directory: &Path) {
    let inbox = DiskInbox::open(directory).await.unwrap();
    for batch in 0..20 {
        let kept = (0..30).map(|place| keep(&inbox, batch * 30 + place));
        for kept in futures_util::future::join_all(kept).await {
            assert_eq!(kept, Kept::New);
        }
    }
    let consumer = inbox.consume().unwrap();
    let mut done = 0;
    while done < 200 {
        let room = Prefetch::for_jobs(200 - done);
        for job in consumer.take(room).await.unwrap() {
            assert!(consumer.begin(&job).await.is_ok());
            consumer.settle(&job, Settled::Done);
            done += 1;
        }
    }
    drop(consumer);
    inbox.closed().await;
}

#[tokio::test]
async fn a_file_whose_beginning_is_gone_still_yields_its_events() {
    let directory = tempfile::tempdir().unwrap();
    let (damaged, anew) = (
        directory.path().join("damaged"),
        directory.path().join("anew"),
    );
    fill(&damaged).await;
    let path = damaged.join("inbox.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..4096].fill(0xa5);
    fs::write(&path, &bytes).unwrap();

    let error = DiskInbox::open(&damaged).await.unwrap_err();
    assert_eq!(error.kind(), DiskInboxErrorKind::Damaged);

    let report = DiskInbox::salvage(&damaged, &anew).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!((report.events, report.unfinished), (600, 400));
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "the damaged file was changed"
    );

    let inbox = DiskInbox::open(&anew).await.unwrap();
    assert_eq!(inbox.stats().events, 400);
    assert_eq!(keep(&inbox, 0).await, Kept::Duplicate);
    assert_eq!(keep(&inbox, 599).await, Kept::Duplicate);
    let consumer = inbox.consume().unwrap();
    let mut taken = BTreeSet::new();
    while taken.len() < 400 {
        for job in consumer.take(Prefetch::for_jobs(64)).await.unwrap() {
            assert!(taken.insert(job.delivery().identity()));
            consumer.settle(&job, Settled::Done);
        }
    }
    let left: BTreeSet<Identity> = (200..600).map(|id| event(id).identity()).collect();
    assert_eq!(taken, left);
}

#[tokio::test]
async fn an_event_whose_bytes_are_damaged_is_a_dead_letter_and_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let path = directory.path().join("inbox.db");
    let mut bytes = fs::read(&path).unwrap();
    let needle = event(450).body().clone();
    let at = bytes
        .windows(needle.len())
        .position(|window| window == &needle[..])
        .unwrap();
    bytes[at + needle.len() - 10] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    let consumer = inbox.consume().unwrap();
    let mut taken = 0;
    while inbox.stats().events > 0 {
        let jobs = tokio::select! {
            jobs = consumer.take(Prefetch::for_jobs(64)) => jobs.unwrap(),
            flushed = consumer.flush() => {
                flushed.unwrap();
                continue;
            }
        };
        for job in jobs {
            taken += 1;
            consumer.settle(&job, Settled::Done);
        }
    }
    let stats = inbox.stats();
    assert!(stats.damaged > 0 && stats.damaged < 100, "{stats:?}");
    assert_eq!((taken + stats.damaged, stats.dead), (400, stats.damaged));
    // Nothing is left of it to be looked at.
    let dead = RecordFilter::new().state(RecordState::Dead);
    assert!(
        inbox
            .list(&dead, None, 10)
            .await
            .unwrap()
            .records
            .is_empty()
    );
}

#[tokio::test]
async fn salvage_overwrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let error = DiskInbox::salvage(directory.path(), directory.path()).unwrap_err();
    assert_eq!(error.kind(), DiskInboxErrorKind::AlreadyExists);
    assert_eq!(
        DiskInbox::open(directory.path())
            .await
            .unwrap()
            .stats()
            .events,
        400
    );
}
