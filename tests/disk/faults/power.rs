//! Power cuts.

use std::sync::atomic::{AtomicUsize, Ordering};

use fastrand::Rng;

use crate::faults::check::check;
use crate::faults::disk::{Disk, image, restore};
use crate::faults::expected::Expected;
use crate::faults::lives::{RecordedDir, inbox, marks};
use crate::faults::record::{Record, scratch};
use crate::faults::{number, seed, side_by_side};

/// Lives through a number of processes: some are killed, the last one closes the inbox.
fn recorded(chance: &mut Rng) -> Record {
    let place = RecordedDir::new();
    for process in (0..chance.u64(2..5)).rev() {
        let end = if process > 0 && chance.bool() {
            "kill"
        } else {
            "close"
        };
        let events = chance.usize(50..200);
        let output = place.live(chance.u64(0..1 << 40), events, end, None);
        let killed = end == "kill";
        assert_eq!(output.status.success(), !killed, "{output:?}");
    }
    let record = place.record();
    let mut disk = Disk::new(&record, 0);
    disk.advance(record.entries.len());
    assert!(
        disk.visible() == image(&place.disk()),
        "not all that was done is recorded"
    );
    record
}

/// What came of the power cuts of a life.
#[derive(Default)]
struct Outcome {
    /// What does not hold.
    failures: Vec<String>,
    /// The most events that were done and had been removed at a cut.
    removed: usize,
}

/// Cuts the power of a life so often.
fn cut(mut disk: Disk<'_>, record: &Record, cuts: usize, chance: &mut Rng) -> Outcome {
    let mut points: Vec<usize> = (0..cuts)
        .map(|_| chance.usize(..record.entries.len()))
        .collect();
    points.sort_unstable();
    let mut expected = Expected::default();
    let mut done = 0;
    let mut outcome = Outcome::default();
    for point in points {
        disk.advance(point);
        marks(record, done, point, &mut expected);
        done = point;
        let seed = chance.u64(..);
        let after = scratch();
        restore(&disk.cut(seed), after.path());
        match check(&inbox(after.path()), &expected) {
            Ok(removed) => outcome.removed = outcome.removed.max(removed),
            Err(error) => {
                let failure = format!("at entry {point} with {seed}: {error}");
                outcome.failures.push(failure);
            }
        }
    }
    outcome
}

/// `POWER_CUTS=20000` for more than 300.
#[test]
fn what_was_acknowledged_survives_power_cuts() {
    const CUTS_OF_A_LIFE: usize = 100;
    let lives = number("POWER_CUTS", 300).div_ceil(CUTS_OF_A_LIFE);
    let seed = seed();
    let (operations, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let removed = side_by_side(lives, |life| {
        let mut chance = Rng::with_seed(seed.wrapping_add(life as u64));
        let record = recorded(&mut chance);
        operations.fetch_add(record.entries.len(), Ordering::Relaxed);
        let disk = Disk::new(&record, 0);
        let Outcome { failures, removed } = cut(disk, &record, CUTS_OF_A_LIFE, &mut chance);
        let (lost, first) = (failures.len(), failures.first());
        assert!(
            lost == 0,
            "SEED={seed}, life {life}, {lost} cuts: {first:?}"
        );
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done % 10 == 0 {
            eprintln!("{} power cuts", done * CUTS_OF_A_LIFE);
        }
        removed
    });
    eprintln!(
        "{} power cuts in {lives} lives of {} operations, {removed} done events removed: all that was acknowledged is there",
        lives * CUTS_OF_A_LIFE,
        operations.into_inner()
    );
}

#[test]
fn a_disk_that_only_says_that_it_syncs_is_found_out() {
    let mut chance = Rng::with_seed(seed());
    let record = recorded(&mut chance);
    let outcome = cut(Disk::lying(&record), &record, 20, &mut chance);
    assert!(!outcome.failures.is_empty());
}
