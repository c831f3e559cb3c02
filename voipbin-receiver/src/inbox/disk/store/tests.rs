mod crash;
mod damage;
mod failure;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::disk::faults::{Disk, Random};
use crate::inbox::disk::record::{
    AttemptEnd, AttemptId, AttemptRecord, EventProgress, Head, Heads, Progress,
};

const CACHE: usize = 1 << 20;

/// What a store should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    chunks: BTreeMap<u64, Chunk>,
    heads: BTreeMap<u64, Heads>,
    progress: BTreeMap<u64, Progress>,
    attempts: BTreeMap<u64, Attempts>,
}

fn head(seq: u64, random: &mut Random) -> Head {
    Head {
        seq,
        identity: EventKey::from_bytes([random.below(256) as u8; 16]),
        kept_at: random.next() >> 20,
        signed: true,
        marks: false,
        possible_repeat: false,
        replay_of: None,
        content_type: Some("application/json".into()),
        jobs: vec![0, 1],
        body_len: 0,
    }
}

/// Some events from `first` on, now and then a body of more than a page.
fn chunk(first: u64, count: u64, random: &mut Random) -> Chunk {
    let events = (first..first + count).map(|seq| {
        let len = match random.below(8) {
            0 => random.below(10_000),
            _ => random.below(300),
        };
        let body = Bytes::from(vec![random.below(256) as u8; len]);
        let head = Head {
            body_len: len as u32,
            ..head(seq, random)
        };
        (head, body)
    });
    Chunk {
        events: events.collect(),
        names: ["audit", "crm"].map(HandlerName::new).into(),
    }
}

/// One commit: an event or more kept, some finished, some chunks and some heads dropped.
#[derive(Default)]
pub(super) struct Commit {
    next_seq: u64,
    generation: u64,
}

impl Commit {
    /// Up to the next chunk, whichever numbers are in use.
    fn drop_attempts(&self, key: u64, changes: &mut Changes, model: &mut Model) {
        let keys = model.heads.range(key + 1..).next();
        let next = keys.map_or(self.next_seq, |(next, _)| *next);
        changes.drop_attempts.push(key..=next - 1);
        model.attempts.retain(|seq, _| !(key..next).contains(seq));
    }

    pub(super) fn random(&mut self, model: &mut Model, random: &mut Random) -> Changes {
        let mut changes = Changes::default();
        for key in model.heads.keys().copied().collect::<Vec<_>>() {
            match random.below(20) {
                0 => {
                    changes.drop_chunks.push(key);
                    model.chunks.remove(&key);
                    self.drop_attempts(key, &mut changes, model);
                }
                1 => {
                    changes.drop_chunks.push(key);
                    self.drop_attempts(key, &mut changes, model);
                    changes.drop_heads.push(key);
                    changes.drop_progress.push(key);
                    model.chunks.remove(&key);
                    model.heads.remove(&key);
                    model.progress.remove(&key);
                }
                2..6 => {
                    self.generation += 1;
                    let progress = Progress {
                        generation: self.generation,
                        events: vec![(key, EventProgress::Finished { at: random.next() })],
                    };
                    changes.progress.push((key, progress.encode(key).unwrap()));
                    model.progress.insert(key, progress);
                }
                6..9 => {
                    let seq = key;
                    let attempts = model.attempts.entry(seq).or_default();
                    let number = attempts.iter().count() as u32 + 1;
                    attempts.add(AttemptId { job: 0, number }, attempt(random));
                    changes.attempts.push((seq, attempts.encode(seq).unwrap()));
                }
                _ => {}
            }
        }
        for _ in 0..1 + random.below(2) {
            let count = 1 + random.below(6) as u64;
            let chunk = chunk(self.next_seq, count, random);
            let key = self.next_seq;
            self.next_seq += count + random.below(3) as u64;
            changes.chunks.push((key, chunk.encode(key).unwrap()));
            changes.heads.push((key, chunk.encode_heads(key).unwrap()));
            model.heads.insert(key, chunk.clone().into());
            model.chunks.insert(key, chunk);
        }
        changes
    }
}

fn attempt(random: &mut Random) -> AttemptRecord {
    let len = match random.below(8) {
        0 => 1000,
        _ => random.below(100),
    };
    AttemptRecord {
        at: random.next() >> 20,
        millis: 1,
        ended: AttemptEnd::Failed("x".repeat(len).into()),
    }
}

/// All that a store holds. Fails where it reports damage.
pub(super) fn content(store: &Store) -> Model {
    let mut model = Model::default();
    let mut last = None;
    store
        .load(|loaded| {
            let key = loaded.key;
            assert!(last.replace(key) < Some(key));
            assert!(!loaded.damage.any(), "{loaded:?}");
            let heads = loaded.heads.unwrap();
            model.heads.insert(key, heads);
            if let Some(progress) = loaded.progress {
                model.progress.insert(key, progress);
            }
            let chunk = store.chunk(key).unwrap();
            assert_eq!(chunk.is_some(), loaded.has_bodies);
            chunk.map(|chunk| model.chunks.insert(key, chunk));
        })
        .unwrap();
    model.attempts = store.attempts(0..=u64::MAX).unwrap();
    model
}

pub(super) fn open(disk: &Disk) -> Store {
    Store::open_on(disk.clone(), CACHE).unwrap()
}

fn kind<T>(result: Result<T, StoreError>) -> Option<StoreErrorKind> {
    result.err().map(|error| error.kind())
}

fn folder() -> std::path::PathBuf {
    use std::sync::atomic::AtomicU32;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "voipbin-receiver-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

#[test]
fn a_store_is_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<Store>();
}

#[test]
fn what_is_committed_is_there_when_the_store_is_opened_again() {
    let disk = Disk::new();
    let mut model = Model::default();
    let mut commits = Commit::default();
    let mut random = Random::new(1);
    for _ in 0..30 {
        let store = open(&disk);
        for _ in 0..3 {
            store
                .commit(&commits.random(&mut model, &mut random))
                .unwrap();
        }
        assert_eq!(content(&store), model);
    }
}

#[test]
fn rows_may_be_replaced_and_bodies_come_back() {
    let store = open(&Disk::new());
    let mut random = Random::new(1);
    let chunk = chunk(1, 3, &mut random);
    let put = Changes {
        chunks: vec![(1, chunk.encode(1).unwrap())],
        heads: vec![(1, chunk.encode_heads(1).unwrap())],
        ..Changes::default()
    };
    let drop_chunk = Changes {
        drop_chunks: vec![1],
        ..Changes::default()
    };
    let heads_only = Changes {
        heads: vec![(1, chunk.encode_heads(1).unwrap())],
        ..Changes::default()
    };
    let drop_all = Changes {
        drop_chunks: vec![1],
        drop_heads: vec![1],
        ..Changes::default()
    };
    for (changes, heads, bodies) in [
        (&put, 1, 1),
        (&drop_chunk, 1, 0),
        (&heads_only, 1, 0),
        (&put, 1, 1),
        (&heads_only, 1, 1),
        (&drop_all, 0, 0),
        (&drop_all, 0, 0),
        (&heads_only, 1, 0),
        (&put, 1, 1),
    ] {
        store.commit(changes).unwrap();
        let content = content(&store);
        assert_eq!((content.heads.len(), content.chunks.len()), (heads, bodies));
    }
}

#[cfg(unix)]
#[test]
fn a_new_file_is_its_owners_alone_and_an_old_one_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = folder.join("inbox");
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    drop(Store::open(&path, CACHE).unwrap());
    assert_eq!(mode(), 0o600);
    for kept in [0o640, 0o600] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(kept)).unwrap();
        drop(Store::open(&path, CACHE).unwrap());
        assert_eq!(mode(), kept);
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_file_is_open_once() {
    let folder = folder();
    let path = folder.join("inbox");
    let store = Store::open(&path, CACHE).unwrap();
    assert_eq!(
        kind(Store::open(&path, CACHE)),
        Some(StoreErrorKind::Locked)
    );
    assert_eq!(store.file_len(), std::fs::metadata(&path).unwrap().len());
    drop(store);
    Store::open(&path, CACHE).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error_of_io() {
    let folder = folder();
    for path in [folder.clone(), folder.join("no/such/folder")] {
        assert_eq!(kind(Store::open(&path, CACHE)), Some(StoreErrorKind::Io));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

fn set_format(disk: &Disk, format: Option<u64>) {
    let database = Builder::new().create_with_backend(disk.clone()).unwrap();
    let transaction = database.begin_write().unwrap();
    match format {
        Some(format) => {
            let mut meta = transaction.open_table(META).unwrap();
            meta.insert(FORMAT_KEY, format).unwrap();
        }
        None => assert!(transaction.delete_table(META).unwrap()),
    }
    transaction.commit().unwrap();
}

#[test]
fn a_file_of_another_format_is_refused_and_left_as_it_is() {
    let disk = Disk::new();
    drop(open(&disk));
    let opened = |format| {
        set_format(&disk, format);
        kind(Store::open_on(disk.clone(), CACHE))
    };
    let newer = StoreErrorKind::NewerFormat { found: 2, known: 1 };
    assert_eq!(opened(Some(2)), Some(newer));
    assert_eq!(opened(Some(0)), Some(StoreErrorKind::Damaged));
    assert_eq!(opened(None), Some(StoreErrorKind::Damaged));
    assert_eq!(opened(Some(1)), None);
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let mut without_header = vec![0; 100_000];
    without_header[99_999] = 1;
    for file in [vec![1; 100], without_header, b"redb".repeat(10_000)] {
        let disk = Disk::holding(file.clone());
        let opened = Store::open_on(disk.clone(), CACHE);
        assert_eq!(kind(opened), Some(StoreErrorKind::Damaged));
        assert_eq!(disk.file(), file);
    }
}

#[test]
fn compacting_gives_back_what_was_dropped() {
    let disk = Disk::new();
    let mut store = open(&disk);
    let mut random = Random::new(3);
    let mut keys = Vec::new();
    for key in (0..4000).step_by(20) {
        let chunk = chunk(key, 20, &mut random);
        keys.push(key);
        let changes = Changes {
            chunks: vec![(key, chunk.encode(key).unwrap())],
            heads: vec![(key, chunk.encode_heads(key).unwrap())],
            ..Changes::default()
        };
        store.commit(&changes).unwrap();
    }
    let changes = Changes {
        drop_chunks: keys[..150].to_vec(),
        ..Changes::default()
    };
    store.commit(&changes).unwrap();
    let model = content(&store);
    let before = store.file_len();
    let given_back = store.compact().unwrap();
    assert!(given_back > before / 4, "{given_back} of {before}");
    assert_eq!(store.file_len(), before - given_back);
    assert_eq!(disk.file().len() as u64, store.file_len());
    assert_eq!(content(&store), model);
}

/// Prints what a large inbox takes to open and to write; asserts no time.
#[test]
fn a_million_heads_are_loaded() {
    use std::time::Instant;
    let count = if cfg!(debug_assertions) {
        20_000
    } else {
        1_000_000
    };
    let disk = Disk::new();
    let store = open(&disk);
    let mut random = Random::new(1);
    let started = Instant::now();
    for first in (0..count).step_by(10_000) {
        let mut changes = Changes::default();
        for key in (first..first + 10_000).step_by(100) {
            let mut chunk = chunk(key, 100, &mut random);
            for (head, body) in &mut chunk.events {
                *body = Bytes::from(vec![1; 500]);
                head.body_len = 500;
            }
            changes.chunks.push((key, chunk.encode(key).unwrap()));
            changes.heads.push((key, chunk.encode_heads(key).unwrap()));
        }
        store.commit(&changes).unwrap();
    }
    let written = started.elapsed();
    drop(store);
    let started = Instant::now();
    let store = open(&disk);
    let opened = started.elapsed();
    let mut heads = 0;
    let mut load = |loaded: Loaded| heads += loaded.heads.unwrap().heads.len() as u64;
    store.load(&mut load).unwrap();
    let loaded = started.elapsed() - opened;
    assert_eq!(heads, count);
    let file_len = store.file_len();
    drop(store);
    let started = Instant::now();
    let checked = Store::open_checked_on(disk, CACHE).unwrap();
    println!(
        "{count} events, {file_len} bytes: written {written:?}, opened {opened:?}, loaded \
         {loaded:?}, opened checked {:?}",
        started.elapsed()
    );
    drop(checked);
}
