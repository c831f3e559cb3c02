use super::*;

fn head(seq: u64) -> Head {
    Head {
        seq,
        identity: EventKey::from_bytes([seq as u8; 16]),
        kept_at: 1_700_000_000_000 + seq,
        signed: seq.is_multiple_of(2),
        marks: seq.is_multiple_of(3),
        possible_repeat: seq.is_multiple_of(5),
        replay_of: seq.is_multiple_of(7).then_some(seq / 2),
        content_type: (seq % 2 == 1).then(|| "application/json".into()),
        jobs: (0..(seq % 3) as u16).collect(),
        body_len: 10 * (seq % 4) as u32,
    }
}

fn chunk(first: u64, count: u64) -> Chunk {
    let seqs = (first..).step_by(2).take(count as usize);
    Chunk {
        names: ["a", "crm::update"].map(HandlerName::new).into(),
        events: seqs
            .map(head)
            .map(|head| {
                let body = vec![head.seq as u8; head.body_len as usize];
                (head, body.into())
            })
            .collect(),
    }
}

fn progress() -> Progress {
    let stages = [
        JobStage::Queued,
        JobStage::Begun { at: 1 },
        JobStage::Waiting {
            since: 2,
            millis: u64::MAX,
            in_lane: true,
        },
        JobStage::Done { at: 3 },
        JobStage::Dead { at: 4 },
        JobStage::Replayed { at: 5 },
    ];
    let jobs = stages.map(|stage| JobProgress {
        attempts: 3,
        interrupted: stage == JobStage::Queued,
        stage,
    });
    Progress {
        generation: 9,
        events: vec![
            (1, EventProgress::Finished { at: 1 }),
            (2, EventProgress::Jobs(jobs.to_vec())),
            (5, EventProgress::Discarded { at: 2 }),
            (6, EventProgress::Jobs(Vec::new())),
        ],
    }
}

fn attempt(job: u16, number: u32, ended: AttemptEnd) -> (AttemptId, AttemptRecord) {
    let record = AttemptRecord {
        at: 5,
        millis: 6,
        ended,
    };
    (AttemptId { job, number }, record)
}

fn attempts() -> Attempts {
    let ends = [
        AttemptEnd::Failed("no such customer".into()),
        AttemptEnd::Panicked,
        AttemptEnd::TimedOut,
        AttemptEnd::Interrupted,
    ];
    let of = |job: u16| {
        let ends = ends.iter().cloned();
        (1..)
            .zip(ends)
            .map(move |(number, end)| attempt(job, number, end))
    };
    of(3).chain(of(0)).collect()
}

#[test]
fn what_is_encoded_is_decoded() {
    for count in [0, 1, 2, 100] {
        let chunk = chunk(1, count);
        assert_eq!(
            Chunk::decode(1, &chunk.encode(1).unwrap()),
            Ok(chunk.clone())
        );
        let heads = chunk.encode_heads(1).unwrap();
        let decoded = Heads::decode(1, &heads).unwrap();
        assert_eq!(decoded.encode(1).unwrap(), heads);
        assert_eq!(decoded, Heads::from(chunk));
    }
    let progress = progress();
    let row = progress.encode(7).unwrap();
    assert_eq!(Progress::decode(7, &row), Ok(progress));
    for attempts in [attempts(), Attempts::default()] {
        let row = attempts.encode(7).unwrap();
        assert_eq!(Attempts::decode(7, &row), Ok(attempts));
    }
}

#[test]
fn an_attempt_is_known_once_however_often_it_is_added_and_of_many_the_latest_stay() {
    let once = attempts();
    let twice: Attempts = [&once, &once]
        .iter()
        .flat_map(|attempts| attempts.iter())
        .map(|(id, record)| (id, record.clone()))
        .collect();
    assert_eq!(twice, once);
    assert_eq!(once.of(3).count(), 4);
    let many: Attempts = (1..=40)
        .map(|number| attempt(1, number, AttemptEnd::Panicked))
        .chain(once.iter().map(|(id, record)| (id, record.clone())))
        .collect();
    let numbers: Vec<u32> = many.of(1).map(|(number, _)| number).collect();
    assert_eq!(numbers, Vec::from_iter(25..=40));
    assert_eq!((many.of(0).count(), many.of(3).count()), (4, 4));
}

/// The bytes of version 1 must not change: files hold them.
#[test]
fn the_bytes_of_version_1_are_fixed() {
    let rows = [
        chunk(1, 3).encode(1).unwrap(),
        chunk(1, 3).encode_heads(1).unwrap(),
        progress().encode(1).unwrap(),
        attempts().encode(1).unwrap(),
    ];
    assert_eq!(rows.each_ref().map(|row| crc32fast::hash(row)), FIXED);
}

const FIXED: [u32; 4] = [2_946_729_071, 813_163_681, 2_207_771_362, 3_091_935_468];

#[test]
fn the_length_of_a_body_is_taken_from_the_body() {
    let mut chunk = chunk(1, 1);
    chunk.events[0].0.body_len = 1_000_000;
    let decoded = Chunk::decode(1, &chunk.encode(1).unwrap()).unwrap();
    assert_eq!(decoded.events[0].0.body_len, 10);
}

#[test]
fn a_row_is_written_into_memory_that_was_sized_once() {
    for row in [
        chunk(1, 200).encode(1).unwrap(),
        chunk(1, 200).encode_heads(1).unwrap(),
    ] {
        assert!(row.capacity() >= row.len() && row.capacity() < row.len() + 20_000);
    }
}

#[test]
fn events_out_of_order_or_place_and_unknown_or_repeated_handlers_are_not_written() {
    let kind = |chunk: &Chunk| chunk.encode(1).map_err(RecordError::kind);
    let mut twice = chunk(1, 2);
    twice.events[1].0.seq = 1;
    assert_eq!(kind(&twice), Err(RecordErrorKind::Malformed));
    for (first, key) in [(1, 2), (u64::MAX / 2, 1), (u64::MAX, 1)] {
        let foreign = Chunk {
            events: vec![(
                Head {
                    seq: first,
                    ..head(1)
                },
                Bytes::new(),
            )],
            ..chunk(1, 0)
        };
        let written = foreign.encode(key).map_err(RecordError::kind);
        assert_eq!(written, Err(RecordErrorKind::Malformed), "{first} {key}");
    }
    let mut repeated = chunk(1, 2);
    repeated.events[1].0.jobs = vec![1, 0, 1];
    assert_eq!(kind(&repeated), Err(RecordErrorKind::Malformed));
    let mut unknown = chunk(1, 2);
    unknown.events[1].0.jobs = vec![2];
    assert_eq!(kind(&unknown), Err(RecordErrorKind::Malformed));
    assert_eq!(
        unknown.encode_heads(1).map_err(RecordError::kind),
        Err(RecordErrorKind::Malformed)
    );
}

/// Whoever reads the file would else count on what is not so, and come to no end or to a panic.
#[test]
fn a_row_with_events_before_its_key_or_without_end_is_not_read() {
    for seq in [1, u64::MAX / 2, u64::MAX] {
        let row = seal(Kind::Heads, 2, 0, |row| {
            let counts = v1::CountsV1 {
                names: 0,
                events: 1,
            };
            let head = v1::HeadV1 {
                seq,
                identity: [0; 16],
                kept_at: 0,
                signed: true,
                marks: false,
                possible_repeat: false,
                replay_of: None,
                content_type: None,
                body_len: 0,
                jobs: 0,
            };
            let row = postcard::to_extend(&counts, row).unwrap();
            Ok(postcard::to_extend(&head, row).unwrap())
        })
        .unwrap();
        let read = Heads::decode(2, &row).map_err(RecordError::kind);
        assert_eq!(read, Err(RecordErrorKind::Malformed), "{seq}");
    }
}

#[test]
fn a_row_that_names_a_handler_twice_is_not_read() {
    let mut twice = chunk(1, 2);
    twice.names[1] = twice.names[0].clone();
    for row in [twice.encode(1), twice.encode_heads(1)] {
        let row = row.unwrap();
        let read = Chunk::decode(1, &row)
            .map(|_| ())
            .map_err(RecordError::kind);
        let heads = Heads::decode(1, &row)
            .map(|_| ())
            .map_err(RecordError::kind);
        assert!([read, heads].contains(&Err(RecordErrorKind::Malformed)));
    }
}

#[test]
fn a_long_error_is_cut_between_characters_and_loses_its_nuls() {
    let failed = |text: &str| {
        let failed = attempt(0, 1, AttemptEnd::Failed(text.into()));
        let row = Attempts::from_iter([failed]).encode(1).unwrap();
        let attempts = Attempts::decode(1, &row).unwrap();
        let (_, attempt) = attempts.of(0).next().unwrap();
        match &attempt.ended {
            AttemptEnd::Failed(text) => text.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(*failed("short"), *"short");
    assert_eq!(*failed("vbrevt\0\x01"), *"vbrevt \x01");
    assert_eq!(failed(&"x".repeat(5000)).len(), 1024);
    assert_eq!(
        *failed(&format!("x{}", "€".repeat(1000))),
        *format!("x{}", "€".repeat(341))
    );
}

#[test]
fn a_row_under_another_key_or_of_another_kind_is_noticed() {
    let row = chunk(1, 3).encode(1).unwrap();
    let kind = |key, row: &[u8]| Chunk::decode(key, row).unwrap_err().kind();
    assert_eq!(kind(2, &row), RecordErrorKind::WrongKey);
    assert_eq!(
        Heads::decode(1, &row).unwrap_err().kind(),
        RecordErrorKind::Foreign
    );
    let mut newer = row.clone();
    newer[7] = 2;
    assert_eq!(kind(1, &newer), RecordErrorKind::Version);
    let mut rekeyed = row;
    rekeyed[16] = 2;
    assert_eq!(kind(2, &rekeyed), RecordErrorKind::Checksum);
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let rows = [
        chunk(1, 3).encode(1).unwrap(),
        chunk(1, 3).encode_heads(1).unwrap(),
        progress().encode(1).unwrap(),
        attempts().encode(1).unwrap(),
    ];
    let none_reads = |row: &[u8]| {
        Chunk::decode(1, row).is_err()
            && Heads::decode(1, row).is_err()
            && Progress::decode(1, row).is_err()
            && Attempts::decode(1, row).is_err()
    };
    for row in rows {
        for at in 0..row.len() {
            assert!(none_reads(&row[..at]));
            for bit in 0..8 {
                let mut flipped = row.clone();
                flipped[at] ^= 1 << bit;
                assert!(none_reads(&flipped), "byte {at}, bit {bit}");
            }
        }
        let mut longer = row;
        longer.push(0);
        assert!(none_reads(&longer));
    }
}

/// With a checksum that fits, so that the decoder sees every one of them.
#[test]
fn no_payload_makes_the_decoder_panic_or_allocate_much() {
    let rows = [
        (Kind::Chunk, chunk(1, 5).encode(1).unwrap()),
        (Kind::Heads, chunk(1, 5).encode_heads(1).unwrap()),
        (Kind::Progress, progress().encode(1).unwrap()),
        (Kind::Attempts, attempts().encode(1).unwrap()),
    ];
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    for (kind, row) in rows {
        for _ in 0..20_000 {
            let mut payload = row[Header::LEN..].to_vec();
            for _ in 0..=next(4) {
                let at = next(payload.len());
                payload[at] = match next(3) {
                    0 => 0xff,
                    1 => 0,
                    _ => next(256) as u8,
                };
            }
            payload.truncate(payload.len() - next(2) * next(payload.len()));
            let row = seal(kind, 1, 0, |mut row| {
                row.extend_from_slice(&payload);
                Ok(row)
            })
            .unwrap();
            let _ = Chunk::decode(1, &row);
            let _ = Heads::decode(1, &row);
            let _ = Progress::decode(1, &row);
            let _ = Attempts::decode(1, &row);
        }
    }
}

#[test]
fn bodies_are_not_in_debug() {
    let mut chunk = chunk(1, 1);
    chunk.events[0].1 = Bytes::from_static(b"hidden");
    assert!(!format!("{chunk:?}").contains("hidden"));
}
