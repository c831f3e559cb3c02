//! The whole inbox, on a real disk.

mod damage;
mod room;
mod stepping;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt;
use tempfile::{TempDir, tempdir};

use super::batch::Attributes;
use super::clean::Cleaner;
use super::row::State;
use super::seeded::{failed, keep};
use super::*;
use crate::clock::Clock;
use crate::event::HandlerName;
use crate::inbox::{
    AttemptEnd, HandlerSet, InboxStats, Job, JobHistory, Kept, Prefetch, RecordId, Records,
    Repeats, Settled,
};
use crate::testing::inbox_contract;

const PATIENCE: Duration = Duration::from_secs(30);

fn builder(directory: &TempDir) -> DiskInboxBuilder {
    let mut builder = DiskInbox::builder(directory.path());
    builder.0.completion_delay = Duration::from_millis(1);
    builder.0.tick = Duration::from_millis(5);
    builder.0.spread = Duration::ZERO;
    builder
}

async fn open(directory: &TempDir) -> DiskInbox {
    builder(directory).open().await.unwrap()
}

async fn again(inbox: DiskInbox, directory: &TempDir) -> DiskInbox {
    inbox.closed().await;
    open(directory).await
}

fn body(number: u64) -> String {
    format!(r#"{{"type":"call_hangup","data":{{"id":"call-{number}"}}}}"#)
}

async fn keep_all(inbox: &DiskInbox, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        keep(inbox, number, &["a"], body(number)).await;
    }
}

async fn take(inbox: &DiskInbox, count: usize) -> Vec<Job> {
    let mut jobs = Vec::new();
    while jobs.len() < count {
        let taken =
            tokio::time::timeout(PATIENCE, inbox.take(Prefetch::for_jobs(count - jobs.len())));
        jobs.extend(taken.await.unwrap().unwrap());
    }
    jobs
}

fn ids(jobs: &[Job]) -> Vec<u64> {
    jobs.iter().map(Job::id).collect()
}

async fn until(inbox: &DiskInbox, holds: impl Fn(InboxStats) -> bool) {
    let since = Instant::now();
    while !holds(inbox.stats()) {
        assert!(since.elapsed() < PATIENCE, "{:?}", inbox.stats());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn dead() -> Settled {
    Settled::Dead {
        failed: Some(failed("it failed")),
    }
}

fn retry(after: Duration) -> Settled {
    Settled::Retry {
        failed: failed("it failed"),
        after,
        in_place: false,
    }
}

/// A copy of what is in the directory: what a process that is killed now leaves.
fn killed(directory: &TempDir) -> TempDir {
    let copy = tempdir().unwrap();
    for file in ["inbox.db", "inbox.db-wal", "inbox.tag"] {
        if directory.path().join(file).exists() {
            fs::copy(directory.path().join(file), copy.path().join(file)).unwrap();
        }
    }
    copy
}

fn holds(directory: &Path, text: &str) -> bool {
    let files = ["inbox.db", "inbox.db-wal"].map(|file| fs::read(directory.join(file)));
    files.into_iter().flatten().any(|bytes| {
        let mut windows = bytes.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let directory = tempdir().unwrap();
    let number = AtomicU32::new(0);
    let make = async || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        DiskInbox::open(directory.path().join(number.to_string()))
            .await
            .unwrap()
    };
    inbox_contract::check(make).await.unwrap();
}

#[tokio::test]
async fn what_ended_is_not_read_back_before_its_end_is_committed() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=2).await;
    let job = take(&inbox, 1).await.remove(0);
    inbox.settle(&job, retry(Duration::ZERO));
    drop(job);
    inbox.closed().await;
    let mut builder = builder(&directory);
    builder.0.completion_delay = PATIENCE * 100;
    builder.0.tick = PATIENCE * 100;
    let inbox = builder.open().await.unwrap();
    // What ran before comes first, then all is read in its turn.
    let job = take(&inbox, 1).await.remove(0);
    assert_eq!(job.id(), 1);
    inbox.settle(&job, Settled::Done);
    assert_eq!(ids(&take(&inbox, 1).await), [2]);
}

#[tokio::test]
async fn an_event_is_pending_though_its_own_commit_says_which_is_the_first_one() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    let written = inbox.write(move |batch| {
        let delivery = crate::testing::delivery(body(1)).unwrap();
        let jobs = [HandlerName::new("a")].into_iter().collect();
        batch.insert(&delivery, &jobs, Attributes::default())?;
        Cleaner::default().step(batch, true, false)
    });
    written.await.unwrap();
    let copy = killed(&directory);
    let inbox = open(&copy).await;
    assert_eq!(ids(&take(&inbox, 1).await), [1]);
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_kill_and_known() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=100).await;
    let jobs = take(&inbox, 10).await;
    for job in &jobs[..5] {
        assert!(inbox.begin(job).await.is_ok());
    }
    inbox.settle(&jobs[0], Settled::Done);
    inbox.settle(&jobs[1], retry(Duration::from_secs(3600)));
    inbox.settle(&jobs[2], dead());
    inbox.settle(&jobs[3], Settled::Released);
    inbox.flush().await.unwrap();
    let copy = killed(&directory);
    let inbox = open(&copy).await;
    let stats = inbox.stats();
    assert_eq!((stats.events, stats.dead, stats.delayed), (98, 1, 1));
    let found = take(&inbox, 97).await;
    // The one that was running is in its place, and counts.
    let expected: Vec<u64> = (4..=100).collect();
    assert_eq!(ids(&found), expected);
    let attempts: Vec<u32> = found.iter().map(Job::attempts).take(3).collect();
    assert_eq!(attempts, [0, 1, 0]);
    let mut interrupted = JobHistory::default();
    (interrupted.attempts, interrupted.interrupted) = (1, true);
    interrupted.history = found[1].history().unwrap().history.clone();
    assert_eq!(found[1].history(), Some(&interrupted));
    assert_eq!(interrupted.history[0].ended, AttemptEnd::Interrupted);
    assert!(inbox.take(Prefetch::for_jobs(1)).now_or_never().is_none());
    for number in 1..=100 {
        let mut identity = [7; 16];
        identity[..8].copy_from_slice(&u64::to_le_bytes(number));
        let identity = crate::event::Identity::from_bytes(identity);
        assert!(inbox.shared().identities.contains(identity), "{number}");
    }
}

#[tokio::test]
async fn an_attempt_is_counted_once_however_often_the_process_dies() {
    let mut directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=1).await;
    drop(inbox);
    for deaths in 0..4 {
        let inbox = open(&directory).await;
        let job = take(&inbox, 1).await.remove(0);
        assert_eq!(job.attempts(), deaths);
        let numbers = job.history().map_or(0, |past| past.history.len());
        assert_eq!(numbers, deaths as usize);
        let history = job.history().into_iter().flat_map(|of_job| &of_job.history);
        let died = history.filter(|attempt| attempt.ended == AttemptEnd::Interrupted);
        assert_eq!(died.count() > 1, deaths > 1);
        assert!(inbox.begin(&job).await.is_ok());
        let copy = killed(&directory);
        inbox.closed().await;
        // Dies again as it opens.
        open(&copy).await.closed().await;
        directory = killed(&copy);
    }
}

#[tokio::test]
async fn what_waits_with_its_lane_comes_in_its_place_with_the_time_that_is_left() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=2).await;
    let jobs = take(&inbox, 2).await;
    let delayed = Settled::Retry {
        in_place: true,
        failed: failed("it failed"),
        after: Duration::from_secs(3600),
    };
    inbox.settle(&jobs[0], delayed);
    inbox.flush().await.unwrap();
    let inbox = again(inbox, &directory).await;
    let jobs = take(&inbox, 2).await;
    assert_eq!(ids(&jobs), [1, 2]);
    let wait = jobs[0].delay().unwrap();
    assert!(wait > Duration::from_secs(3500) && wait <= Duration::from_secs(3600));
    assert_eq!((jobs[0].attempts(), jobs[1].delay()), (1, None));
}

#[tokio::test]
async fn more_than_fits_in_memory_comes_in_order_while_more_comes_in() {
    let directory = tempdir().unwrap();
    let inbox = builder(&directory).memory(500).open().await.unwrap();
    keep_all(&inbox, 1..=50).await;
    let mut found = ids(&take(&inbox, 20).await);
    keep_all(&inbox, 51..=400).await;
    while found.len() < 400 {
        found.extend(ids(&take(&inbox, 7.min(400 - found.len())).await));
        if found.len() == 300 {
            keep_all(&inbox, 401..=401).await;
        }
    }
    let expected: Vec<u64> = (1..=400).collect();
    assert_eq!(found, expected);
    assert_eq!(inbox.stats().events, 401);
}

#[tokio::test]
async fn a_number_is_never_used_again() {
    let directory = tempdir().unwrap();
    let settings = async || {
        let builder = builder(&directory).retain_done(Duration::ZERO);
        builder.identity_ttl(Duration::ZERO).open().await.unwrap()
    };
    let inbox = settings().await;
    keep_all(&inbox, 1..=3).await;
    for job in take(&inbox, 3).await {
        inbox.settle(&job, Settled::Done);
    }
    until(&inbox, |stats| stats.events == 0).await;
    let more_than_is_reserved = inbox.write(|batch| {
        let delivery = crate::testing::delivery(body(4)).unwrap();
        let nobody = HandlerSet::from_iter([]);
        let mut last = 0;
        for _ in 0..3 * load::RESERVED {
            let id = batch.insert(&delivery, &nobody, Attributes::default())?;
            last = id.get();
        }
        Ok(last)
    });
    let last = more_than_is_reserved.await.unwrap();
    let since = Instant::now();
    while inbox.read(event_count).await.unwrap() > 0 {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    inbox.closed().await;
    let inbox = settings().await;
    keep_all(&inbox, 5..=5).await;
    assert!(ids(&take(&inbox, 1).await) > vec![last]);
}

fn event_count(file: &Connection) -> Result<i64> {
    Ok(file.query_row("SELECT count(*) FROM event", [], |row| row.get(0))?)
}

/// The page that events lie on, and that of bodies: what else there is to write comes now and then.
#[tokio::test]
async fn an_event_alone_writes_two_pages() {
    const FRAME: u64 = 24 + 16_384;
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    let mut written = Vec::new();
    for number in 1..=8 {
        let before = log_length(&directory);
        keep_all(&inbox, number..=number).await;
        written.push((log_length(&directory) - before) / FRAME);
    }
    assert_eq!(written.iter().min(), Some(&2), "{written:?}");
}

fn log_length(directory: &TempDir) -> u64 {
    let log = directory.path().join("inbox.db-wal");
    fs::metadata(log).unwrap().len()
}

/// Bytes of a body change on the disk.
#[tokio::test]
async fn an_event_whose_bytes_are_damaged_is_a_dead_letter_and_takes_no_other_along() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=3).await;
    inbox.closed().await;
    let path = directory.path().join("inbox.db");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes
        .windows(6)
        .position(|window| window == b"call-2")
        .unwrap();
    bytes[at + 5] = b'X';
    // The body, and not the column of the event.
    let also = bytes.windows(6).position(|window| window == b"call-2");
    if let Some(also) = also {
        bytes[also + 5] = b'X';
    }
    fs::write(&path, bytes).unwrap();
    let inbox = open(&directory).await;
    let jobs = take(&inbox, 2).await;
    assert_eq!(ids(&jobs), [1, 3]);
    until(&inbox, |stats| stats.damaged == 1 && stats.events == 2).await;
    assert_eq!(inbox.stats().dead, 1);
    assert!(inbox.take(Prefetch::for_jobs(1)).now_or_never().is_none());
    let inbox = again(inbox, &directory).await;
    assert_eq!((inbox.stats().damaged, inbox.stats().dead), (1, 1));
}

/// One bit of a state: what was pending reads as done.
#[tokio::test]
async fn no_damaged_row_passes_for_another_state() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=3).await;
    inbox.closed().await;
    let file = Connection::open(directory.path().join("inbox.db")).unwrap();
    let changed = format!(
        "UPDATE event SET state = {} WHERE seq = 2",
        State::Done as i64
    );
    assert_eq!(file.execute(&changed, []).unwrap(), 1);
    drop(file);
    let inbox = open(&directory).await;
    assert_eq!(ids(&take(&inbox, 2).await), [1, 3]);
    until(&inbox, |stats| stats.damaged == 1).await;
}

#[tokio::test]
async fn a_closure_that_fails_undoes_itself_alone() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=2).await;
    let failed = inbox.write(|batch| {
        assert!(batch.discard(1)?);
        batch
            .connection
            .execute("INSERT INTO nothing VALUES (1)", [])?;
        Ok(())
    });
    let gone = inbox.write(|batch| batch.discard(2));
    let (failed, gone) = tokio::join!(failed, gone);
    assert!(failed.is_err());
    assert!(gone.unwrap());
    assert_eq!(inbox.stats().events, 1);
    assert_eq!(ids(&take(&inbox, 1).await), [1]);
    assert!(inbox.get(RecordId::new(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_that_is_moved_is_not_written_and_one_that_is_put_back_is() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=1).await;
    let (path, aside) = (
        directory.path().join("inbox.db"),
        directory.path().join("aside"),
    );
    fs::rename(&path, &aside).unwrap();
    until(&inbox, |stats| stats.failing).await;
    let delivery = crate::testing::delivery(body(2)).unwrap();
    let incoming = || {
        let jobs = HandlerSet::from_iter([HandlerName::new("a")]);
        crate::inbox::Incoming::new(delivery.clone(), jobs, Repeats::Drop)
    };
    assert!(inbox.keep(incoming()).await.is_err());
    fs::rename(&aside, &path).unwrap();
    until(&inbox, |stats| !stats.failing).await;
    assert_eq!(inbox.keep(incoming()).await.unwrap(), Kept::New);
    let taken = ids(&take(&inbox, 2).await);
    assert_eq!((taken.first(), taken.is_sorted()), (Some(&1), true));
}

#[tokio::test]
async fn a_directory_has_one_inbox_at_a_time_and_the_next_waits_for_the_end_of_the_last() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    let second = builder(&directory)
        .open()
        .await
        .map_err(|error| error.kind());
    assert_eq!(second.err(), Some(DiskInboxErrorKind::AlreadyOpen));
    drop(inbox);
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=1).await;
}

/// The commit that writes down where to begin at the next start does not begin after what it adds.
#[tokio::test]
async fn an_event_of_the_first_commit_is_there_after_a_kill() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=1).await;
    let copy = killed(&directory);
    let next = open(&copy).await;
    assert_eq!(ids(&take(&next, 1).await), [1]);
}
