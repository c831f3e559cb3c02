//! Operations of the system that fail: a full disk and a failing one.

use std::sync::Mutex;

use fastrand::Rng;

use crate::faults::check::check;
use crate::faults::disk::{Disk, restore};
use crate::faults::expected::Expected;
use crate::faults::lives::{RecordedDir, inbox, marks};
use crate::faults::record::scratch;
use crate::faults::{number, seed, side_by_side};

/// What fails, in the letters of `shim.c`, and how: numbers of Linux.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    operations: &'static str,
    error: u32,
}

const TROUBLES: [Trouble; 3] = [FULL, FAILING, UNREADABLE];

/// ENOSPC, of what takes room.
const FULL: Trouble = Trouble {
    operations: "cwtm",
    error: 28,
};

/// EIO, of what is written.
const FAILING: Trouble = Trouble {
    operations: "cwtmsun",
    error: 5,
};

/// EIO, of what is read.
const UNREADABLE: Trouble = Trouble {
    operations: "r",
    error: 5,
};

const EVENTS: usize = 40;

/// A process meets it at the operation of this number and on until it has noticed, or only once. It
/// goes on by itself, with all events kept in the end. How often it refused one, or what does not
/// hold.
fn meets(trouble: Trouble, first: usize, lasting: bool, seed: u64) -> Result<usize, String> {
    let Trouble { operations, error } = trouble;
    let count = if lasting { usize::MAX >> 1 } else { 1 };
    let failure = format!("{operations} {first} {count} {error}");
    let place = RecordedDir::new();
    let output = place.live(seed, EVENTS, "close", Some(&failure));
    let said = String::from_utf8_lossy(&output.stderr);
    let why = |what| {
        format!(
            "SEED={seed}, {failure:?}: {what}: {}: {said}",
            output.status
        )
    };
    if !output.status.success() || said.contains("panicked") {
        return Err(why("it does not go on".into()));
    }

    let record = place.record();
    let mut chance = Rng::with_seed(seed);
    let mut disk = Disk::new(&record, seed);
    let mut expected = Expected::default();
    let point = chance.usize(..record.entries.len());
    disk.advance(point);
    marks(&record, 0, point, &mut expected);
    let after = scratch();
    restore(&disk.cut(chance.u64(..)), after.path());
    check(&inbox(after.path()), &expected)
        .map_err(|error| why(format!("after a power cut at {point}: {error}")))?;

    marks(&record, point, record.entries.len(), &mut expected);
    let kept = expected.events.values().filter(|event| event.kept);
    assert_eq!(kept.count(), EVENTS);
    check(&inbox(&place.disk()), &expected).map_err(why)?;
    Ok(expected.refused)
}

/// How many of its operations a life without trouble has.
fn operations_of(trouble: Trouble, seed: u64) -> usize {
    let place = RecordedDir::new();
    // Far behind the last one.
    let failure = format!(
        "{} {} 1 {}",
        trouble.operations,
        usize::MAX >> 1,
        trouble.error
    );
    let output = place.live(seed, EVENTS, "close", Some(&failure));
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().last().unwrap().parse().unwrap()
}

/// `FAULTS=100000` for all operations instead of some.
#[test]
fn a_disk_that_fails_costs_refusals_and_nothing_that_was_acknowledged() {
    let seed = seed();
    let most = number("FAULTS", 24);
    let mut chance = Rng::with_seed(seed);
    let mut cases = Vec::new();
    for trouble in TROUBLES {
        let operations = operations_of(trouble, seed);
        eprintln!("{operations} operations may fail by {trouble:?}");
        cases.extend(
            (0..operations).flat_map(|first| [(trouble, first, false), (trouble, first, true)]),
        );
    }
    chance.shuffle(&mut cases);
    cases.truncate(most);
    let failures = Mutex::new(Vec::new());
    let refused = side_by_side(cases.len(), |number| {
        let (trouble, first, lasting) = cases[number];
        let met = meets(trouble, first, lasting, seed.wrapping_add(number as u64));
        met.unwrap_or_else(|failure| {
            failures.lock().unwrap().push(failure);
            0
        })
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {}: {}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    eprintln!(
        "{} failures, {refused} refusals: all that was acknowledged is there",
        cases.len()
    );
}
