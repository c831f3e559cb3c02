//! Files that are damaged, moved or removed.

use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::inbox::{HandlerSet, Incoming, KeepError};

const PAGE: u64 = 16_384;

/// The page at which a table or an index begins.
fn root(directory: &Path, name: &str) -> u64 {
    let file = Connection::open(directory.join("inbox.db")).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
    let root: i64 = file.query_row(root, [name], |row| row.get(0)).unwrap();
    root.cast_unsigned()
}

/// Writes noise over the last bytes of the first page of a table or an index: what was added to it
/// first.
fn damage(directory: &Path, name: &str, bytes: u64) {
    let page = root(directory, name);
    let mut file = fs::File::options()
        .write(true)
        .open(directory.join("inbox.db"))
        .unwrap();
    file.seek(SeekFrom::Start(page * PAGE - bytes)).unwrap();
    let mut noise = fastrand::Rng::with_seed(7);
    let noise: Vec<u8> = (0..bytes).map(|_| noise.u8(..)).collect();
    file.write_all(&noise).unwrap();
}

async fn try_keep(inbox: &DiskInbox, number: u64) -> Result<Kept, KeepError> {
    let delivery = crate::testing::delivery(body(number)).unwrap();
    let jobs = HandlerSet::from_iter([HandlerName::new("a")]);
    inbox
        .keep(Incoming::new(delivery, jobs, Repeats::Drop))
        .await
}

/// With so many events, each with a body of this size.
async fn filled(directory: &TempDir, events: u64, bytes: usize) {
    let inbox = open(directory).await;
    let filling = "x".repeat(bytes);
    for number in 1..=events {
        let body =
            format!(r#"{{"type":"call_hangup","data":{{"id":"{number}","x":"{filling}"}}}}"#);
        keep(&inbox, number, &["a"], body).await;
    }
    inbox.closed().await;
}

/// Some of the pages with bodies cannot be found any more.
#[tokio::test]
async fn what_is_behind_a_damaged_page_is_told_as_lost_and_holds_up_no_other() {
    const EVENTS: u64 = 600;
    let directory = tempdir().unwrap();
    filled(&directory, EVENTS, 1500).await;
    damage(directory.path(), "body", 200);
    let inbox = open(&directory).await;
    let mut handed = 0;
    let since = Instant::now();
    while inbox.stats().events > 0 {
        assert!(since.elapsed() < PATIENCE, "{:?}", inbox.stats());
        let taken = inbox.take(Prefetch::for_jobs(64)).now_or_never().flatten();
        for job in taken.into_iter().flatten() {
            inbox.settle(&job, Settled::Done);
            handed += 1;
        }
        let _ = inbox.flush().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stats = inbox.stats();
    assert!(handed > 0 && stats.damaged > 0, "{handed}, {stats:?}");
    assert_eq!(handed + stats.damaged, EVENTS as usize);
    assert_eq!(try_keep(&inbox, 0).await.unwrap(), Kept::New);
    // The next process knows it too.
    let inbox = again(inbox, &directory).await;
    assert_eq!(
        (inbox.stats().events, inbox.stats().damaged),
        (1, stats.damaged)
    );
}

/// By a length that is damaged, dead letters would take far more room than there is.
#[tokio::test]
async fn a_length_that_is_damaged_drops_no_other_event() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=4).await;
    let jobs = take(&inbox, 3).await;
    inbox.settle(&jobs[0], Settled::Done);
    inbox.settle(&jobs[1], dead());
    inbox.settle(&jobs[2], dead());
    inbox.closed().await;
    // Of a dead letter, and of one that is pending.
    for number in [3, 4] {
        let file = Connection::open(directory.path().join("inbox.db")).unwrap();
        let sql = "UPDATE event SET body_len = 1 << 40 WHERE seq = ?";
        assert_eq!(file.execute(sql, [number]).unwrap(), 1);
        drop(file);
        let inbox = open(&directory).await;
        assert!(!inbox.stats().full);
        until(&inbox, |stats| stats.events == usize::from(number == 3)).await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            inbox.flush().await.unwrap();
        }
        let stats = inbox.stats();
        assert_eq!((stats.dead_dropped, stats.full), (0, false), "{stats:?}");
        for id in [1, 2] {
            assert!(inbox.get(RecordId::new(id)).await.unwrap().is_some());
        }
        inbox.closed().await;
    }
    let stats = open(&directory).await.stats();
    assert!(stats.damaged > 0 && stats.dead == 3, "{stats:?}");
}

/// The end of an event has its place in an index that is damaged.
#[tokio::test]
async fn what_cannot_be_written_down_of_one_event_holds_up_no_other() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=300).await;
    for job in take(&inbox, 200).await {
        inbox.settle(&job, Settled::Done);
    }
    inbox.closed().await;
    damage(directory.path(), "event_over", PAGE / 2);
    let inbox = open(&directory).await;
    let job = take(&inbox, 1).await.remove(0);
    inbox.settle(&job, Settled::Done);
    until(&inbox, |stats| stats.damaged > 0 && !stats.failing).await;
    for job in take(&inbox, 99).await {
        assert!(inbox.begin(&job).await.is_ok());
    }
    assert_eq!(try_keep(&inbox, 301).await.unwrap(), Kept::New);
}

#[tokio::test]
async fn around_a_damaged_page_what_is_over_is_removed() {
    const EVENTS: u64 = 300;
    let directory = tempdir().unwrap();
    filled(&directory, EVENTS, 1500).await;
    let inbox = open(&directory).await;
    for job in take(&inbox, EVENTS as usize).await {
        inbox.settle(&job, Settled::Done);
    }
    inbox.closed().await;
    damage(directory.path(), "body", 50);
    let builder = builder(&directory).retain_done(Duration::ZERO);
    let inbox = builder.identity_ttl(Duration::ZERO).open().await.unwrap();
    let since = Instant::now();
    let mut left = EVENTS as i64;
    // Those whose bodies are still found, and some that are not in the file as SQLite sees it.
    while left > EVENTS as i64 * 3 / 4 {
        assert!(since.elapsed() < PATIENCE, "{left}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        left = inbox.read(event_count).await.unwrap();
    }
    assert_eq!(try_keep(&inbox, 0).await.unwrap(), Kept::New);
}

#[tokio::test]
async fn a_log_that_is_removed_is_seen_and_nothing_of_it_is_lost() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=10).await;
    fs::remove_file(directory.path().join("inbox.db-wal")).unwrap();
    until(&inbox, |stats| stats.failing).await;
    assert!(try_keep(&inbox, 11).await.is_err());
    let inbox = again(inbox, &directory).await;
    assert_eq!(ids(&take(&inbox, 10).await), (1..=10).collect::<Vec<_>>());
}

/// SQLite takes a log up to the damage, and is silent about the rest.
#[tokio::test]
async fn a_log_with_a_damaged_commit_in_its_midst_is_refused_and_salvaged() {
    let directory = tempdir().unwrap();
    let inbox = open(&directory).await;
    keep_all(&inbox, 1..=10).await;
    let copy = killed(&directory);
    let log = copy.path().join("inbox.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes
        .windows(6)
        .position(|window| window == b"call-5")
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let refused = builder(&copy).open().await.map_err(|error| error.kind());
    assert_eq!(refused.err(), Some(DiskInboxErrorKind::Damaged));
    let looked = DiskRecords::open(copy.path()).map_err(|error| error.kind());
    assert_eq!(looked.err(), Some(DiskInboxErrorKind::Damaged));
    let new = copy.path().join("new");
    let report = DiskInbox::salvage(copy.path(), &new).unwrap();
    assert!(
        report.unfinished >= 4 && report.unreadable_bytes > 0,
        "{report:?}"
    );
    assert!(!report.is_whole());
    let anew = builder(&copy).recreate(true).open().await.unwrap();
    assert_eq!(anew.stats().events, 0);
}
