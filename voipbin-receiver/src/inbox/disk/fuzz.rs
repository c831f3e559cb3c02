//! What must hold for any bytes of a file; see [`crate::fuzz`].
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a property that does not hold ends the run"
)]

pub(crate) mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{self, Cursor};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use self::samples::{attempts, chunk_of, event, progress};
use super::load::load;
use super::read::{read_again, read_aside, read_from};
use super::ready::Next;
use super::record::{Attempts, Chunk, Header, Heads, Kind, Progress, RecordError, seal};
use super::records::read as read_records;
use super::salvage::{self as salvager, SalvagedEvent};
use super::settings::DiskInboxBuilder;
use super::shared::Shared;
use super::store::{Changes, Store};
use crate::event::EventKey;

const KINDS: [Kind; 4] = [Kind::Chunk, Kind::Heads, Kind::Progress, Kind::Attempts];
const KEY: u64 = 1;

/// No bytes make a decoder panic; what one reads is written and read as the same; a row of which one bit
/// changed is not read.
///
/// The first byte is the kind, the others are the payload: its frame is put around it here, so that the
/// decoder behind the checksum sees it.
pub fn records(bytes: &[u8]) {
    let _ = (Chunk::decode(KEY, bytes), Heads::decode(KEY, bytes));
    let _ = (Progress::decode(KEY, bytes), Attempts::decode(KEY, bytes));

    let Some((kind, payload)) = bytes.split_first() else {
        return;
    };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let row = framed(kind, KEY, payload);
    match kind {
        Kind::Chunk => {
            comes_back(
                &row,
                |row| Chunk::decode(KEY, row),
                |chunk| chunk.encode(KEY),
            );
        }
        Kind::Heads => {
            comes_back(
                &row,
                |row| Heads::decode(KEY, row),
                |heads| heads.encode(KEY),
            );
        }
        Kind::Progress => comes_back(
            &row,
            |row| Progress::decode(KEY, row),
            |progress| progress.encode(KEY),
        ),
        // Texts lose their NULs and what is beyond their longest: once.
        Kind::Attempts => {
            if let Ok(attempts) = Attempts::decode(KEY, &row) {
                comes_back(
                    &attempts.encode(KEY).unwrap(),
                    |row| Attempts::decode(KEY, row),
                    |attempts| attempts.encode(KEY),
                );
            }
        }
    }
}

fn comes_back<T: PartialEq + Debug>(
    row: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, RecordError>,
    encode: impl Fn(&T) -> Result<Vec<u8>, RecordError>,
) {
    let Ok(read) = decode(row) else { return };
    let mut written = encode(&read).unwrap();
    assert_eq!(decode(&written).as_ref(), Ok(&read));
    assert_eq!(encode(&decode(&written).unwrap()).unwrap(), written);

    // A bit that the row itself chooses.
    let bit = crc32fast::hash(row) as usize % (written.len() * 8);
    written[bit / 8] ^= 1 << (bit % 8);
    assert!(decode(&written).is_err());
}

fn framed(kind: Kind, key: u64, payload: &[u8]) -> Vec<u8> {
    seal(kind, key, payload.len(), |mut row| {
        row.extend_from_slice(payload);
        Ok(row)
    })
    .unwrap()
}

/// Salvage finds every row that is whole, whatever lies around it, and nothing that is in no row.
///
/// The first byte tells where in the others the known row is put.
pub fn salvage(bytes: &[u8]) {
    let Some((at, junk)) = bytes.split_first() else {
        return;
    };
    let known = event(KEY);
    let chunk = chunk_of([known.clone()]);
    let (before, after) = junk.split_at(junk.len() * usize::from(*at) / 255);
    let file = [before, &chunk.encode(KEY).unwrap(), after].concat();
    if reaches_into(&file, before.len()) {
        return;
    }

    let found = salvaged(&file);
    let is_known = |event: &&SalvagedEvent| event.head.identity == known.0.identity;
    let events: Vec<&SalvagedEvent> = found.iter().filter(is_known).collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].body.as_ref(), Some(&known.1));
    assert_eq!(events[0].jobs, chunk.names);
    let whole = in_rows(&file);
    let is_whole = |event: &SalvagedEvent| whole.contains(&(event.head.seq, event.head.identity));
    assert!(found.iter().all(is_whole));
}

/// Whether a row before this place goes on after it, checksum and all: a fuzzer makes one, but chance and
/// JSON, which has no NUL for the magic, do not.
fn reaches_into(file: &[u8], place: usize) -> bool {
    whole_rows(file).any(|(at, header)| at < place && at + header.row_len > place)
}

/// The events of all rows that are whole, also of those that lie in each other.
fn in_rows(file: &[u8]) -> BTreeSet<(u64, EventKey)> {
    let mut events = BTreeSet::new();
    for (at, header) in whole_rows(file) {
        let row = &file[at..at + header.row_len];
        let chunk = Chunk::decode(header.key, row).map(Heads::from);
        let heads = chunk.or_else(|_| Heads::decode(header.key, row));
        let heads = heads.into_iter().flat_map(|heads| heads.heads);
        events.extend(heads.map(|head| (head.seq, head.identity)));
    }
    events
}

/// Where the rows are whose checksums fit.
fn whole_rows(file: &[u8]) -> impl Iterator<Item = (usize, Header)> {
    (0..file.len()).filter_map(|at| {
        let header = Header::read(&file[at..])?;
        let row = file.get(at..at.checked_add(header.row_len)?)?;
        header.fits(row).then_some((at, header))
    })
}

fn salvaged(file: &[u8]) -> Vec<SalvagedEvent> {
    let mut events = Vec::new();
    let counts = salvager::salvage(Cursor::new(file), |event| events.push(event)).unwrap();
    let with_body = events.iter().filter(|event| event.body.is_some());
    assert_eq!(with_body.count() as u64, counts.events);
    assert_eq!(events.len() as u64, counts.events + counts.bodiless);
    events
}

/// Rows that are whole and do not fit together are opened, handed out, listed and given up without a
/// panic; what is handed out was in a row, and each job of it comes once.
///
/// The bytes are rows one after the other: the table, the key, the length of the payload in two bytes,
/// and the payload.
pub fn inbox(bytes: &[u8]) {
    let mut changes = Changes::default();
    let mut known = BTreeSet::new();
    for (kind, key, payload) in Rows(bytes) {
        let row = framed(kind, key, payload);
        if let Ok(chunk) = Chunk::decode(key, &row) {
            known.extend(
                chunk
                    .events
                    .iter()
                    .map(|(head, _)| (head.seq, head.identity)),
            );
        }
        match kind {
            Kind::Chunk => changes.chunks.push((key, row)),
            Kind::Heads => changes.heads.push((key, row)),
            Kind::Progress => changes.progress.push((key, row)),
            Kind::Attempts => changes.attempts.push((key, row)),
        }
    }
    let store = Store::open_on(InMemoryBackend::new(), 0).unwrap();
    store.commit(&changes).unwrap();
    let settings = DiskInboxBuilder::new("in memory".into()).0;
    let shared = Arc::new(Shared::new(settings, store));
    load(&shared).unwrap();
    shared.attach().unwrap();

    for job in handed_out(&shared) {
        assert!(known.contains(&job));
    }
    list(&shared);
    end(&shared, known.iter().map(|(seq, _)| *seq));
}

/// All jobs that are ready, each of them once.
fn handed_out(shared: &Shared) -> BTreeSet<(u64, EventKey)> {
    let mut jobs = BTreeSet::new();
    let mut events = BTreeSet::new();
    loop {
        let next = shared.ready().next(64);
        match next {
            Next::Jobs(taken) => {
                for job in taken {
                    assert!(jobs.insert((job.id(), job.handler().clone())));
                    events.insert((job.id(), job.delivery().identity()));
                }
            }
            Next::Read(seqs) => assert!(read_again(shared, &seqs)),
            Next::ReadFrom(seq) => assert!(read_from(shared, seq)),
            Next::ReadAside(key) => assert!(read_aside(shared, key)),
            Next::Wait(_) | Next::Closed => return events,
        }
    }
}

fn list(shared: &Shared) {
    let mut from = 0;
    loop {
        match read_records(shared, from, 10, |_| true).unwrap() {
            (_, Some(next)) if next > from => from = next,
            _ => return,
        }
    }
}

/// Everything is given up, and removed once its time has come.
fn end(shared: &Shared, seqs: impl Iterator<Item = u64>) {
    let mut index = shared.index();
    for seq in seqs {
        index.discard(seq, 1, shared.keep);
    }
    for (key, progress) in index.take_dirty(&[], 1) {
        assert_eq!(
            Progress::decode(key, &progress.encode(key).unwrap()),
            Ok(progress)
        );
    }
    let mut left = index.used();
    while let Some(key) = index.next_due(u64::MAX) {
        let cleaning = index.cleaning(key, u64::MAX, shared.keep);
        let _ = index.numbers(key);
        index.cleaned(key, &cleaning, 0, shared.keep);
        assert!(index.used() < left);
        left = index.used();
    }
}

struct Rows<'a>(&'a [u8]);

impl<'a> Iterator for Rows<'a> {
    type Item = (Kind, u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let [kind, key, high, low, rest @ ..] = self.0 else {
            return None;
        };
        let len = usize::from(*high) << 8 | usize::from(*low);
        let (payload, rest) = rest.split_at(rest.len().min(len));
        self.0 = rest;
        // Some from either end.
        let key = match key {
            0xf0.. => u64::MAX - u64::from(0xff - key),
            _ => u64::from(*key),
        };
        Some((KINDS[usize::from(*kind) % KINDS.len()], key, payload))
    }
}

/// A file of which bytes have changed is opened, read and salvaged without a panic, and shows nothing
/// that was not in it.
///
/// The bytes are changes: a place in three bytes, and what is put there.
pub fn damage(bytes: &[u8]) {
    let stored = Stored::get();
    let mut file = stored.file.clone();
    let (changes, _) = bytes.as_chunks::<4>();
    for [high, middle, low, value] in changes {
        let at = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let at = at % file.len();
        file[at] = *value;
    }

    for event in salvaged(&file) {
        let body = stored.events.get(&(event.head.seq, event.head.identity));
        assert!(body.is_some_and(|body| event.body.is_none_or(|found| found == *body)));
    }
    let Ok(store) = Store::open_on(Bounded::holding(&file), 1 << 20) else {
        return;
    };
    // A panic of the engine is an error here.
    let _ = store.load(|loaded| {
        for head in loaded.heads.into_iter().flat_map(|heads| heads.heads) {
            assert!(stored.events.contains_key(&(head.seq, head.identity)));
        }
        if let Ok(Some(chunk)) = store.chunk(loaded.key) {
            for (head, body) in chunk.events {
                let expected = stored.events.get(&(head.seq, head.identity));
                assert_eq!(expected, Some(&body));
            }
        }
    });
    // A commit would be at the file's mercy.
    store.abandon();
}

/// A file as it is found after a while.
struct Stored {
    file: Vec<u8>,
    events: BTreeMap<(u64, EventKey), Bytes>,
}

impl Stored {
    fn get() -> &'static Self {
        static STORED: OnceLock<Stored> = OnceLock::new();
        STORED.get_or_init(Self::new)
    }

    fn new() -> Self {
        let backend = Arc::new(InMemoryBackend::new());
        let store = Store::open_on(Bounded(Arc::clone(&backend)), 1 << 20).unwrap();
        let mut events = BTreeMap::new();
        for key in (1..60).step_by(10) {
            let kept: Vec<_> = (key..key + 5).map(event).collect();
            let known = kept.iter();
            events.extend(known.map(|(head, body)| ((head.seq, head.identity), body.clone())));
            let chunk = chunk_of(kept);
            let changes = Changes {
                chunks: vec![(key, chunk.encode(key).unwrap())],
                heads: vec![(key, chunk.encode_heads(key).unwrap())],
                progress: vec![(key, progress(key).encode(key).unwrap())],
                attempts: vec![(key, attempts().encode(key).unwrap())],
                ..Changes::default()
            };
            store.commit(&changes).unwrap();
        }
        drop(store);
        let mut file = vec![0; backend.len().unwrap() as usize];
        backend.read(0, &mut file).unwrap();
        Self { file, events }
    }
}

/// Memory that a damaged file cannot fill.
#[derive(Debug)]
struct Bounded(Arc<InMemoryBackend>);

impl Bounded {
    fn holding(file: &[u8]) -> Self {
        let backend = InMemoryBackend::new();
        backend.set_len(file.len() as u64).unwrap();
        backend.write(0, file).unwrap();
        Self(Arc::new(backend))
    }
}

impl StorageBackend for Bounded {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        match len {
            0..0x100_0000 => self.0.set_len(len),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}
