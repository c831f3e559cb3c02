use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{FILE, TAG, check, create, mark, open_to_others, prepare, set_aside};
use crate::inbox::DiskInboxErrorKind;
use crate::inbox::sqlite::schema::{self, Access};

fn inbox() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path()).unwrap();
    let file = directory.path().join(FILE);
    let connection = schema::open(&file, Access::Write).unwrap();
    connection
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .unwrap();
    mark(directory.path()).unwrap();
    directory
}

fn refused(directory: &Path) -> Option<DiskInboxErrorKind> {
    check(directory).err().map(|error| error.kind())
}

#[test]
fn a_new_directory_is_its_owners_and_so_is_what_is_made_in_it() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("a/b");
    create(&directory).unwrap();
    create(&directory).unwrap();
    prepare(&directory).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path().join("a")), 0o700);
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join(FILE)), 0o600);
    assert_eq!(refused(&directory), None, "nothing was kept there");
}

#[test]
fn a_file_that_is_gone_empty_or_zeroed_is_a_loss_where_there_was_one() {
    let directory = inbox();
    let file = directory.path().join(FILE);
    assert_eq!(refused(directory.path()), None);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, vec![0; whole.len()]).unwrap();
    assert_eq!(refused(directory.path()), Some(DiskInboxErrorKind::Missing));
    fs::write(&file, b"").unwrap();
    assert_eq!(refused(directory.path()), Some(DiskInboxErrorKind::Missing));
    fs::remove_file(&file).unwrap();
    assert_eq!(refused(directory.path()), Some(DiskInboxErrorKind::Missing));
    fs::remove_file(directory.path().join(TAG)).unwrap();
    assert_eq!(refused(directory.path()), None);
    fs::write(directory.path().join("inbox.db-wal"), b"what was kept last").unwrap();
    assert_eq!(refused(directory.path()), Some(DiskInboxErrorKind::Missing));
}

#[test]
fn a_file_that_is_cut_or_another_programs_is_damaged_and_a_later_releases_is_not() {
    let directory = inbox();
    let file = directory.path().join(FILE);
    let mut whole = fs::read(&file).unwrap();
    for bytes in [1, 99, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..bytes]).unwrap();
        assert_eq!(
            refused(directory.path()),
            Some(DiskInboxErrorKind::Damaged),
            "{bytes}"
        );
    }
    whole[63] = 99;
    fs::write(&file, &whole).unwrap();
    assert_eq!(
        refused(directory.path()),
        Some(DiskInboxErrorKind::NewerFormat)
    );
    whole[68] = 1;
    fs::write(&file, &whole).unwrap();
    assert_eq!(refused(directory.path()), Some(DiskInboxErrorKind::Damaged));
}

#[test]
fn what_cannot_be_opened_is_set_aside_and_not_removed() {
    let directory = inbox();
    fs::write(directory.path().join(FILE), b"granite").unwrap();
    let aside = set_aside(directory.path()).unwrap();
    assert_eq!(fs::read(aside.join(FILE)).unwrap(), b"granite");
    assert!(!directory.path().join(FILE).exists());
}

#[test]
fn no_advice_shuts_the_process_out() {
    let directory = inbox();
    let path = directory.path();
    fs::write(path.join(crate::inbox::sqlite::requests::FILE), b"").unwrap();
    let advice = |mode: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let open = open_to_others(path);
        open.into_iter()
            .map(|(_, _, advice)| advice)
            .collect::<Vec<_>>()
    };
    assert!(advice(0o700).is_empty());
    assert!(advice(0o750)[0].contains("chmod go="));
    // Shared with a group on purpose.
    assert!(advice(0o2770).is_empty());
    let shared = advice(0o2775);
    assert!(
        shared[0].contains("chmod o=") && !shared[0].contains("go="),
        "{shared:?}"
    );
}
