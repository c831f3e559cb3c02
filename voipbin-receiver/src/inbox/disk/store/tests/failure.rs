//! Writes and syncs that fail.

use std::io;

use super::*;
use crate::inbox::disk::faults::{Fault, Target};

fn failing(seed: u64, random: &mut Random) -> Fault {
    let target = match random.below(3) {
        0 => Target::Sync,
        _ => Target::Write,
    };
    let errors = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::QuotaExceeded,
        io::ErrorKind::Other,
    ];
    Fault {
        target,
        after: random.below(12) as u64,
        error: errors[random.below(3)],
        lasting: random.below(2) == 0,
        forget: (target == Target::Sync).then_some(seed),
    }
}

fn expected(fault: Fault) -> StoreErrorKind {
    match fault.error {
        io::ErrorKind::Other => StoreErrorKind::Io,
        _ => StoreErrorKind::NoSpace,
    }
}

#[test]
fn a_failed_commit_breaks_the_store_and_leaves_whole_commits_when_it_is_opened_again() {
    let mut failed = 0;
    for seed in 0..600 {
        let mut random = Random::new(seed);
        let disk = Disk::new();
        let mut model = Model::default();
        let mut maker = Commit::default();
        let mut store = open(&disk);
        for _ in 0..random.below(4) {
            store
                .commit(&maker.random(&mut model, &mut random))
                .unwrap();
        }
        let fault = failing(seed, &mut random);
        disk.fail(fault);
        for _ in 0..10 {
            let before = model.clone();
            let changes = maker.random(&mut model, &mut random);
            let Err(error) = store.commit(&changes) else {
                continue;
            };
            failed += 1;
            assert_eq!(error.kind(), expected(fault), "seed {seed}");
            assert!(store.is_broken());
            assert_eq!(kind(store.commit(&changes)), Some(StoreErrorKind::Closed));
            assert_eq!(kind(store.chunk(0)), Some(StoreErrorKind::Closed));
            assert_eq!(kind(store.load(|_| ())), Some(StoreErrorKind::Closed));
            drop(store);

            // While it lasts, opening may fail, and must not make anything worse.
            let again = Store::open_on(disk.clone(), CACHE).map(|store| content(&store));
            match again {
                Ok(found) => assert!([&before, &model].contains(&&found), "seed {seed}"),
                Err(error) => assert_eq!(error.kind(), expected(fault), "seed {seed}"),
            }
            disk.heal();
            store = open(&disk);
            let found = content(&store);
            assert!([&before, &model].contains(&&found), "seed {seed}");

            // What the opened store shows is there to stay, forgotten writes or not.
            let after = open(&disk.crash(seed));
            assert_eq!(content(&after), found, "seed {seed}");

            model = found;
            let changes = maker.random(&mut model, &mut random);
            store.commit(&changes).unwrap();
            break;
        }
        assert_eq!(content(&store), model, "seed {seed}");
        drop(store);
        assert_eq!(content(&open(&disk)), model, "seed {seed}");
    }
    assert!(failed > 400, "{failed}");
}

#[test]
fn a_file_that_cannot_be_created_for_lack_of_room_can_be_later() {
    for after in 0..8 {
        for target in [Target::Write, Target::Sync] {
            let disk = Disk::new();
            disk.fail(Fault {
                target,
                after,
                error: io::ErrorKind::StorageFull,
                lasting: true,
                forget: None,
            });
            if let Err(error) = Store::open_on(disk.clone(), CACHE) {
                assert_eq!(error.kind(), StoreErrorKind::NoSpace);
            }
            disk.heal();
            assert_eq!(content(&open(&disk)), Model::default());
        }
    }
}

#[test]
fn a_full_disk_is_told_from_other_errors_wherever_it_is_in_the_chain() {
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let kind = |error: redb::Error| StoreError::from(error).kind();
    assert_eq!(kind(redb::Error::Io(full())), StoreErrorKind::NoSpace);
    assert_eq!(
        kind(redb::Error::Io(io::Error::other(full()))),
        StoreErrorKind::NoSpace
    );
    assert_eq!(
        kind(redb::Error::Backend(Box::new(full()))),
        StoreErrorKind::NoSpace
    );
    #[cfg(target_os = "linux")]
    for (errno, expected) in [
        (28, StoreErrorKind::NoSpace),
        (122, StoreErrorKind::NoSpace),
        (5, StoreErrorKind::Io),
        (30, StoreErrorKind::Io),
    ] {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(kind(redb::Error::Io(error)), expected);
    }
}
