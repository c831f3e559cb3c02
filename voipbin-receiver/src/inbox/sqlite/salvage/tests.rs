use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::copy_readable;
use crate::inbox::sqlite::DiskInbox;
use crate::inbox::sqlite::schema::FILE;
use crate::inbox::sqlite::seeded::{DEAD, DISCARDED, keep, record, seed, stages};
use crate::inbox::{
    CopyReport, DiskInboxErrorKind, Inbox, Prefetch, RecordFilter, RecordState, Records, Settled,
};

/// A disk with an unreadable part.
struct Broken(Cursor<Vec<u8>>, Range<u64>);

impl Read for Broken {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let at = self.0.position();
        if self.1.contains(&at) {
            return Err(io::Error::other("unreadable"));
        }
        let before = self.1.start.checked_sub(at).filter(|before| *before > 0);
        let most = before.map_or(to.len(), |before| to.len().min(before as usize));
        self.0.read(&mut to[..most])
    }
}

impl Seek for Broken {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn around_a_sector_that_cannot_be_read_all_else_is() {
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|at| (at % 251) as u8).collect();
    for broken in [0..1, 1_500_000..1_500_700, 2_999_000..3_000_001] {
        let mut copied = Cursor::new(Vec::new());
        let mut from = Broken(Cursor::new(bytes.clone()), broken.clone());
        let unreadable = copy_readable(&mut from, &mut copied, bytes.len() as u64).unwrap();
        assert!((1..=8192).contains(&unreadable), "{unreadable}");
        let copied = copied.into_inner();
        assert_eq!(copied.len(), bytes.len());
        let differ: Vec<u64> = (0..bytes.len())
            .filter(|at| copied[*at] != bytes[*at])
            .map(|at| at as u64)
            .collect();
        assert!(
            differ
                .iter()
                .all(|at| { *at + 4096 > broken.start && *at < broken.end + 4096 })
        );
    }
}

async fn inbox(directory: &Path) -> DiskInbox {
    let inbox = DiskInbox::open(directory).await.unwrap();
    seed(&inbox).await;
    inbox
}

fn salvaged(from: &Path, to: &Path) -> CopyReport {
    let before = fs::read(from.join(FILE)).unwrap();
    let report = DiskInbox::salvage(from, to).unwrap();
    assert_eq!(
        fs::read(from.join(FILE)).unwrap(),
        before,
        "the source was changed"
    );
    let left: BTreeSet<_> = fs::read_dir(to)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|file| file.to_str().unwrap().starts_with("inbox.")),
        "{left:?}"
    );
    report
}

#[tokio::test]
async fn of_a_file_that_is_whole_all_comes_back_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (from, to) = (place.path().join("from"), place.path().join("to"));
    let was = inbox(&from).await;
    let busy = DiskInbox::salvage(&from, &to).map_err(|error| error.kind());
    assert!(
        matches!(busy, Err(DiskInboxErrorKind::Locked { .. })),
        "{busy:?}"
    );
    was.closed().await;
    let report = salvaged(&from, &to);
    assert!(report.is_whole());
    assert_eq!(
        (report.events, report.unfinished, report.identities),
        (6, 4, 1)
    );
    let again = DiskInbox::salvage(&from, &to).map_err(|error| error.kind());
    assert_eq!(again, Err(DiskInboxErrorKind::AlreadyExists));
    let none = DiskInbox::salvage(place.path(), &to).map_err(|error| error.kind());
    assert_eq!(none, Err(DiskInboxErrorKind::NotFound));
    let is = DiskInbox::open(&to).await.unwrap();
    assert_eq!(stages(&is, DEAD).await, ["dead", "dead", "done"]);
    assert!(record(&is, DISCARDED).await.is_none());
    assert_eq!((is.stats().events, is.stats().dead), (4, 2));
}

/// What is in the write-ahead log alone is part of it, as after a kill.
#[tokio::test]
async fn what_was_never_brought_into_the_file_comes_back_too() {
    let place = tempfile::tempdir().unwrap();
    let [from, killed, to] = ["from", "killed", "to"].map(|name| place.path().join(name));
    let inbox = inbox(&from).await;
    fs::create_dir(&killed).unwrap();
    for file in [FILE, "inbox.db-wal"] {
        fs::copy(from.join(file), killed.join(file)).unwrap();
    }
    assert!(fs::metadata(killed.join("inbox.db-wal")).unwrap().len() > 0);
    let report = salvaged(&killed, &to);
    assert!(report.is_whole() && report.events == 6, "{report:?}");
    drop(inbox);
}

/// Of 300 events the first 100 are done and the next 50 dead. Two of the others have the same
/// bytes.
async fn many(directory: &Path) {
    let inbox = DiskInbox::open(directory).await.unwrap();
    for number in 1..=300 {
        let body = if number > 298 { 298 } else { number };
        keep(
            &inbox,
            number,
            &["a"],
            format!("[{body},\"{}\"]", "x".repeat(900)),
        )
        .await;
    }
    let mut taken = 0;
    while taken < 150 {
        for job in inbox.take(Prefetch::for_jobs(150 - taken)).await.unwrap() {
            taken += 1;
            match job.id() {
                ..=100 => inbox.settle(&job, Settled::Done),
                _ => inbox.settle(&job, Settled::Dead { failed: None }),
            }
        }
    }
    inbox.flush().await.unwrap();
    inbox.closed().await;
}

/// Each page of the file in turn is zeroed: no event of another page is lost, none is taken for
/// done that is not, and what is lost is told of.
#[tokio::test]
async fn around_a_page_that_is_damaged_all_else_comes_back_and_no_state_is_mistaken() {
    const PAGE: usize = 16_384;
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    many(&whole).await;
    let bytes = fs::read(whole.join(FILE)).unwrap();
    for page in 0..bytes.len() / PAGE {
        let (from, to) = (
            place.path().join(format!("from-{page}")),
            place.path().join(format!("to-{page}")),
        );
        fs::create_dir(&from).unwrap();
        let mut damaged = bytes.clone();
        damaged[page * PAGE..][..PAGE].fill(if page % 2 == 0 { 0 } else { 0xa5 });
        fs::write(from.join(FILE), &damaged).unwrap();
        let report = DiskInbox::salvage(&from, &to).unwrap();
        if page == 0 {
            assert!(report.is_whole(), "{report:?}");
        }
        let is = DiskInbox::open(&to).await.unwrap();
        let all = is
            .list(&RecordFilter::new(), None, 1000)
            .await
            .unwrap()
            .records;
        let lost: BTreeSet<u64> = report.lost.iter().map(|lost| lost.id.get()).collect();
        let unread = |id: u64| {
            report
                .unread
                .iter()
                .any(|range| range.contains(&crate::event::RecordId::new(id)))
        };
        let found: BTreeSet<u64> = all.iter().map(|record| record.id.get()).collect();
        for id in 1..=300 {
            // Of what is done the identity alone may be left.
            let told = found.contains(&id) || lost.contains(&id) || unread(id) || id <= 100;
            assert!(told, "page {page}: event {id} is lost in silence");
        }
        for record in &all {
            let id = record.id.get();
            let expected = match id {
                ..=100 => RecordState::Done,
                101..=150 => RecordState::Dead,
                _ => RecordState::Pending,
            };
            assert_eq!(record.state, expected, "page {page}: event {id}");
        }
        is.closed().await;
    }
}
