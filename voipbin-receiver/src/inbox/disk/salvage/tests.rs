use std::collections::HashMap;
use std::io::Cursor;

use super::*;
use crate::event::EventKey;
use crate::inbox::disk::faults::{Disk, Random};
use crate::inbox::disk::record::{AttemptEnd, AttemptId, AttemptRecord};
use crate::inbox::disk::store::{Changes, Store};

const PAGE: usize = 4096;

fn chunk(first: u64, count: u64, random: &mut Random) -> Chunk {
    let events = (first..first + count).map(|seq| {
        let len = match random.below(6) {
            0 => random.below(30_000),
            _ => random.below(300),
        };
        let head = Head {
            seq,
            identity: EventKey::from_bytes([seq as u8; 16]),
            kept_at: 1,
            signed: true,
            marks: false,
            possible_repeat: false,
            replay_of: None,
            content_type: None,
            jobs: vec![1],
            body_len: len as u32,
        };
        (head, vec![b'a' + random.below(26) as u8; len].into())
    });
    Chunk {
        events: events.collect(),
        names: ["audit", "crm"].map(HandlerName::new).into(),
    }
}

fn put(key: u64, chunk: &Chunk) -> Changes {
    Changes {
        chunks: vec![(key, chunk.encode(key).unwrap())],
        heads: vec![(key, chunk.encode_heads(key).unwrap())],
        ..Changes::default()
    }
}

fn finished(key: u64, generation: u64, seqs: &[u64]) -> Changes {
    let at = generation;
    let events = seqs
        .iter()
        .map(|seq| (*seq, EventProgress::Finished { at }));
    let progress = Progress {
        generation,
        events: events.collect(),
    };
    Changes {
        progress: vec![(key, progress.encode(key).unwrap())],
        ..Changes::default()
    }
}

fn store(disk: &Disk) -> Store {
    Store::open_on(disk.clone(), 1 << 20).unwrap()
}

fn salvaged(file: &[u8]) -> (HashMap<u64, SalvagedEvent>, Salvaged) {
    let mut events = HashMap::new();
    let counts = salvage(Cursor::new(file), |event| {
        assert!(events.insert(event.head.seq, event).is_none());
    });
    (events, counts.unwrap())
}

/// Forty chunks, two of three with progress. Returns the bodies by number.
fn filled(disk: &Disk, seed: u64) -> BTreeMap<u64, Bytes> {
    let mut random = Random::new(seed);
    let store = store(disk);
    let mut bodies = BTreeMap::new();
    for key in (0..400).step_by(10) {
        let chunk = chunk(key, 1 + random.below(10) as u64, &mut random);
        store.commit(&put(key, &chunk)).unwrap();
        if key % 30 != 0 {
            store.commit(&finished(key, 1, &[key])).unwrap();
            store.commit(&finished(key, 2, &[key, key + 1])).unwrap();
        }
        bodies.extend(
            chunk
                .events
                .into_iter()
                .map(|(head, body)| (head.seq, body)),
        );
    }
    bodies
}

#[test]
fn every_event_is_found_with_its_latest_progress() {
    let disk = Disk::new();
    let bodies = filled(&disk, 1);
    let (events, counts) = salvaged(&disk.file());
    assert_eq!(counts.events, bodies.len() as u64);
    assert_eq!((counts.bodiless, counts.damaged), (0, 0));
    for (seq, body) in bodies {
        let event = &events[&seq];
        assert_eq!(event.body.as_ref(), Some(&body));
        assert_eq!(event.jobs, [HandlerName::new("crm")]);
        let ended = seq % 10 < 2 && seq / 10 % 3 != 0;
        let expected = ended.then_some(EventProgress::Finished { at: 2 });
        assert_eq!(event.progress, expected, "{seq}");
    }
}

#[test]
fn a_file_without_its_header_and_some_pages_gives_all_whose_rows_are_whole() {
    let mut lost = 0;
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let disk = Disk::new();
        let bodies = filled(&disk, seed);
        let before = disk.file();
        let mut rows = Rows::default();
        rows.find(&mut Cursor::new(&before)).unwrap();

        let mut file = before.clone();
        file[..PAGE].fill(0xff);
        for _ in 0..60 {
            let page = random.below(file.len() / PAGE) * PAGE;
            // Of some pages only the part that belongs to redb: the values stay.
            let len = [16, PAGE][random.below(2)];
            file[page..page + len].fill(0xee);
        }
        assert!(Store::open_on(Disk::holding(file.clone()), 1 << 20).is_err());

        let (events, _) = salvaged(&file);
        for (seq, body) in &bodies {
            let is_whole = |place: &Place| {
                let from = place.offset as usize;
                let row = from..from + place.header.row_len;
                file[row.clone()] == before[row]
            };
            let found = events.get(seq).and_then(|event| event.body.as_ref());
            match rows.chunks[&(seq / 10 * 10)].iter().any(is_whole) {
                true => assert_eq!(found, Some(body), "seed {seed}"),
                false => lost += 1,
            }
            assert!(found.is_none_or(|found| found == body));
        }
    }
    assert!(lost > 100, "{lost}");
}

#[test]
fn a_dropped_chunk_leaves_its_heads_and_an_event_comes_once() {
    let disk = Disk::new();
    let mut random = Random::new(1);
    let store = store(&disk);
    let chunk = chunk(0, 3, &mut random);
    for _ in 0..5 {
        store.commit(&put(0, &chunk)).unwrap();
    }
    let (events, counts) = salvaged(&disk.file());
    assert_eq!((events.len(), counts.events), (3, 3));

    let drop_chunk = Changes {
        drop_chunks: vec![0],
        ..Changes::default()
    };
    store.commit(&drop_chunk).unwrap();
    let mut file = disk.file();
    let mut rows = Rows::default();
    rows.find(&mut Cursor::new(&file)).unwrap();
    for place in rows.chunks.values().flatten() {
        file[place.offset as usize] = 0;
    }
    let (events, counts) = salvaged(&file);
    assert_eq!((counts.events, counts.bodiless), (0, 3));
    assert!(events.values().all(|event| event.body.is_none()));
}

#[test]
fn rows_are_found_wherever_the_blocks_end_and_however_long_they_are() {
    let mut random = Random::new(7);
    let mut huge = chunk(1, 1, &mut random);
    huge.events[0].1 = vec![7; 3 * Rows::BLOCK].into();
    let huge = huge.encode(1).unwrap();
    let small = chunk(2, 1, &mut random).encode(2).unwrap();
    let cuts = (0..40).chain((0..small.len()).step_by(7));
    for before_end in cuts {
        let mut file = vec![b'x'; Rows::BLOCK - before_end];
        file.extend_from_slice(b"vvbr");
        file.extend_from_slice(&small);
        file.extend_from_slice(b"vbrevt");
        file.extend_from_slice(&huge);
        let (events, counts) = salvaged(&file);
        assert_eq!((events.len(), counts.events), (2, 2), "{before_end}");
    }
    // Cut off within a row.
    let (events, counts) = salvaged(&[&small, &huge[..1000]].concat());
    assert_eq!((events.len(), counts.damaged), (1, 1));
}

#[test]
fn of_two_events_with_one_number_both_are_found() {
    let mut random = Random::new(7);
    let one = chunk(5, 1, &mut random);
    let mut other = one.clone();
    other.events[0].0.identity = EventKey::from_bytes([99; 16]);
    let file = [one.encode(5).unwrap(), other.encode(5).unwrap()].concat();
    let mut found = Vec::new();
    let counts = salvage(Cursor::new(file), |event| found.push(event.head.identity));
    assert_eq!(counts.unwrap().events, 2);
    assert_ne!(found[0], found[1]);
}

#[test]
fn of_two_progresses_of_one_generation_the_one_with_more_to_do_counts() {
    let mut random = Random::new(7);
    let chunk = chunk(0, 3, &mut random).encode(0).unwrap();
    let row = |generation, seqs: &[u64]| finished(0, generation, seqs).progress.remove(0).1;
    let ended = |rows: [Vec<u8>; 2]| {
        let (events, _) = salvaged(&[&*chunk, &rows[0], &rows[1]].concat());
        let ended = events.values().filter(|event| event.progress.is_some());
        ended.count()
    };
    assert_eq!(ended([row(1, &[0]), row(1, &[0, 1])]), 1);
    assert_eq!(ended([row(1, &[0, 1]), row(1, &[0])]), 1);
    assert_eq!(ended([row(1, &[0, 1]), row(2, &[0])]), 1);
    assert_eq!(ended([row(2, &[0, 1]), row(1, &[0])]), 2);
}

fn failed(number: u32, text: &str) -> (AttemptId, AttemptRecord) {
    let record = AttemptRecord {
        at: u64::from(number),
        millis: 1,
        ended: AttemptEnd::Failed(text.into()),
    };
    (AttemptId { job: 0, number }, record)
}

#[test]
fn attempts_are_found_in_all_rows_of_an_event_and_each_of_them_once() {
    let mut random = Random::new(7);
    let chunk = chunk(0, 3, &mut random).encode(0).unwrap();
    let row = |made: &[(AttemptId, AttemptRecord)], seq| {
        let attempts: Attempts = made.iter().cloned().collect();
        attempts.encode(seq).unwrap()
    };
    let (one, two, three) = (failed(1, "one"), failed(2, "two"), failed(3, "three"));
    let file = [
        &*chunk,
        &row(&[one.clone(), two.clone()], 1),
        &row(&[one.clone(), two.clone(), three.clone()], 1),
        &row(std::slice::from_ref(&one), 1),
        &row(std::slice::from_ref(&two), 2),
    ];
    let (events, counts) = salvaged(&file.concat());
    assert_eq!(counts.damaged, 0);
    assert!(events[&0].attempts.is_empty());
    assert_eq!(
        events[&1].attempts,
        Attempts::from_iter([one, two.clone(), three])
    );
    assert_eq!(events[&2].attempts, Attempts::from_iter([two]));
}
