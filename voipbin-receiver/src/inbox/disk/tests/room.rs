//! What becomes of the file when its events are handled.

use super::*;
use crate::inbox::{InboxErrorKind, KeepErrorKind};

#[tokio::test]
async fn the_room_of_handled_events_goes_back_to_the_file_system_and_the_others_stay() {
    const EVENTS: u64 = 24;
    const LENGTH: usize = 1 << 20;
    let mut settings = settings();
    settings.retain_done = Duration::ZERO;
    settings.identity_ttl = Duration::ZERO;
    let disk = Disk::new();
    let inbox = open(&disk, settings.clone());
    for number in 1..=EVENTS {
        let kept = keep_for(&inbox, event_at(number, LENGTH, SystemTime::now()), &["a"]);
        assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    }
    assert!(inbox.stats().disk_bytes > EVENTS << 20);
    let mut jobs = patiently(inbox.take(64)).await;
    let last = jobs.pop().unwrap();
    for job in &jobs {
        inbox.settle(job, Settled::Done);
    }
    until(|| inbox.stats().disk_bytes < 6 << 20).await;
    assert_eq!(keep(&inbox, 100).await.unwrap(), Kept::New);

    let inbox = open(&disk.kill(), settings);
    assert!(inbox.stats().disk_bytes < 6 << 20);
    let again = take_one(&inbox).await;
    assert_eq!(again.delivery().body(), last.delivery().body());
    assert_eq!(number_of(take_one(&inbox).await.delivery()), 100);
}

fn is_refused(kept: &Result<Kept, KeepError>, kind: KeepErrorKind) -> bool {
    kept.as_ref().is_err_and(|error| error.kind() == kind)
}

async fn keep_bytes(inbox: &DiskInbox, number: u64, len: usize) -> Result<Kept, KeepError> {
    let event = event_at(number, len, SystemTime::now());
    patiently(keep_for(inbox, event, &["a"])).await
}

#[tokio::test]
async fn dead_letters_alone_fill_an_inbox_and_the_stats_say_so() {
    let mut settings = settings();
    settings.max_bytes = 10_000;
    let inbox = open(&Disk::new(), settings);
    // Larger than all that may be there, and nothing is.
    assert_eq!(keep_bytes(&inbox, 1, 20_000).await.unwrap(), Kept::New);
    let refused = keep_bytes(&inbox, 2, 10).await;
    assert!(is_refused(&refused, KeepErrorKind::Full), "{refused:?}");
    assert!(inbox.stats().full);
    let failed = Some(failed());
    inbox.settle(&take_one(&inbox).await, Settled::Dead { failed });
    assert!(flushed(&inbox).await);
    assert_eq!(inbox.stats().events, 0);
    let refused = keep_bytes(&inbox, 2, 10).await;
    assert!(is_refused(&refused, KeepErrorKind::Full), "{refused:?}");
    assert!(inbox.stats().full);
    assert_eq!(
        patiently(inbox.discard(&[RecordId::new(1)])).await.unwrap(),
        1
    );
    assert!(!inbox.stats().full);
    assert_eq!(keep_bytes(&inbox, 2, 10).await.unwrap(), Kept::New);
}

#[tokio::test]
async fn finished_events_that_are_retained_give_way_to_new_ones() {
    let mut settings = settings();
    settings.max_bytes = 50_000;
    let inbox = open(&Disk::new(), settings);
    for number in 1..=40 {
        assert_eq!(
            keep_bytes(&inbox, number, 10_000).await.unwrap(),
            Kept::New,
            "event {number}"
        );
        inbox.settle(&take_one(&inbox).await, Settled::Done);
        assert!(flushed(&inbox).await);
    }
    until(|| inbox.shared().index().totals.stored <= 50_000).await;
    assert!(inbox.shared().index().totals.stored > 30_000);
    assert!(!inbox.stats().full);
}

#[tokio::test]
async fn whenever_an_event_is_refused_the_stats_say_why() {
    for limit in [0, 1, 3000, 7000] {
        let mut settings = settings();
        settings.max_bytes = limit;
        let disk = Disk::new();
        let inbox = open(&disk, settings);
        let mut number = 0;
        let refused = loop {
            number += 1;
            match keep_bytes(&inbox, number, 1 + number as usize * 100).await {
                Ok(kept) => assert_eq!(kept, Kept::New),
                Err(error) => break error.kind(),
            }
            assert!(number < 100, "it takes everything");
        };
        assert_eq!((refused, inbox.stats().full), (KeepErrorKind::Full, true));
        assert!(!inbox.stats().failing);
        for job in patiently(inbox.take(100)).await {
            inbox.settle(&job, Settled::Done);
        }
        until(|| inbox.stats().events == 0).await;
        assert!(!inbox.stats().full);

        disk.fail(fails(Target::Write, io::ErrorKind::Other, true));
        let refused = keep_bytes(&inbox, 1000, 10).await;
        assert!(is_refused(&refused, KeepErrorKind::Storage));
        assert!(inbox.stats().failing && !inbox.stats().full);
    }
}

/// A clock that stops the thread that asks it for the date.
#[derive(Debug, Default)]
struct Treacherous(std::sync::atomic::AtomicBool);

impl crate::clock::Clock for Treacherous {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> SystemTime {
        assert!(!self.0.load(Ordering::Relaxed), "the test wants it so");
        SystemTime::UNIX_EPOCH
    }
}

#[tokio::test]
async fn an_inbox_whose_writer_has_ended_is_failing_and_lets_no_receiver_in() {
    let clock = Arc::<Treacherous>::default();
    let mut settings = settings();
    settings.clock = Arc::<Treacherous>::clone(&clock);
    let inbox = open(&Disk::new(), settings);
    inbox.attach().unwrap();
    inbox.detach();
    clock.0.store(true, Ordering::Relaxed);
    for number in 1..=2 {
        let refused = keep(&inbox, number).await;
        assert!(is_refused(&refused, KeepErrorKind::Storage), "{refused:?}");
        until(|| inbox.stats().failing).await;
    }
    let kind = inbox.attach().map_err(|error| error.kind());
    assert_eq!(kind, Err(InboxErrorKind::Storage));
    assert!(!flushed(&inbox).await);
    assert!(patiently(inbox.take(1)).await.is_empty());
}
