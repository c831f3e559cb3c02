use std::fs;

use rusqlite::Connection;
use tempfile::tempdir;

use super::*;

/// A log with ten commits of two pages or so each, of which none is in the file yet.
fn log() -> Vec<u8> {
    let directory = tempdir().unwrap();
    let path = directory.path().join("file");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE a (b)",
    )
    .unwrap();
    for _ in 0..9 {
        file.execute("INSERT INTO a VALUES (randomblob(5000))", [])
            .unwrap();
    }
    fs::read(directory.path().join("file-wal")).unwrap()
}

/// Frames, and the numbers of those that end a commit.
fn frames(log: &[u8]) -> (usize, Vec<usize>) {
    let size = FRAME_HEADER + 4096;
    let frames = (log.len() - HEADER) / size;
    let ends = (0..frames).filter(|frame| word(log, HEADER + frame * size + 4) != 0);
    (size, ends.collect())
}

#[test]
fn what_is_whole_is_taken_to_the_end_and_what_is_torn_up_to_the_last_commit() {
    let log = log();
    let (size, ends) = frames(&log);
    let whole = Extent {
        taken: log.len(),
        loses: false,
    };
    assert_eq!(extent(&log), whole);
    let before_the_last = HEADER + (ends[ends.len() - 2] + 1) * size;
    for torn in (before_the_last..log.len()).step_by(512) {
        let extent = extent(&log[..torn]);
        assert_eq!((extent.taken, extent.loses), (before_the_last, false));
        // Behind it is what the file system had there.
        let mut log = log.clone();
        log[torn..].fill(0);
        assert_eq!(super::extent(&log), extent);
    }
    assert_eq!(
        extent(&[]),
        Extent {
            taken: 0,
            loses: false
        }
    );
}

#[test]
fn damage_to_what_was_synced_is_seen_unless_it_may_be_torn() {
    let whole = log();
    let (size, ends) = frames(&whole);
    let last = HEADER + (ends[ends.len() - 2] + 1) * size;
    let last_head = HEADER + ends[ends.len() - 2] * size;
    let mut seen = 0;
    for at in (0..whole.len()).step_by(97) {
        let mut log = whole.clone();
        log[at] ^= 0x10;
        let loses = extent(&log).loses;
        let may_be_torn = at >= last || (last_head..last_head + FRAME_HEADER).contains(&at);
        assert_eq!(loses, !may_be_torn, "byte {at} of {}", log.len());
        seen += usize::from(loses);
    }
    assert!(seen > 100);
}

#[test]
fn what_was_written_before_the_log_began_again_is_nobodys_loss() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("file");
    let file = Connection::open(&path).unwrap();
    file.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE a (b)",
    )
    .unwrap();
    for _ in 0..9 {
        file.execute("INSERT INTO a VALUES (randomblob(5000))", [])
            .unwrap();
    }
    let first = fs::read(directory.path().join("file-wal")).unwrap();
    file.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
        .unwrap();
    file.execute("INSERT INTO a VALUES (1)", []).unwrap();
    let log = directory.path().join("file-wal");
    let before = fs::read(&log).unwrap();
    let found = extent(&before);
    assert!(!found.loses && found.taken < before.len());
    // The disk was full in the midst of the new header.
    for written in 0..=HEADER {
        let mut torn = first.clone();
        torn[..written].copy_from_slice(&before[..written]);
        assert!(!extent(&torn).loses, "{written} bytes");
    }
    prepare(&log).unwrap();
    assert_eq!(fs::read(&log).unwrap(), before[..found.taken]);
}
