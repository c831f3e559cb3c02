//! Dead letters that are handled again.

use super::*;
use crate::inbox::{Record, RecordFilter, RecordState, RecordsErrorKind, Stage};

async fn dies(inbox: &DiskInbox, jobs: usize) {
    let mut left = jobs;
    while left > 0 {
        for job in patiently(inbox.take(left)).await {
            let failed = Some(failed());
            inbox.settle(&job, Settled::Dead { failed });
            left -= 1;
        }
    }
    assert!(flushed(inbox).await);
}

async fn record(inbox: &DiskInbox, id: u64) -> Record {
    let record = patiently(inbox.get(RecordId::new(id))).await.unwrap();
    record.unwrap()
}

async fn stages(inbox: &DiskInbox, id: u64) -> Vec<&'static str> {
    let record = record(inbox, id).await;
    record.jobs.iter().map(|job| job.stage.as_str()).collect()
}

fn dead() -> RecordFilter {
    RecordFilter::new().state(RecordState::Dead)
}

/// An inbox with a dead letter for two handlers, on a disk of its own.
async fn with_a_dead_letter() -> (Disk, DiskInbox) {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    let kept = keep_for(&inbox, event(1), &["a", "b", "c"]);
    assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    let mut jobs = patiently(inbox.take(3)).await;
    inbox.settle(&jobs.remove(2), Settled::Done);
    for job in jobs {
        let failed = Some(failed());
        inbox.settle(&job, Settled::Dead { failed });
    }
    assert!(flushed(&inbox).await);
    (disk, inbox)
}

#[tokio::test]
async fn a_dead_letter_that_is_replayed_is_none_any_more_and_stays_as_a_finished_event_does() {
    let (disk, inbox) = with_a_dead_letter().await;
    assert_eq!(inbox.stats().dead, 2);
    let id = RecordId::new(1);
    let only = [HandlerName::new("b")];
    let replay = patiently(inbox.replay(id, Some(&only))).await.unwrap();
    assert_eq!(stages(&inbox, 1).await, ["dead", "replayed", "done"]);
    assert_eq!(
        (inbox.stats().dead, record(&inbox, 1).await.state),
        (1, RecordState::Dead)
    );
    assert_eq!(record(&inbox, replay.get()).await.replay_of, Some(id));

    assert_eq!(patiently(inbox.replay_all(&dead(), None)).await.unwrap(), 1);
    for inbox in [&inbox, &open_on(&disk.crash(0))] {
        assert_eq!(stages(inbox, 1).await, ["replayed", "replayed", "done"]);
        assert_eq!(record(inbox, 1).await.state, RecordState::Done);
        assert_eq!((inbox.stats().dead, inbox.stats().events), (0, 2));
        assert_eq!(inbox.shared().index().totals.dead_bytes, 0);
    }
    // Once more only for whom it is said.
    let again = patiently(inbox.replay(id, None)).await;
    let kind = again.map_err(|error| error.kind());
    assert_eq!(kind, Err(RecordsErrorKind::Replayed));
    let again = patiently(inbox.replay(id, Some(&only))).await.unwrap();
    assert_eq!(stages(&inbox, again.get()).await, ["queued"]);
    // It is kept no longer than what was done.
    let mut settings = settings();
    settings.retain_done = Duration::ZERO;
    let inbox = open(&disk.crash(0), settings);
    until(|| inbox.shared().index().key_of(1).is_none()).await;
}

#[tokio::test]
async fn of_many_who_replay_a_dead_letter_at_once_one_does() {
    let (_, inbox) = with_a_dead_letter().await;
    let replays = (0..20).map(|_| inbox.replay(RecordId::new(1), None));
    let replays = patiently(futures_util::future::join_all(replays)).await;
    let (done, refused): (Vec<_>, Vec<_>) = replays.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), inbox.stats().events), (1, 1));
    assert!(
        refused
            .into_iter()
            .all(|replay| replay.is_err_and(|error| error.kind() == RecordsErrorKind::Replayed))
    );
}

#[tokio::test]
async fn after_a_power_cut_either_the_dead_letter_or_its_replay_is_there() {
    let (mut dead, mut replayed) = (0, 0);
    for operation in 0..40 {
        let (disk, inbox) = with_a_dead_letter().await;
        disk.crash_at(disk.operations() + operation);
        patiently(inbox.replay(RecordId::new(1), None))
            .await
            .unwrap();
        assert!(flushed(&inbox).await);
        let inbox = open_on(&disk.crash(operation));
        let stats = inbox.stats();
        match (stats.dead, stats.events) {
            (2, 0) => dead += 1,
            (0, 1) => replayed += 1,
            both => panic!("{both:?} at {operation}"),
        }
        let stage = record(&inbox, 1).await.jobs[0].stage;
        assert_eq!(matches!(stage, Stage::Dead { .. }), stats.dead > 0);
    }
    assert!(dead > 0 && replayed > 0, "{dead} and {replayed}");
}

#[tokio::test]
async fn a_replay_that_cannot_be_stored_leaves_the_dead_letter() {
    for after in 0..4 {
        let (disk, inbox) = with_a_dead_letter().await;
        disk.fail(Fault {
            after,
            ..fails(Target::Sync, io::ErrorKind::Other, false)
        });
        let replay = patiently(inbox.replay(RecordId::new(1), None)).await;
        disk.heal();
        while !flushed(&inbox).await {}
        let expected = match replay {
            Ok(_) => ["replayed", "replayed", "done"],
            Err(error) => {
                assert_eq!(error.kind(), RecordsErrorKind::Storage);
                ["dead", "dead", "done"]
            }
        };
        for inbox in [&inbox, &open_on(&disk.kill())] {
            assert_eq!(stages(inbox, 1).await, expected, "after {after}");
        }
    }
}

#[tokio::test]
async fn a_replay_of_all_ends_even_if_each_replay_is_a_dead_letter_at_once() {
    let inbox = open_on(&Disk::new());
    for number in 1..=150 {
        assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
    }
    dies(&inbox, 150).await;
    let taker = inbox.clone();
    let killer = tokio::spawn(async move { dies(&taker, 150).await });
    let replayed = patiently(inbox.replay_all(&dead(), None)).await;
    assert_eq!(replayed.unwrap(), 150);
    patiently(killer).await.unwrap();
    assert_eq!((inbox.stats().dead, inbox.stats().events), (150, 0));
    let discarded = patiently(inbox.discard_all(&dead())).await;
    assert_eq!((discarded.unwrap(), inbox.stats().dead), (150, 0));
}

#[tokio::test]
async fn a_job_without_a_handler_is_listed_as_held_until_there_is_one() {
    let inbox = open_on(&Disk::new());
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    inbox.attach().unwrap();
    inbox.settle(&take_one(&inbox).await, Settled::Held);
    assert_eq!(stages(&inbox, 1).await, ["held"]);
    assert_eq!(record(&inbox, 1).await.state, RecordState::Pending);
    inbox.close();
    inbox.detach();
    inbox.attach().unwrap();
    assert_eq!(stages(&inbox, 1).await, ["queued"]);
    assert_eq!(take_one(&inbox).await.id(), 1);
}

/// As a commit leaves them that failed after it had reached the disk.
#[tokio::test]
async fn an_event_that_was_refused_is_not_listed_though_it_is_in_the_file() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    {
        let store = inbox.shared().store.read().unwrap();
        let store = store.as_ref().unwrap();
        let mut chunk = store.chunk(1).unwrap().unwrap();
        chunk.events[0].0.seq = 100;
        let rows = store::Changes {
            chunks: vec![(100, chunk.encode(100).unwrap())],
            heads: vec![(100, chunk.encode_heads(100).unwrap())],
            ..store::Changes::default()
        };
        store.commit(&rows).unwrap();
    }
    let all = RecordFilter::new();
    let page = patiently(inbox.list(&all, None, 10)).await.unwrap();
    let ids: Vec<u64> = page.records.iter().map(|record| record.id.get()).collect();
    assert_eq!(ids, [1]);
    let refused = patiently(inbox.get(RecordId::new(100))).await.unwrap();
    assert!(refused.is_none());
}
