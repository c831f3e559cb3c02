use std::fs;
use std::path::Path;

use super::Snapshot;
use crate::inbox::sqlite::DiskInbox;
use crate::inbox::sqlite::schema::FILE;
use crate::inbox::sqlite::seeded::seed;

fn entries(directory: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap());
    let mut entries: Vec<_> = files
        .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
        .collect();
    entries.sort();
    entries
}

fn bodies(snapshot: &Snapshot) -> i64 {
    let count = "SELECT count(*) FROM body";
    snapshot
        .connection
        .query_row(count, [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn where_nothing_can_be_written_a_file_is_read_as_it_is_and_one_with_a_log_is_copied() {
    let place = tempfile::tempdir().unwrap();
    let (closed, killed) = (place.path().join("a?b#c%20 d"), place.path().join("killed"));
    let inbox = DiskInbox::open(&closed).await.unwrap();
    seed(&inbox).await;
    fs::create_dir(&killed).unwrap();
    for file in [FILE, "inbox.db-wal"] {
        fs::copy(closed.join(file), killed.join(file)).unwrap();
    }
    inbox.closed().await;
    for directory in [&closed, &killed] {
        let before = entries(directory);
        let has_log = before
            .iter()
            .any(|(name, bytes)| name == "inbox.db-wal" && !bytes.is_empty());
        assert_eq!(has_log, directory == &killed);
        let snapshot = Snapshot::of(directory, false).unwrap();
        assert_eq!(bodies(&snapshot), 6);
        assert_eq!(entries(directory), before);
        let copy = snapshot._copy.as_ref().map(|copy| copy.0.clone());
        assert_eq!(copy.is_some(), has_log);
        drop(snapshot);
        assert!(
            copy.is_none_or(|copy| !copy.exists()),
            "personal data is left behind"
        );
    }
}
