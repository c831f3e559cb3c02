use crate::event::HandlerName;
use crate::event::RecordId;
use crate::inbox::sqlite::DiskInbox;
use crate::inbox::sqlite::seeded::{
    DEAD, DELAYED, DISCARDED, DONE, HELD, PENDING, PHONE, RUNNING, failed, keep, record, seed,
    stages,
};
use crate::inbox::{
    Inbox, Prefetch, RecordFilter, RecordState, Records, RecordsErrorKind, Settled, Stage,
};

async fn ids(records: &dyn Records, filter: &RecordFilter) -> Vec<u64> {
    let page = records.list(filter, None, 100).await.unwrap();
    page.records.iter().map(|record| record.id.get()).collect()
}

fn dead() -> RecordFilter {
    RecordFilter::new().state(RecordState::Dead)
}

#[tokio::test]
async fn every_stage_is_told_and_what_was_given_up_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    for (id, told) in [
        (PENDING, &["queued"][..]),
        (DONE, &["done"]),
        (DEAD, &["dead", "dead", "done"]),
        (DELAYED, &["delayed"]),
        (RUNNING, &["running"]),
        (HELD, &["held"]),
    ] {
        assert_eq!(stages(&inbox, id).await, told, "{id}");
    }
    assert!(record(&inbox, DISCARDED).await.is_none());
    assert!(record(&inbox, 99).await.is_none());
    let failed = record(&inbox, DELAYED).await.unwrap();
    assert_eq!(
        (failed.jobs[0].attempts, failed.jobs[0].history.len()),
        (1, 1)
    );

    let all = RecordFilter::new();
    assert_eq!(ids(&inbox, &all).await, [1, 2, 3, 4, 5, 7]);
    assert_eq!(ids(&inbox, &dead()).await, [DEAD]);
    let pending = RecordFilter::new().state(RecordState::Pending);
    assert_eq!(ids(&inbox, &pending).await, [1, 4, 5, 7]);
    let of_c = RecordFilter::new().handler(HandlerName::new("c"));
    assert_eq!(ids(&inbox, &of_c).await, [DEAD]);
    assert_eq!(ids(&inbox, &of_c.state(RecordState::Done)).await, [DEAD]);
    assert_eq!(
        ids(&inbox, &RecordFilter::new().resource_id("call-4")).await,
        [4]
    );
    assert_eq!(
        ids(&inbox, &RecordFilter::new().mentions("call-4")).await,
        [4]
    );
    assert_eq!(
        ids(&inbox, &RecordFilter::new().number(PHONE.parse().unwrap()))
            .await
            .len(),
        6
    );
}

#[tokio::test]
async fn a_page_that_holds_the_last_event_is_the_last_page() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    let all = RecordFilter::new();
    let mut after = None;
    let mut found = Vec::new();
    loop {
        let page = inbox.list(&all, after, 2).await.unwrap();
        assert_eq!(page.records.len(), 2);
        found.extend(page.records.iter().map(|record| record.id.get()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, [1, 2, 3, 4, 5, 7]);
    let end = inbox.list(&all, Some(RecordId::new(7)), 2).await.unwrap();
    assert!(end.records.is_empty() && end.next.is_none());
}

#[tokio::test]
async fn a_dead_letter_that_is_replayed_is_none_any_more_and_stays_as_a_finished_event_does() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    assert_eq!(inbox.stats().dead, 2);
    let (id, only) = (RecordId::new(DEAD), [HandlerName::new("b")]);
    let replay = inbox.replay(id, Some(&only)).await.unwrap();
    assert_eq!(stages(&inbox, DEAD).await, ["dead", "replayed", "done"]);
    assert_eq!(stages(&inbox, replay.get()).await, ["queued"]);
    let replayed = record(&inbox, replay.get()).await.unwrap();
    assert_eq!((replayed.replay_of, inbox.stats().dead), (Some(id), 1));

    assert_eq!(inbox.replay_all(&dead(), None).await.unwrap(), 1);
    let inbox = reopened(inbox, directory.path()).await;
    assert_eq!(stages(&inbox, DEAD).await, ["replayed", "replayed", "done"]);
    assert_eq!(record(&inbox, DEAD).await.unwrap().state, RecordState::Done);
    assert_eq!(inbox.stats().dead, 0);
    // Once more only for whom it is said.
    let again = inbox.replay(id, None).await.map_err(|error| error.kind());
    assert_eq!(again, Err(RecordsErrorKind::Replayed));
    let again = inbox.replay(id, Some(&only)).await.unwrap();
    assert_eq!(stages(&inbox, again.get()).await, ["queued"]);
    let nobody = inbox
        .replay(RecordId::new(DISCARDED), None)
        .await
        .map_err(|error| error.kind());
    assert_eq!(nobody, Err(RecordsErrorKind::NotFound));
}

async fn reopened(inbox: DiskInbox, directory: &std::path::Path) -> DiskInbox {
    inbox.closed().await;
    DiskInbox::open(directory).await.unwrap()
}

#[tokio::test]
async fn of_many_who_replay_a_dead_letter_at_once_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    let replays = (0..20).map(|_| inbox.replay(RecordId::new(DEAD), None));
    let replays = futures_util::future::join_all(replays).await;
    let (done, refused): (Vec<_>, Vec<_>) = replays.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (1, 19));
    let refused = refused.into_iter().filter_map(Result::err);
    assert!(
        refused
            .map(|error| error.kind())
            .all(|kind| kind == RecordsErrorKind::Replayed)
    );
}

#[tokio::test]
async fn a_replay_of_all_ends_even_if_each_replay_is_a_dead_letter_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    async fn dies(inbox: &DiskInbox) {
        let mut left = 150;
        while left > 0 {
            for job in inbox.take(Prefetch::for_jobs(left)).await.unwrap() {
                inbox.settle(&job, Settled::Dead { failed: None });
                left -= 1;
            }
        }
        inbox.flush().await.unwrap();
    }
    let kept = (1..=150).map(|number| keep(&inbox, number, &["a"], format!("[{number}]")));
    futures_util::future::join_all(kept).await;
    dies(&inbox).await;
    let taker = inbox.clone();
    let killer = tokio::spawn(async move { dies(&taker).await });
    assert_eq!(inbox.replay_all(&dead(), None).await.unwrap(), 150);
    killer.await.unwrap();
    assert_eq!((inbox.stats().dead, inbox.stats().events), (150, 0));
    assert_eq!(inbox.discard_all(&dead()).await.unwrap(), 150);
    assert_eq!(inbox.stats().dead, 0);
}

#[tokio::test]
async fn what_is_given_up_is_not_handed_out_and_what_is_settled_of_it_later_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    for number in 1..=3 {
        keep(&inbox, number, &["a"], format!("[{number}]")).await;
    }
    let job = inbox.take(Prefetch::for_jobs(1)).await.unwrap().remove(0);
    assert!(inbox.begin(&job).await.is_ok());
    let gone = [1, 2, 9].map(RecordId::new);
    assert_eq!(inbox.discard(&gone).await.unwrap(), 2);
    assert_eq!(
        inbox
            .take(Prefetch::for_jobs(1))
            .await
            .unwrap()
            .remove(0)
            .id(),
        3
    );
    inbox.settle(
        &job,
        Settled::Dead {
            failed: Some(failed("too late")),
        },
    );
    inbox.flush().await.unwrap();
    assert!(record(&inbox, 1).await.is_none());
    let left = inbox.read(|connection| {
        let sql = "SELECT (SELECT count(*) FROM attempt), (SELECT count(*) FROM job WHERE seq < 3), \
                   (SELECT count(*) FROM body)";
        Ok(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
    });
    assert_eq!(left.await.unwrap(), (0i64, 0i64, 1i64));
    assert_eq!((inbox.stats().events, inbox.stats().dead), (1, 0));
}

#[tokio::test]
async fn of_what_is_erased_nothing_is_left_in_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    let other = "+15557654321";
    keep(
        &inbox,
        8,
        &["a"],
        format!(r#"{{"type":"call_hangup","data":{{"id":"8","to":"{other}"}}}}"#),
    )
    .await;
    let replayed = inbox.replay(RecordId::new(DEAD), None).await.unwrap();
    let number = RecordFilter::new().number("+1 (555) 123-4567".parse().unwrap());
    assert_eq!(inbox.erase(&number).await.unwrap(), 7);
    assert_eq!(ids(&inbox, &RecordFilter::new()).await, [8]);
    assert!(record(&inbox, replayed.get()).await.is_none());
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for gone in [&PHONE[1..], "call-3"] {
            let found = bytes
                .windows(gone.len())
                .any(|window| window == gone.as_bytes());
            assert!(!found, "{gone} is in {}", path.display());
        }
    }
    let stage = record(&inbox, 8).await.unwrap().jobs[0].stage;
    assert_eq!(stage, Stage::Queued);
}
