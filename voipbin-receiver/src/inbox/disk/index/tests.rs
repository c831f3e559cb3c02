use super::*;
use crate::inbox::disk::record::{EventProgress, JobStage};

const KEEP: Keep = Keep {
    done: 1_000,
    dead: 1_000_000,
    identities: 5_000_000,
};

/// Long after the last of them finished, and before its identity is forgotten.
const LATER: u64 = 3_000_000;

fn head(seq: u64) -> Head {
    Head {
        seq,
        identity: EventKey::from_bytes([seq as u8; 16]),
        kept_at: seq,
        signed: true,
        marks: false,
        possible_repeat: false,
        replay_of: None,
        content_type: None,
        jobs: vec![0],
        body_len: 100,
    }
}

fn jobs() -> Jobs {
    [handler()].into_iter().collect()
}

fn handler() -> HandlerName {
    HandlerName::new("a")
}

fn heads(seqs: std::ops::Range<u64>) -> Heads {
    Heads {
        names: vec![handler()],
        heads: seqs.map(head).collect(),
    }
}

/// An index with a chunk for each of these: from a number on, up to another one.
fn index(chunks: &[(u64, u64)]) -> Index {
    let mut index = Index::default();
    for (first, end) in chunks {
        let events = (*first..*end).map(|seq| Event::new(&head(seq), jobs()));
        index.add(*first, events.collect(), KEEP);
    }
    index
}

fn ends(index: &mut Index, seq: u64, stage: JobStage) {
    let change = index.change(seq, &handler(), KEEP, |job| job.stage = stage);
    assert_eq!(change, Change::Finished(head(seq).identity, false));
}

fn done(index: &mut Index, seq: u64, at: u64) {
    ends(index, seq, JobStage::Done { at });
}

fn commit(index: &mut Index) -> Vec<(u64, Progress)> {
    let rows = index.take_dirty(&[], 0);
    index.stored(rows.iter().map(|(key, _)| *key), KEEP);
    rows
}

/// The first time, to the millisecond, at which there is something to clean, and what.
fn first_cleaning(index: &mut Index) -> Option<(u64, u64, Cleaning)> {
    while let Some(&(at, _)) = index.due.iter().chain(&index.forget).min() {
        assert!(at == 0 || index.next_due(at - 1).is_none());
        let key = index.next_due(at).unwrap();
        let cleaning = index.cleaning(key, at, KEEP);
        if cleaning != Cleaning::Nothing {
            return Some((at, key, cleaning));
        }
        index.postpone(key, at, KEEP);
    }
    None
}

#[test]
fn events_that_finish_within_a_minute_go_together_when_the_last_of_them_is_over() {
    let mut index = index(&[(1, 3)]);
    done(&mut index, 1, 10);
    done(&mut index, 2, 50_000);
    assert!(!index.is_sealed(1));
    commit(&mut index);
    assert!(index.is_sealed(1));
    assert_eq!(
        first_cleaning(&mut index),
        Some((51_000, 1, Cleaning::Bodies))
    );
    assert_eq!(index.totals.stored, 200);
    index.cleaned(1, &Cleaning::Bodies, 0, KEEP);
    assert_eq!(index.totals, Totals::default());
    assert_eq!((index.key_of(1), index.next_seq()), (None, 3));
    // The identity counts from when it was kept.
    assert_eq!(
        first_cleaning(&mut index),
        Some((5_000_002, 1, Cleaning::All))
    );
    index.cleaned(1, &Cleaning::All, 0, KEEP);
    assert!(index.chunks.is_empty() && index.due.is_empty());
}

#[test]
fn a_body_that_is_over_waits_a_minute_for_others_and_no_longer() {
    let mut index = index(&[(1, 4)]);
    done(&mut index, 1, 10);
    done(&mut index, 3, 20);
    commit(&mut index);
    assert!(!index.is_sealed(1));
    let but = Cleaning::BodiesBut(vec![2]);
    assert_eq!(
        first_cleaning(&mut index),
        Some((61_010, 1, Cleaning::BodiesBut(vec![2])))
    );
    index.cleaned(1, &but, 100, KEEP);
    assert_eq!((index.totals.stored, index.totals.events), (100, 1));
    assert_eq!(first_cleaning(&mut index), None);
    done(&mut index, 2, LATER);
    commit(&mut index);
    assert!(index.is_sealed(1));
    let rest = first_cleaning(&mut index);
    assert_eq!(rest, Some((LATER + 1_000, 1, Cleaning::Bodies)));
}

#[test]
fn a_dead_letter_stays_for_its_own_time_and_counts_until_it_is_removed() {
    let mut index = index(&[(1, 3)]);
    done(&mut index, 1, 10);
    ends(&mut index, 2, JobStage::Dead { at: 10 });
    commit(&mut index);
    let totals = Totals {
        dead: 1,
        dead_bytes: 100,
        stored: 200,
        ..Totals::default()
    };
    assert_eq!(index.totals, totals);
    let but = Cleaning::BodiesBut(vec![2]);
    assert_eq!(
        first_cleaning(&mut index),
        Some((61_010, 1, Cleaning::BodiesBut(vec![2])))
    );
    index.cleaned(1, &but, 100, KEEP);
    assert_eq!((index.totals.dead, index.totals.stored), (1, 100));
    assert_eq!(
        first_cleaning(&mut index),
        Some((1_000_010, 1, Cleaning::Bodies))
    );
    index.cleaned(1, &Cleaning::Bodies, 0, KEEP);
    assert_eq!(index.totals, Totals::default());
}

#[test]
fn an_event_that_is_not_finished_keeps_its_body_and_its_identity_for_ever() {
    let mut index = index(&[(1, 2)]);
    assert_eq!(first_cleaning(&mut index), None);
    assert_eq!(index.cleaning(1, u64::MAX, KEEP), Cleaning::Nothing);
    let waits = JobStage::Waiting {
        since: 5,
        millis: 2,
        in_lane: false,
    };
    let change = index.change(1, &handler(), KEEP, |job| job.stage = waits);
    assert_eq!(change, Change::Open);
    commit(&mut index);
    assert_eq!(first_cleaning(&mut index), None);
    assert_eq!(index.next_early(), None);
    assert!(index.wants(1, &handler()));
}

#[test]
fn what_is_not_stored_is_not_cleaned_and_comes_again_when_it_is() {
    let mut index = index(&[(1, 2)]);
    done(&mut index, 1, 10);
    assert_eq!(index.next_due(1_010), Some(1));
    assert_eq!(index.cleaning(1, 1_010, KEEP), Cleaning::Nothing);
    index.postpone(1, 1_010, KEEP);
    let rows = index.take_dirty(&[], 0);
    index.unstored(rows.iter().map(|(key, _)| *key));
    assert!(!index.is_sealed(1));
    let again = index.take_dirty(&[], 0);
    assert_eq!((rows[0].1.generation, again[0].1.generation), (1, 2));
    assert_eq!(rows[0].1.events, again[0].1.events);
    // Changed once more while it was written.
    index.discard(1, 20, KEEP);
    index.stored([1].into_iter(), KEEP);
    assert!(!index.is_sealed(1));
    commit(&mut index);
    assert!(index.is_sealed(1));
    assert_eq!(first_cleaning(&mut index), Some((20, 1, Cleaning::Bodies)));
}

#[test]
fn over_the_limit_the_chunks_that_finished_first_give_way_and_no_others() {
    let mut index = index(&[(1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]);
    done(&mut index, 3, 10);
    done(&mut index, 1, 20);
    ends(&mut index, 4, JobStage::Dead { at: 5 });
    commit(&mut index);
    done(&mut index, 5, 1);
    for key in [3, 1] {
        assert_eq!(index.next_due(30), None);
        assert_eq!(index.next_early(), Some((key, Cleaning::Bodies)));
        index.cleaned(key, &Cleaning::Bodies, 0, KEEP);
    }
    // Not finished, dead, not stored.
    assert_eq!(index.next_early(), None);
    assert_eq!(index.totals.stored, 300);
}

#[test]
fn over_the_limit_finished_events_give_way_too_that_share_a_row_with_others() {
    // As these ends are more than a minute apart, the row is not sealed.
    let mut index = index(&[(1, 3), (11, 15), (21, 26)]);
    done(&mut index, 1, 10);
    done(&mut index, 2, 100_000);
    done(&mut index, 11, 20);
    done(&mut index, 21, 30);
    commit(&mut index);
    assert!(!index.is_sealed(1));
    let mut early = Vec::new();
    while let Some((key, cleaning)) = index.next_early() {
        let left = match &cleaning {
            Cleaning::BodiesBut(wanted) => wanted.len() as u64 * 100,
            _ => 0,
        };
        index.cleaned(key, &cleaning, left, KEEP);
        early.push((key, cleaning));
    }
    // Of the last row it is a fifth.
    early.sort_by_key(|(key, _)| *key);
    let but = Cleaning::BodiesBut(vec![12, 13, 14]);
    assert_eq!(early, [(1, Cleaning::Bodies), (11, but)]);
    assert_eq!(index.totals.stored, 300 + 500);
    assert_eq!(index.totals.events, 3 + 4);
}

#[test]
fn an_event_that_is_given_up_counts_no_more_and_its_body_goes_first() {
    let mut index = index(&[(1, 4)]);
    ends(&mut index, 1, JobStage::Dead { at: 10 });
    assert_eq!(index.discard(1, 20, KEEP), Change::Open);
    let finished = Change::Finished(head(2).identity, false);
    assert_eq!(index.discard(2, 20, KEEP), finished);
    assert_eq!(index.discard(2, 20, KEEP), Change::None);
    assert_eq!(index.discard(9, 20, KEEP), Change::None);
    let change = index.change(2, &handler(), KEEP, |_| panic!("it is given up"));
    assert_eq!(change, Change::None);
    let totals = Totals {
        events: 1,
        bytes: 100,
        stored: 300,
        ..Totals::default()
    };
    assert_eq!(index.totals, totals);
    let rows = commit(&mut index);
    let discarded = EventProgress::Discarded { at: 20 };
    assert_eq!(rows[0].1.events, [(1, discarded.clone()), (2, discarded)]);
    let but = Cleaning::BodiesBut(vec![3]);
    assert_eq!(first_cleaning(&mut index), Some((60_020, 1, but)));
}

#[test]
fn a_finished_event_whose_chunk_is_sealed_can_be_given_up() {
    let mut index = index(&[(1, 3)]);
    done(&mut index, 1, 10);
    done(&mut index, 2, 10);
    let (_, progress) = commit(&mut index).remove(0);
    assert_eq!(index.discard(2, 20, KEEP), Change::None);
    let nobody = vec![Jobs::from_iter([]), Jobs::from_iter([])];
    index.unseal(1, &heads(1..3), nobody, Some(progress));
    assert_eq!(index.discard(2, 20, KEEP), Change::Open);
    let rows = commit(&mut index);
    let finished = EventProgress::Finished { at: 10 };
    let discarded = EventProgress::Discarded { at: 20 };
    assert_eq!(rows[0].1.events, [(1, finished), (2, discarded)]);
}

#[test]
fn an_event_for_nobody_is_finished_as_it_comes_and_its_identity_stays() {
    let mut index = Index::default();
    let head = Head {
        jobs: vec![],
        body_len: 0,
        ..head(1)
    };
    index.add(1, vec![Event::new(&head, Jobs::from_iter([]))], KEEP);
    assert_eq!(index.totals, Totals::default());
    assert!(index.is_sealed(1) && index.next_open(0).is_none());
    assert!(commit(&mut index).is_empty());
    assert_eq!(
        first_cleaning(&mut index),
        Some((1_001, 1, Cleaning::Bodies))
    );
    index.cleaned(1, &Cleaning::Bodies, 0, KEEP);
    assert_eq!(
        first_cleaning(&mut index),
        Some((5_000_001, 1, Cleaning::All))
    );
}

#[test]
fn the_next_open_event_is_found_from_any_number_on() {
    let mut index = index(&[(1, 4), (6, 9), (20, 21)]);
    for seq in [1, 3, 6, 7, 8] {
        done(&mut index, seq, 10);
    }
    commit(&mut index);
    let open: Vec<_> = [0, 1, 2, 3, 5, 7, 20, 21]
        .map(|from| index.next_open(from))
        .into();
    let (first, last) = (Some((1, 4)), Some((20, 21)));
    assert_eq!(open, [first, first, first, last, last, last, last, None]);
    assert_eq!([4, 5, 9].map(|seq| index.key_of(seq)), [None; 3]);
    assert_eq!(
        [1, 3, 7].map(|seq| index.key_of(seq)),
        [Some(1), Some(1), Some(6)]
    );
}
