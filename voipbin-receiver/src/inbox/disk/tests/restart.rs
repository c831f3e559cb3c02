//! What the next process takes up.

use std::sync::Mutex;

use super::*;
use crate::clock::Clock;
use crate::inbox::{RecordFilter, RecordState, Stage};

/// A clock that moves when it is told to.
#[derive(Debug, Default)]
struct Manual(Mutex<Duration>);

impl Manual {
    fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }
}

impl Clock for Manual {
    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.monotonic()
    }
}

const HOUR: Duration = Duration::from_secs(3600);

async fn list(inbox: &DiskInbox) -> Vec<(u64, RecordState)> {
    let all = RecordFilter::new();
    let all = inbox.list(&all, None, usize::MAX);
    let records = patiently(all).await.unwrap().records;
    let records = records.iter();
    records
        .map(|record| (number_of(&record.delivery), record.state))
        .collect()
}

async fn stage(inbox: &DiskInbox, id: u64) -> Stage {
    let record = patiently(inbox.get(RecordId::new(id))).await.unwrap();
    record.unwrap().jobs[0].stage
}

#[tokio::test]
async fn a_job_that_waits_is_taken_up_with_its_time_and_what_came_of_it() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    let job = take_one(&inbox).await;
    assert!(patiently(inbox.begin(&job)).await);
    let attempt = failed();
    let retry = Settled::Retry {
        failed: attempt.clone(),
        after: HOUR,
    };
    inbox.settle(&job, retry);
    assert!(flushed(&inbox).await);
    let before = stage(&inbox, job.id()).await;

    let inbox = open_on(&disk.crash(0));
    assert_eq!((inbox.stats().waiting, inbox.stats().events), (1, 1));
    assert_eq!(stage(&inbox, job.id()).await, before);
    let due = inbox.shared().ready().next(1);
    let Next::ReadFrom(_) = due else {
        panic!("the line was not looked at")
    };
    assert!(
        timeout(Duration::from_millis(5), inbox.take(1))
            .await
            .is_err()
    );
    let Next::Wait(Some(due)) = inbox.shared().ready().next(1) else {
        panic!("it does not wait")
    };
    let left = due - crate::sync::time::Instant::now();
    assert!(
        left <= HOUR && left > HOUR - Duration::from_secs(60),
        "{left:?}"
    );
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::Duplicate);

    // The same on a day when its time has come.
    let disk = Disk::new();
    let inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    let job = take_one(&inbox).await;
    let retry = Settled::Retry {
        failed: attempt.clone(),
        after: Duration::from_millis(1),
    };
    inbox.settle(&job, retry);
    assert!(flushed(&inbox).await);
    sleep(Duration::from_millis(2)).await;
    let inbox = open_on(&disk.crash(0));
    let job = take_one(&inbox).await;
    let past = job.past().unwrap();
    assert_eq!((past.attempts, past.interrupted), (1, false));
    let [stored] = &*past.history else {
        panic!("{past:?}")
    };
    assert_eq!((&stored.ended, stored.took), (&attempt.ended, attempt.took));
}

#[tokio::test]
async fn what_should_have_run_while_there_was_no_process_is_spread_over_some_seconds() {
    let seconds = Duration::from_secs(5);
    let waits: Vec<Duration> = (1..=1000)
        .map(|seq| spread(left(5, 5, 20), seq, seconds))
        .collect();
    assert!(waits.iter().all(|wait| *wait < seconds));
    for second in 0..5 {
        let of_it = |wait: &&Duration| wait.as_secs() == second;
        let count = waits.iter().filter(of_it).count();
        assert!((100..300).contains(&count), "{count} in second {second}");
    }
    let waits = spread(left(5, 15, 10), 1, seconds);
    assert_eq!(waits, Duration::from_millis(10));
    assert_eq!(spread(left(5, 5, 20), 1, Duration::ZERO), Duration::ZERO);
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_makes_no_job_wait_longer_than_it_was_to() {
    let clock = Arc::<Manual>::default();
    let mut settings = settings();
    settings.clock = Arc::<Manual>::clone(&clock);
    let disk = Disk::new();
    let inbox = open(&disk, settings.clone());
    clock.advance(24 * 3650 * HOUR);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    let (failed, after) = (failed(), 2 * HOUR);
    inbox.settle(&take_one(&inbox).await, Settled::Retry { failed, after });
    assert!(flushed(&inbox).await);
    // The clock is right again.
    settings.clock = Arc::new(Manual::default());
    let inbox = open(&disk.crash(0), settings);
    let taken = timeout(Duration::from_millis(5), inbox.take(1)).await;
    assert!(taken.is_err());
    let Next::Wait(Some(due)) = inbox.shared().ready().next(1) else {
        panic!("it does not wait")
    };
    let left = due - crate::sync::time::Instant::now();
    assert!(left <= 2 * HOUR && left > HOUR, "{left:?}");
}

#[tokio::test]
async fn a_run_that_the_process_did_not_outlive_is_counted_and_marked_each_time() {
    let mut disk = Disk::new();
    let inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    drop(inbox);
    for died in 0..20 {
        disk = disk.kill();
        let inbox = open_on(&disk);
        let job = take_one(&inbox).await;
        let past = job.past().cloned().unwrap_or_default();
        assert_eq!((past.attempts, past.interrupted), (died, died > 0));
        assert!(past.history.len() <= 16);
        assert!(patiently(inbox.begin(&job)).await);
    }
}

#[tokio::test]
async fn a_run_that_was_cut_short_before_it_began_is_not_counted() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    for number in 1..=100 {
        assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
    }
    for job in patiently(inbox.take(100)).await {
        drop(inbox.begin(&job));
        inbox.settle(&job, Settled::Released);
    }
    assert!(flushed(&inbox).await);
    let inbox = open_on(&disk.kill());
    let mut jobs = Vec::new();
    while jobs.len() < 100 {
        jobs.extend(patiently(inbox.take(100)).await);
    }
    let attempts: Vec<u32> = jobs.iter().map(Taken::attempts).collect();
    assert_eq!(attempts, [0; 100]);
}

#[tokio::test]
async fn a_job_without_a_handler_is_held_for_the_next_process() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    inbox.settle(&take_one(&inbox).await, Settled::Held);
    assert!(flushed(&inbox).await);
    assert_eq!((inbox.stats().held, inbox.stats().events), (1, 1));
    let again = timeout(Duration::from_millis(5), inbox.take(1)).await;
    assert!(again.is_err());
    let inbox = open_on(&disk.crash(0));
    assert_eq!(inbox.stats().held, 0);
    assert_eq!(take_one(&inbox).await.attempts(), 0);
}

#[tokio::test]
async fn with_no_retention_nothing_is_left_of_a_body_and_its_identity_is_known_until_its_time() {
    let clock = Arc::<Manual>::default();
    let mut settings = settings();
    settings.clock = Arc::<Manual>::clone(&clock);
    settings.retain_done = Duration::ZERO;
    let mut disk = Disk::new();
    let mut inbox = open(&disk, settings.clone());
    let keep = |inbox: &DiskInbox, number: u64| {
        keep_for(inbox, event_at(number, 5000, clock.wall()), &["a"])
    };
    for number in 1..=3 {
        assert_eq!(patiently(keep(&inbox, number)).await.unwrap(), Kept::New);
    }
    for _ in 0..2 {
        inbox.settle(&take_one(&inbox).await, Settled::Done);
    }
    // What was not stored when the writer looked is looked at again a second later.
    assert!(flushed(&inbox).await);
    clock.advance(Duration::from_secs(2));
    // The third shares no row with them.
    until(|| inbox.shared().index().totals.stored < 6000).await;
    assert_eq!(list(&inbox).await, [(3, RecordState::Pending)]);
    {
        let store = inbox.shared().store.read().unwrap();
        let store = store.as_ref().unwrap();
        let chunks: Vec<bool> = [1, 2, 3]
            .map(|key| store.chunk(key).unwrap().is_some())
            .into();
        assert_eq!(chunks, [false, false, true]);
    }
    for minutes in [1, 30, 28] {
        clock.advance(Duration::from_secs(60 * minutes));
        disk = disk.crash(minutes);
        inbox = open(&disk, settings.clone());
        for number in 1..=3 {
            let kept = patiently(keep(&inbox, number)).await.unwrap();
            assert_eq!(kept, Kept::Duplicate, "event {number}");
        }
        assert_eq!(inbox.stats().identities, 3);
    }
    clock.advance(Duration::from_secs(2 * 60));
    for life in 0..2 {
        let done = [1, 2].map(|number| keep(&inbox, number));
        for kept in done {
            let kept = patiently(kept).await.unwrap();
            assert_eq!(kept == Kept::New, life == 0);
        }
        // One that is not finished is not forgotten.
        assert_eq!(patiently(keep(&inbox, 3)).await.unwrap(), Kept::Duplicate);
        disk = disk.crash(life);
        inbox = open(&disk, settings.clone());
    }
    // And what was forgotten is out of the file.
    until(|| {
        let store = inbox.shared().store.read().unwrap();
        let rows = store.as_ref().map(|store| store.rows(0, 100).unwrap());
        rows.is_some_and(|rows| rows.iter().all(|row| row.key > 2))
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_whose_time_is_over_is_no_dead_letter_after_a_restart() {
    let clock = Arc::<Manual>::default();
    let mut settings = settings();
    settings.clock = Arc::<Manual>::clone(&clock);
    settings.retain_dead = Duration::from_secs(60);
    let disk = Disk::new();
    let inbox = open(&disk, settings.clone());
    let kept = keep_for(&inbox, event_at(1, 10, clock.wall()), &["a"]);
    assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    let failed = Some(failed());
    inbox.settle(&take_one(&inbox).await, Settled::Dead { failed });
    assert!(flushed(&inbox).await);
    assert_eq!(inbox.stats().dead, 1);
    assert_eq!(list(&inbox).await, [(1, RecordState::Dead)]);

    clock.advance(Duration::from_secs(61));
    until(|| inbox.stats().dead == 0).await;
    assert!(list(&inbox).await.is_empty());
    assert!(flushed(&inbox).await);
    let inbox = open(&disk.crash(0), settings);
    assert_eq!((inbox.stats().dead, inbox.stats().events), (0, 0));
    assert_eq!(inbox.shared().index().totals.dead_bytes, 0);
}

#[tokio::test]
async fn an_open_event_whose_bytes_are_gone_is_a_dead_letter_and_told() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    closed(inbox).await;
    let store = Store::open_on(disk.clone(), 1 << 20).unwrap();
    let changes = store::Changes {
        drop_chunks: vec![1],
        ..store::Changes::default()
    };
    store.commit(&changes).unwrap();
    drop(store);
    let inbox = open_on(&disk);
    let taken = timeout(Duration::from_millis(20), inbox.take(1)).await;
    assert!(taken.is_err());
    until(|| inbox.stats().events == 0).await;
    assert_eq!(inbox.stats().damaged, 1);
}

#[tokio::test]
async fn a_directory_that_this_process_has_open_is_refused_at_once_and_free_when_it_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).unwrap();
    let again = || DiskInbox::open(directory.path().join(".")).map_err(|error| error.kind());
    assert_eq!(again().unwrap_err(), DiskInboxErrorKind::AlreadyOpen);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    let handle = inbox.clone();
    drop(inbox);
    assert_eq!(again().unwrap_err(), DiskInboxErrorKind::AlreadyOpen);
    closed(handle).await;
    // While it is being closed the next one waits.
    for _ in 0..3 {
        assert_eq!(again().unwrap().stats().events, 1);
    }
}

#[tokio::test]
async fn a_directory_of_another_process_is_refused_with_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = std::fs::File::create(directory.path().join(LOCK_FILE)).unwrap();
    // As in another container, it may have the same.
    let holder = std::process::id();
    io::Write::write_all(&mut other, format!("{holder} 0\n").as_bytes()).unwrap();
    other.lock().unwrap();
    let error = DiskInbox::open(directory.path()).unwrap_err();
    let holder = Some(holder);
    assert_eq!(error.kind(), DiskInboxErrorKind::Locked { holder });
    drop(other);
    DiskInbox::open(directory.path()).unwrap();
}

#[tokio::test]
async fn a_path_that_is_no_directory_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [Path::new(""), &file, &file.join("within")] {
        let kind = DiskInbox::open(path).map_err(|error| error.kind());
        assert_eq!(kind.unwrap_err(), DiskInboxErrorKind::NotADirectory);
    }
    let empty = directory.path().join("empty");
    for nothing in [&empty, &file] {
        let kind = DiskInbox::salvage(nothing, directory.path().join("new"));
        let kind = kind.map_err(|error| error.kind());
        assert_eq!(kind, Err(DiskInboxErrorKind::NotFound));
    }
    assert!(!directory.path().join("new").exists());
}

#[tokio::test]
async fn what_was_given_up_is_not_brought_back_and_its_copies_are_known() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let inbox = DiskInbox::open(&old).unwrap();
    for number in 1..=3 {
        assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
    }
    let given_up = patiently(inbox.discard(&[RecordId::new(2)])).await;
    assert_eq!(given_up.unwrap(), 1);
    closed(inbox).await;
    let report = DiskInbox::salvage(&old, &new).unwrap();
    assert_eq!(
        (report.events, report.unfinished, report.identities),
        (2, 2, 1)
    );
    let inbox = DiskInbox::open(&new).unwrap();
    let mut numbers: Vec<u64> = list(&inbox).await.iter().map(|one| one.0).collect();
    numbers.sort_unstable();
    assert_eq!((numbers, inbox.stats().events), (vec![1, 3], 2));
    assert_eq!(keep(&inbox, 2).await.unwrap(), Kept::Duplicate);
}

/// The pool of the runtime for blocking work has no thread to spare.
#[test]
fn events_are_read_back_while_handlers_block_all_threads_there_are() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    runtime.block_on(async {
        let mut settings = settings();
        settings.memory = 0;
        let inbox = open(&Disk::new(), settings);
        for number in 1..=2 {
            assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
        }
        let blocks = tokio::task::spawn_blocking(move || ended.recv());
        let job = take_one(&inbox).await;
        let parked = inbox.park(&job).unwrap();
        assert!(patiently(inbox.unpark(&parked)).await.is_some());
        assert_eq!(list(&inbox).await.len(), 2);
        drop(end);
        assert!(patiently(blocks).await.unwrap().is_err());
    });
}
