use super::{DirLock, holder_of};
use crate::inbox::DiskInboxErrorKind;
use crate::inbox::sqlite::LOCK_FILE;

#[test]
fn a_directory_is_one_inboxs_at_a_time_and_whose_is_told_while_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    assert_eq!(holder_of(path), None);
    let lock = DirLock::acquire(path, LOCK_FILE).unwrap();
    let second = DirLock::acquire(path, LOCK_FILE).map_err(|error| error.kind());
    assert_eq!(second.err(), Some(DiskInboxErrorKind::AlreadyOpen));
    for _ in 0..2 {
        // Whoever looks does not take it away.
        assert_eq!(holder_of(path), Some(Some(std::process::id())));
    }
    drop(lock);
    assert_eq!(holder_of(path), None);
    DirLock::acquire(path, LOCK_FILE).unwrap();
}

/// A lock of the kind that belongs to a process: a child that it forks does not inherit it, unlike
/// those of `flock` and of open file descriptions.
#[cfg(target_os = "linux")]
#[test]
fn the_child_of_a_dead_process_does_not_have_its_lock() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let _lock = DirLock::acquire(directory.path(), LOCK_FILE).unwrap();
    let file = std::fs::metadata(directory.path().join(LOCK_FILE)).unwrap();
    let inode = format!(":{} ", file.ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let own: Vec<&str> = locks.lines().filter(|line| line.contains(&inode)).collect();
    assert!(!own.is_empty(), "{locks}");
    assert!(own.iter().all(|line| line.contains(" POSIX ")), "{own:?}");
}
