//! What is known of the attempts that ended badly: in a row of its own for each event.

use super::*;
use crate::inbox::disk::record::Attempts;
use crate::inbox::{Record, RecordFilter};

fn failed_with(text: &str) -> Attempt {
    let ended = AttemptEnd::Failed(text.into());
    Attempt::new(SystemTime::now(), Duration::from_millis(1), ended)
}

fn ends(history: &[Attempt]) -> Vec<String> {
    let ends = history.iter();
    ends.map(|attempt| attempt.ended.to_string()).collect()
}

async fn records(inbox: &DiskInbox) -> Vec<Record> {
    let all = RecordFilter::new();
    let all = inbox.list(&all, None, usize::MAX);
    patiently(all).await.unwrap().records
}

fn rows(inbox: &DiskInbox) -> Vec<(u64, Attempts)> {
    let store = inbox.shared().store.read().unwrap();
    let rows = store.as_ref().unwrap().attempts(0..=u64::MAX).unwrap();
    rows.into_iter().collect()
}

async fn fails_once(inbox: &DiskInbox, text: &str, after: Duration) -> Vec<String> {
    let job = take_one(inbox).await;
    assert!(patiently(inbox.begin(&job)).await);
    let known = job.past().map(|past| ends(&past.history));
    let failed = failed_with(text);
    inbox.settle(&job, Settled::Retry { failed, after });
    known.unwrap_or_default()
}

#[tokio::test]
async fn the_attempts_before_come_with_each_job_before_they_are_stored_too() {
    let mut settings = settings();
    // An end is written with the next beginning at the earliest.
    settings.completion_delay = PATIENCE * 100;
    let inbox = open(&Disk::new(), settings);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    let mut expected = Vec::new();
    for number in 1..=20 {
        let text = format!("attempt {number}");
        let known = fails_once(&inbox, &text, Duration::ZERO).await;
        let first = expected.len().saturating_sub(16);
        assert_eq!(known, expected[first..], "attempt {number}");
        expected.push(text);
    }
}

#[tokio::test]
async fn the_attempts_at_each_handler_outlive_a_power_cut_and_go_with_the_body() {
    let mut settings = settings();
    settings.retain_dead = Duration::ZERO;
    let mut disk = Disk::new();
    let mut inbox = open(&disk, settings.clone());
    let kept = keep_for(&inbox, event(1), &["a", "b"]);
    assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    for life in 0..3 {
        let mut jobs = Vec::new();
        while jobs.len() < 2 {
            jobs.extend(patiently(inbox.take(2)).await);
        }
        for job in jobs {
            let name = job.handler();
            let known = job.past().map(|past| ends(&past.history));
            let expected: Vec<String> = (0..life).map(|life| format!("{name}{life}")).collect();
            assert_eq!(known.unwrap_or_default(), expected);
            let failed = failed_with(&format!("{name}{life}"));
            let after = Duration::ZERO;
            let outcome = match life {
                2 => Settled::Dead {
                    failed: Some(failed),
                },
                _ => Settled::Retry { failed, after },
            };
            inbox.settle(&job, outcome);
        }
        assert!(flushed(&inbox).await);
        assert!(life == 2 || rows(&inbox).len() == 1);
        disk = disk.crash(life);
        inbox = open(&disk, settings.clone());
    }
    until(|| inbox.shared().index().totals.stored == 0).await;
    assert!(flushed(&inbox).await);
    assert_eq!(rows(&inbox), []);
}

#[tokio::test]
async fn an_interrupted_attempt_is_listed_among_the_others() {
    let mut disk = Disk::new();
    let mut inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    fails_once(&inbox, "the first", Duration::ZERO).await;
    let job = take_one(&inbox).await;
    assert!(patiently(inbox.begin(&job)).await);
    let died = AttemptEnd::Interrupted.to_string();
    for _ in 0..2 {
        disk = disk.kill();
        inbox = open_on(&disk);
        let listed = records(&inbox).await.remove(0).jobs.remove(0);
        assert_eq!(ends(&listed.history), ["the first", &*died]);
        assert_eq!(listed.attempts, 2);
    }
    let job = take_one(&inbox).await;
    let past = job.past().unwrap();
    assert_eq!(ends(&past.history), ["the first", &*died]);
    assert!(past.interrupted);
    inbox.settle(&job, Settled::Done);
    // What it took to get there stays to be seen.
    let done = records(&inbox).await.remove(0).jobs.remove(0);
    assert_eq!((ends(&done.history).len(), done.attempts), (2, 2));
}

#[tokio::test]
async fn an_attempt_whose_write_failed_is_written_once_when_it_can_be() {
    for round in 0..16 {
        let disk = Disk::new();
        let inbox = open_on(&disk);
        assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
        let job = take_one(&inbox).await;
        assert!(patiently(inbox.begin(&job)).await);
        // The later ones fail when all of the commit has reached the disk.
        disk.fail(Fault {
            after: round % 4,
            ..fails(Target::Sync, io::ErrorKind::Other, false)
        });
        let failed = failed_with("once");
        let after = PATIENCE * 100;
        inbox.settle(&job, Settled::Retry { failed, after });
        until(|| !disk.is_faulty() || round % 4 > 0).await;
        disk.heal();
        until(|| !inbox.stats().failing).await;
        while !flushed(&inbox).await {}
        for disk in [disk.clone(), disk.crash(round)] {
            let listed = records(&open_on(&disk.kill()))
                .await
                .remove(0)
                .jobs
                .remove(0);
            assert_eq!(ends(&listed.history), ["once"], "round {round}");
            assert_eq!(listed.attempts, 1);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_long_history_stays_in_memory_or_is_written_again_for_other_events() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    for number in 1..=8 {
        assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
    }
    for _ in 0..8 {
        fails_once(&inbox, &"x".repeat(1000), PATIENCE * 100).await;
    }
    assert!(flushed(&inbox).await);
    assert!(inbox.shared().index().counted().is_empty());
    assert!(inbox.shared().index().noted(0..=u64::MAX).is_empty());
    assert_eq!(rows(&inbox).len(), 8);
    let store = inbox.shared().store.read().unwrap();
    for row in store.as_ref().unwrap().rows(0, 100).unwrap() {
        let progress = row.progress.unwrap().encode(row.key).unwrap();
        assert!(progress.len() < 100, "{}", progress.len());
    }
}
