//! Files whose bytes have changed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::*;
use crate::inbox::disk::record::Header;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics that are expected here out of the output of the tests.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    QUIET.set(false);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// A store as it is found after a while, closed or killed, and all progress that was ever written.
fn stored(seed: u64, close: bool) -> Stored {
    let mut random = Random::new(seed);
    let disk = Disk::new();
    let store = open(&disk);
    let mut model = Model::default();
    let mut maker = Commit::default();
    let mut progress = Vec::new();
    for _ in 0..12 {
        let changes = maker.random(&mut model, &mut random);
        store.commit(&changes).unwrap();
        progress.extend(model.progress.clone());
    }
    let killed = disk.kill();
    drop(store);
    let disk = if close { disk } else { killed };
    (disk.file(), model, progress)
}

/// A place that matters: most of the file is free, and most of the rest is bodies.
fn aim(file: &[u8], random: &mut Random) -> usize {
    const PAGE: usize = 4096;
    loop {
        let page = random.below(file.len() / PAGE) * PAGE;
        let at = match random.below(6) {
            0 => random.below(320),
            1 => page + random.below(64),
            2 => match Header::find(&file[page..]) {
                Some(row) => page + row + random.below(60),
                None => continue,
            },
            _ => page + random.below(PAGE),
        };
        if file[at] != 0 {
            return at;
        }
    }
}

type Stored = (Vec<u8>, Model, Vec<(u64, Progress)>);

#[derive(Default, Debug)]
struct Outcomes {
    whole: u32,
    damaged: u32,
    refused: u32,
    failed: u32,
}

/// Opens a damaged file and checks that all that comes out was stored, and that what does not come
/// out is told.
fn check(
    file: Vec<u8>,
    model: &Model,
    progress: &[(u64, Progress)],
    outcomes: &mut Outcomes,
) -> Result<(), String> {
    let Ok(store) = Store::open_on(Disk::holding(file), CACHE) else {
        outcomes.refused += 1;
        return Ok(());
    };
    let mut loaded = Vec::new();
    let result = store.load(|one| loaded.push(one));
    let damage_told = result.is_err() || loaded.iter().any(|one| one.damage.any());
    let mut wrong = None;
    let mut missing = 0;
    for (key, heads) in &model.heads {
        let Some(one) = loaded.iter().find(|one| one.key == *key) else {
            missing += 1;
            continue;
        };
        match &one.heads {
            Some(found) if found != heads => wrong = Some(format!("heads of {key}")),
            Some(_) => {}
            None => assert!(one.damage.heads),
        }
        match (&one.progress, model.progress.get(key)) {
            (Some(found), _) if progress.contains(&(*key, found.clone())) => {}
            (Some(_), _) => wrong = Some(format!("progress of {key}")),
            (None, Some(_)) if !damage_told => wrong = Some(format!("lost progress of {key}")),
            (None, _) => {}
        }
        let expected = model.chunks.get(key);
        match store.chunk(*key) {
            Ok(Some(found)) if expected.is_none_or(|chunk| *chunk == found) => {}
            Ok(Some(_)) => wrong = Some(format!("chunk {key}")),
            Ok(None) if expected.is_some() && !one.has_bodies && !one.damage.bodies => {
                wrong = Some(format!("lost chunk {key}"));
            }
            Ok(None) | Err(_) => {}
        }
    }
    if missing > 0 && !damage_told {
        wrong = Some(format!("{missing} keys"));
    }
    match (result.is_err(), damage_told) {
        (true, _) => outcomes.failed += 1,
        (false, true) => outcomes.damaged += 1,
        (false, false) => outcomes.whole += 1,
    }
    // A commit would be at the file's mercy.
    store.abandon();
    wrong.map_or(Ok(()), Err)
}

/// A file that passes the check is whole but for what a checksum of redb covers: its rows.
fn check_checked(file: Vec<u8>, model: &Model) -> bool {
    let Ok(store) = Store::open_checked_on(Disk::holding(file), CACHE) else {
        return false;
    };
    let found = content(&store);
    assert!(found.heads == model.heads && found.chunks == model.chunks);
    assert_eq!(found.progress, model.progress);
    let mut maker = Commit {
        next_seq: 1000,
        generation: 1000,
    };
    let mut model = found;
    let changes = maker.random(&mut model, &mut Random::new(1));
    store.commit(&changes).unwrap();
    assert_eq!(content(&store), model);
    true
}

#[test]
fn a_damaged_file_never_shows_what_was_not_stored_and_hides_nothing_silently() {
    let mut outcomes = Outcomes::default();
    let mut files = BTreeMap::new();
    let mut passed = 0;
    for seed in 0..2000_u64 {
        let (from, close) = (seed / 100, seed % 2 == 0);
        let made = files.entry((from, close));
        let (file, model, progress) = made.or_insert_with(|| stored(from, close));
        let mut file = file.clone();
        let mut random = Random::new(seed);
        for _ in 0..1 + random.below(3) {
            let at = aim(&file, &mut random);
            for at in at..(at + 1 + random.below(8)).min(file.len()) {
                file[at] ^= 1 << random.below(8);
            }
        }
        if seed % 4 == 0 {
            passed += u32::from(quietly(|| check_checked(file.clone(), model)));
        }
        let checked = quietly(|| check(file, model, progress, &mut outcomes));
        assert_eq!(checked, Ok(()), "seed {seed}");
    }
    assert!(passed > 50, "{passed}");
    assert!(
        outcomes.refused > 100 && outcomes.failed > 0,
        "{outcomes:?}"
    );
    assert!(
        outcomes.damaged > 100 && outcomes.whole > 100,
        "{outcomes:?}"
    );
}

/// One commit with three chunks, and a change to its rows on the way.
fn with(change: impl FnOnce(&mut Changes)) -> Vec<(u64, bool, bool, Damage)> {
    let mut random = Random::new(1);
    let mut changes = Changes::default();
    for key in [10, 20, 30] {
        let chunk = chunk(key, 3, &mut random);
        changes.chunks.push((key, chunk.encode(key).unwrap()));
        changes.heads.push((key, chunk.encode_heads(key).unwrap()));
        let progress = Progress::default().encode(key).unwrap();
        changes.progress.push((key, progress));
    }
    change(&mut changes);
    let store = open(&Disk::new());
    store.commit(&changes).unwrap();
    let mut found = Vec::new();
    store
        .load(|one| found.push((one.key, one.heads.is_some(), one.has_bodies, one.damage)))
        .unwrap();
    found
}

const WHOLE: Damage = Damage {
    heads: false,
    progress: false,
    bodies: false,
};

fn spoil(row: &mut (u64, Vec<u8>)) {
    row.1[24] ^= 1;
}

#[test]
fn damaged_or_missing_heads_are_taken_from_the_chunk() {
    let damage = Damage {
        heads: true,
        ..WHOLE
    };
    let expected = vec![
        (10, true, true, WHOLE),
        (20, true, true, damage),
        (30, true, true, WHOLE),
    ];
    assert_eq!(with(|changes| spoil(&mut changes.heads[1])), expected);
    let missing = |changes: &mut Changes| drop(changes.heads.remove(1));
    assert_eq!(with(missing), expected);
}

#[test]
fn damaged_progress_is_told() {
    let damage = Damage {
        progress: true,
        ..WHOLE
    };
    let found = with(|changes| spoil(&mut changes.progress[2]));
    assert_eq!(found[2], (30, true, true, damage));
    assert_eq!(found[1].3, WHOLE);
}

#[test]
fn heads_that_are_damaged_together_with_their_chunk_are_told_with_their_key() {
    let damage = Damage {
        heads: true,
        bodies: true,
        ..WHOLE
    };
    let found = with(|changes| {
        spoil(&mut changes.heads[0]);
        spoil(&mut changes.chunks[0]);
    });
    assert_eq!(found[0], (10, false, true, damage));
    let found = with(|changes| {
        changes.heads.remove(0);
        changes.chunks.remove(0);
    });
    assert_eq!(found[0].0, 10);
    assert!(found[0].3.heads);
}

#[test]
fn heads_under_a_wrong_key_are_told_and_do_not_hide_their_chunk() {
    let found = with(|changes| changes.heads[1].0 = 25);
    let keys: Vec<_> = found.iter().map(|one| (one.0, one.1, one.2)).collect();
    let expected = [
        (10, true, true),
        (20, true, true),
        (25, false, false),
        (30, true, true),
    ];
    assert_eq!(keys, expected);
    assert!(found[1].3.heads && found[2].3.heads);
}

#[test]
fn a_damaged_chunk_is_an_error_of_its_own_and_breaks_nothing_else() {
    let mut random = Random::new(1);
    let mut changes = Changes::default();
    for key in [10, 20] {
        let chunk = chunk(key, 3, &mut random);
        changes.chunks.push((key, chunk.encode(key).unwrap()));
        changes.heads.push((key, chunk.encode_heads(key).unwrap()));
    }
    spoil(&mut changes.chunks[0]);
    let store = open(&Disk::new());
    store.commit(&changes).unwrap();
    assert_eq!(kind(store.chunk(10)), Some(StoreErrorKind::Damaged));
    assert!(store.chunk(20).unwrap().is_some());
    assert!(store.chunk(30).unwrap().is_none());
    assert!(!store.is_broken());
}
