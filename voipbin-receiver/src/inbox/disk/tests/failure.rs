//! Writes and reads that fail, once or for a while.

use super::*;
use crate::inbox::{KeepErrorKind, Record, RecordFilter};

const FULL: io::ErrorKind = io::ErrorKind::StorageFull;
const BROKEN: io::ErrorKind = io::ErrorKind::Other;

fn is_refused(kept: &Result<Kept, KeepError>) -> bool {
    let error = kept.as_ref().err();
    error.is_some_and(|error| error.kind() == KeepErrorKind::Storage)
}

async fn records(inbox: &DiskInbox) -> Vec<Record> {
    let all = RecordFilter::new();
    let all = inbox.list(&all, None, usize::MAX);
    patiently(all).await.unwrap().records
}

/// The sender's next tries, until it is kept.
async fn keep_at_last(inbox: &DiskInbox, number: u64) -> Kept {
    let since = Instant::now();
    loop {
        match keep(inbox, number).await {
            Ok(kept) => return kept,
            Err(error) => assert_eq!(error.kind(), KeepErrorKind::Storage),
        }
        assert!(since.elapsed() < PATIENCE, "it stays refused");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_event_whose_write_failed_is_refused_and_its_next_try_is_new_and_handled_once() {
    let mut refused = 0;
    for round in 0..64 {
        let disk = Disk::new();
        let inbox = open_on(&disk);
        assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
        let target = [Target::Write, Target::Sync][round % 2];
        disk.fail(Fault {
            // The later ones fail when all of the commit has reached the disk.
            after: (round / 4 % 4) as u64,
            forget: (round / 2 % 2 == 0).then_some(round as u64),
            ..fails(target, [FULL, BROKEN][round / 32], false)
        });
        let first = keep(&inbox, 2).await;
        if !is_refused(&first) {
            assert_eq!(first.unwrap(), Kept::New);
            continue;
        }
        refused += 1;
        assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::Duplicate);
        assert_eq!(keep_at_last(&inbox, 2).await, Kept::New);
        assert!(!inbox.stats().failing);
        assert_eq!(keep(&inbox, 2).await.unwrap(), Kept::Duplicate);
        for number in [1, 2] {
            let job = take_one(&inbox).await;
            assert_eq!(number_of(job.delivery()), number);
            assert!(patiently(inbox.begin(&job)).await);
            inbox.settle(&job, Settled::Done);
        }
        assert!(inbox.take(1).now_or_never().is_none());
        assert!(flushed(&inbox).await);
        // Nor is there anything of it for the next process.
        let next = open_on(&disk.crash(round as u64));
        assert_eq!(next.stats().events, 0);
        let there: Vec<u64> = records(&next)
            .await
            .iter()
            .map(|record| number_of(&record.delivery))
            .collect();
        assert_eq!(there, [1, 2], "round {round}");
    }
    assert!(refused > 30, "{refused}");
}

#[tokio::test]
async fn while_writes_fail_new_events_are_refused_and_those_that_are_kept_wait_until_it_is_over() {
    for target in [Target::Write, Target::Sync] {
        let disk = Disk::new();
        let inbox = open_on(&disk);
        for number in 1..=3 {
            assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
        }
        let running = take_one(&inbox).await;
        assert!(patiently(inbox.begin(&running)).await);

        disk.fail(fails(target, FULL, true));
        assert!(is_refused(&keep(&inbox, 4).await));
        until(|| inbox.stats().failing).await;
        assert!(is_refused(&keep(&inbox, 4).await));
        assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::Duplicate);
        // A run goes on, and its end is not lost. Another one may not begin.
        inbox.settle(&running, Settled::Done);
        let next = take_one(&inbox).await;
        let mut begun = inbox.begin(&next);
        assert!(!flushed(&inbox).await);
        assert!((&mut begun).now_or_never().is_none());
        assert!(inbox.stats().failing);

        disk.heal();
        assert!(patiently(begun).await);
        assert!(!inbox.stats().failing);
        assert_eq!(keep(&inbox, 4).await.unwrap(), Kept::New);
        assert!(flushed(&inbox).await);
        let after = open_on(&disk.crash(1));
        let stages: Vec<(u64, u32)> = records(&after)
            .await
            .iter()
            .map(|record| (number_of(&record.delivery), record.jobs[0].attempts))
            .collect();
        assert_eq!(stages, [(1, 0), (2, 1), (3, 0), (4, 0)]);
        assert_eq!(after.stats().events, 3);
    }
}

/// Events that are in the file alone.
async fn in_file(numbers: std::ops::RangeInclusive<u64>) -> Disk {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    for number in numbers {
        assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
    }
    assert!(flushed(&inbox).await);
    disk.crash(0)
}

#[tokio::test]
async fn a_read_that_fails_loses_no_job_and_an_idle_inbox_recovers_from_it() {
    for lasting in [false, true] {
        let disk = in_file(1..=20).await;
        let inbox = open_on(&disk);
        disk.fail(fails(Target::Read, BROKEN, lasting));
        if lasting {
            let taken = timeout(Duration::from_millis(20), inbox.take(20)).await;
            assert!(taken.is_err(), "{taken:?}");
        }
        disk.heal();
        let mut numbers = Vec::new();
        while numbers.len() < 20 {
            let taken = patiently(inbox.take(20)).await;
            numbers.extend(taken.iter().map(|job| number_of(job.delivery())));
        }
        assert_eq!(numbers, Vec::from_iter(1..=20));
        assert_eq!(inbox.stats().damaged, 0);
    }
}

#[tokio::test]
async fn a_read_that_failed_keeps_no_new_event_out() {
    let disk = in_file(1..=20).await;
    let inbox = open_on(&disk);
    disk.fail(fails(Target::Read, BROKEN, false));
    patiently(inbox.take(1)).await;
    assert!(!disk.is_faulty());
    assert_eq!(keep(&inbox, 21).await.unwrap(), Kept::New);
}

#[tokio::test]
async fn the_job_of_a_retry_that_cannot_be_read_comes_when_it_can() {
    let disk = in_file(1..=1).await;
    let inbox = open_on(&disk);
    let job = take_one(&inbox).await;
    let failed = failed();
    let after = Duration::ZERO;
    inbox.settle(&job, Settled::Retry { failed, after });
    assert!(flushed(&inbox).await);

    let disk = disk.crash(0);
    let inbox = open_on(&disk);
    disk.fail(fails(Target::Read, BROKEN, true));
    let taken = timeout(Duration::from_millis(20), inbox.take(20)).await;
    assert!(taken.is_err(), "{taken:?}");
    disk.heal();
    assert_eq!(take_one(&inbox).await.attempts(), 1);
}

/// Where these bytes are on a disk.
fn find(disk: &Disk, bytes: &[u8]) -> std::ops::Range<usize> {
    let file = disk.file();
    let mut windows = file.windows(bytes.len());
    let at = windows.position(|window| window == bytes).unwrap();
    at..at + bytes.len()
}

#[tokio::test]
async fn events_that_can_never_be_read_hold_up_no_others_and_come_when_they_can() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    for number in 1..=5 {
        // Each in a row and a page of its own.
        let body = event_at(number, 9000 + number as usize * 500, SystemTime::now());
        let kept = keep_for(&inbox, body, &["a", "b"]);
        assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    }
    // The third has been tried before, by one of its handlers.
    let third = patiently(inbox.take(10)).await.remove(4);
    let outcome = Settled::Retry {
        failed: failed(),
        after: Duration::ZERO,
    };
    inbox.settle(&third, outcome);
    assert!(flushed(&inbox).await);
    let disk = disk.crash(0);
    disk.spoil(Some(find(&disk, third.delivery().body())));

    let inbox = open_on(&disk);
    let mut seen = Vec::new();
    while seen.len() < 8 {
        for job in patiently(inbox.take(10)).await {
            seen.push(number_of(job.delivery()));
        }
    }
    assert_eq!(seen, [1, 1, 2, 2, 4, 4, 5, 5]);
    until(|| inbox.stats().stuck > 0).await;
    assert_eq!(inbox.stats().damaged, 0);
    assert_eq!(keep_at_last(&inbox, 6).await, Kept::New);
    assert_eq!(number_of(take_one(&inbox).await.delivery()), 6);
    // What is in such a row is not listed, and all else is.
    let since = Instant::now();
    let listed = loop {
        let all = RecordFilter::new();
        match patiently(inbox.list(&all, None, 10)).await {
            Ok(page) => break page.records,
            Err(_) => assert!(since.elapsed() < PATIENCE),
        }
    };
    let listed: Vec<u64> = listed
        .iter()
        .map(|record| number_of(&record.delivery))
        .collect();
    assert_eq!(listed, [1, 2, 4, 5, 6]);

    disk.spoil(None);
    let mut late = Vec::new();
    while late.len() < 2 {
        for job in patiently(inbox.take(10)).await {
            late.push((number_of(job.delivery()), job.attempts()));
        }
    }
    late.sort_unstable();
    assert_eq!(late, [(3, 0), (3, 1)]);
    assert_eq!(inbox.stats().stuck, 0);
}
