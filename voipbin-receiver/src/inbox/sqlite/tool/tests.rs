use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{DiskRecords, Holder};
use crate::event::RecordId;
use crate::inbox::sqlite::DiskInbox;
use crate::inbox::sqlite::schema::FILE;
use crate::inbox::sqlite::seeded::{
    DEAD, DELAYED, HELD, PHONE, RUNNING, keep, record, seed, stages,
};
use crate::inbox::{
    DiskInboxErrorKind, Prefetch, RecordFilter, RecordState, Records, RecordsErrorKind, Settled,
};

async fn ids(records: &dyn Records) -> Vec<u64> {
    let page = records.list(&RecordFilter::new(), None, 100).await.unwrap();
    page.records.iter().map(|record| record.id.get()).collect()
}

#[tokio::test]
async fn beside_the_inbox_a_tool_sees_what_it_sees_and_what_it_asks_for_is_done_there() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    let tool = DiskRecords::open(directory.path()).unwrap();
    assert!(tool.is_served());
    for id in ids(&tool).await {
        assert_eq!(stages(&tool, id).await, stages(&inbox, id).await, "{id}");
    }
    let dead = RecordFilter::new().state(RecordState::Dead);
    assert_eq!(tool.replay_all(&dead, None).await.unwrap(), 1);
    let taken = inbox.take(Prefetch::for_jobs(2)).await.unwrap();
    assert!(
        taken
            .iter()
            .all(|job| job.replay_of() == Some(RecordId::new(DEAD)))
    );
    for job in &taken {
        inbox.settle(job, Settled::Done);
    }
    let again = tool
        .replay(RecordId::new(DEAD), None)
        .await
        .map_err(|error| error.kind());
    assert_eq!(again, Err(RecordsErrorKind::Replayed));
    let missing = tool
        .replay(RecordId::new(99), None)
        .await
        .map_err(|error| error.kind());
    assert_eq!(missing, Err(RecordsErrorKind::NotFound));
    assert_eq!(
        tool.discard(&[RecordId::new(DELAYED), RecordId::new(99)])
            .await
            .unwrap(),
        1
    );
    assert!(record(&inbox, DELAYED).await.is_none());
    assert_eq!(
        tool.erase(&RecordFilter::new().mentions("call-1"))
            .await
            .unwrap(),
        1
    );
    let wal = fs::metadata(directory.path().join("inbox.db-wal")).unwrap();
    assert_eq!(wal.len(), 0);
}

#[tokio::test]
async fn without_a_process_what_ran_was_cut_short_and_changes_open_the_inbox() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    seed(&inbox).await;
    inbox.closed().await;
    let tool = DiskRecords::open(directory.path()).unwrap();
    assert!(!tool.is_served());
    let running = record(&tool, RUNNING).await.unwrap();
    assert_eq!(
        (running.jobs[0].stage.as_str(), running.jobs[0].attempts),
        ("queued", 1)
    );
    // Who has a handler is not known now.
    assert_eq!(stages(&tool, HELD).await, ["queued"]);
    let before = ids(&tool).await;
    let new = tool.replay(RecordId::new(DEAD), None).await.unwrap();
    assert!(!tool.is_served());
    let locked = DiskInbox::open(directory.path())
        .await
        .map(drop)
        .map_err(|error| error.kind());
    assert_eq!(locked, Err(DiskInboxErrorKind::AlreadyOpen));
    tool.closed().await;
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    let mut after = before;
    after.push(new.get());
    assert_eq!(ids(&inbox).await, after);
}

#[tokio::test]
async fn a_backup_beside_the_inbox_goes_on_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (directory, restored) = (place.path().join("inbox"), place.path().join("restored"));
    let inbox = DiskInbox::open(&directory).await.unwrap();
    seed(&inbox).await;
    // Of what is kept meanwhile it has some or none.
    let busy = inbox.clone();
    let keeping = tokio::spawn(async move {
        for number in 100..600 {
            keep(&busy, number, &["a"], format!("[{number}]")).await;
        }
    });
    let tool = DiskRecords::open(&directory).unwrap();
    fs::create_dir(&restored).unwrap();
    let file = restored.join(FILE);
    let report = tool.backup(&file).await.unwrap();
    keeping.await.unwrap();
    assert!(
        report.is_whole() && report.events >= 6 && report.identities == 1,
        "{report:?}"
    );
    let names: Vec<_> = fs::read_dir(&restored)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(names, [FILE]);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let there = tool.backup(&file).await.map_err(|error| error.kind());
    assert_eq!(there, Err(DiskInboxErrorKind::AlreadyExists));

    let copy = DiskInbox::open(&restored).await.unwrap();
    for id in 1..=HELD {
        let (was, is) = (record(&inbox, id).await, record(&copy, id).await);
        let (Some(was), Some(is)) = (was, is) else {
            continue;
        };
        assert_eq!(was.delivery.body(), is.delivery.body());
        assert_eq!(was.delivery.identity(), is.delivery.identity());
        if ![RUNNING, HELD].contains(&id) {
            assert_eq!(was.jobs, is.jobs, "{id}");
        }
    }
    assert_eq!(stages(&copy, RUNNING).await, ["queued"]);
    // Numbers are never used again.
    keep(&copy, 1000, &["a"], "[1000]".into()).await;
    assert!(*ids(&copy).await.last().unwrap() > 600.min(report.events));
    // Who was kept before is known.
    let copies = RecordFilter::new().number(PHONE.parse().unwrap());
    assert_eq!(copy.list(&copies, None, 10).await.unwrap().records.len(), 6);
}

#[tokio::test]
async fn to_look_changes_nothing_and_tells_what_is_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let none = DiskRecords::open(directory.path())
        .map(drop)
        .map_err(|error| error.kind());
    assert_eq!(none, Err(DiskInboxErrorKind::NotFound));
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    let held = DiskRecords::check(directory.path()).unwrap();
    assert_eq!(
        held,
        Some(Holder {
            pid: Some(std::process::id())
        })
    );
    seed(&inbox).await;
    inbox.closed().await;
    let files = || {
        let mut files: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    assert_eq!(DiskRecords::check(directory.path()).unwrap(), None);
    assert_eq!(files(), before);
    fs::write(directory.path().join(FILE), b"").unwrap();
    let before = files();
    for missing in [
        DiskRecords::check(directory.path()).map(drop),
        DiskRecords::open(directory.path()).map(drop),
        DiskInbox::open(directory.path()).await.map(drop),
    ] {
        assert_eq!(
            missing.map_err(|error| error.kind()),
            Err(DiskInboxErrorKind::Missing)
        );
    }
    let after = files();
    let same = |name: &str| {
        let of = |files: &[(std::ffi::OsString, Vec<u8>)]| {
            files.iter().find(|(file, _)| file == name).cloned()
        };
        assert_eq!(of(&after), of(&before), "{name}");
    };
    same(FILE);
    same("inbox.db-wal");
    let anew = DiskInbox::builder(directory.path())
        .recreate(true)
        .open()
        .await
        .unwrap();
    assert!(ids(&anew).await.is_empty());
}
