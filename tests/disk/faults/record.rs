//! What a process did to its files, as `shim.c` recorded it.

use std::env::temp_dir;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// What was done, in the order in which it was done.
pub(crate) struct Record {
    bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

pub(crate) struct Entry {
    pub(crate) operation: Operation,
    /// Beneath the root; the root itself is empty.
    pub(crate) path: String,
    pub(crate) offset: u64,
    data: Range<usize>,
    /// The error of a sync that failed.
    pub(crate) failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Write,
    SetLength,
    /// A sync begins.
    Sync,
    /// A sync ends.
    Synced,
    Remove,
    Rename,
    MakeDirectory,
    Mark,
}

const HEADER: usize = 24;

impl Record {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let mut entries = Vec::new();
        let mut at = 0;
        // A process that is killed from outside may leave a part of an entry.
        while let Some(header) = bytes.get(at..at + HEADER) {
            let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
            let path = at + HEADER..at + HEADER + word(8) as usize;
            let data = path.end..path.end + word(12) as usize;
            let Some(path) = bytes.get(path).filter(|_| data.end <= bytes.len()) else {
                break;
            };
            let path = String::from_utf8(path.to_vec()).unwrap();
            at = data.end;
            entries.push(Entry {
                operation: operation(header[0], &path),
                offset: u64::from_le_bytes(header[16..].try_into().unwrap()),
                failed: word(4) != 0,
                path,
                data,
            });
        }
        Self { bytes, entries }
    }

    pub(crate) fn data(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.data.clone()]
    }

    pub(crate) fn text(&self, entry: &Entry) -> &str {
        std::str::from_utf8(self.data(entry)).unwrap()
    }
}

fn operation(letter: u8, path: &str) -> Operation {
    match letter {
        b'c' => Operation::Create,
        b'w' => Operation::Write,
        b't' => Operation::SetLength,
        b's' => Operation::Sync,
        b'S' => Operation::Synced,
        b'u' => Operation::Remove,
        b'n' => Operation::Rename,
        b'm' => Operation::MakeDirectory,
        b'k' => Operation::Mark,
        b'x' => panic!("{path} is written through a mapping, which is not recorded"),
        other => panic!("an operation {other}"),
    }
}

/// The library that records, built from `shim.c`.
pub(crate) fn shim() -> &'static Path {
    static SHIM: LazyLock<PathBuf> = LazyLock::new(|| {
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim.so");
        // Under another name first: another test may use it meanwhile.
        let built = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut cc = Command::new("cc");
        cc.args([
            "-std=gnu11",
            "-O1",
            "-shared",
            "-fPIC",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
        ]);
        cc.arg(built.path());
        cc.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/disk/faults/shim.c"));
        assert!(cc.args(["-ldl", "-lpthread"]).status().unwrap().success());
        built.persist(&library).unwrap();
        library
    });
    &SHIM
}

/// A place in memory where there is one: nothing there waits for a disk.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let place = if memory.is_dir() { memory } else { temp_dir() };
    tempfile::tempdir_in(place).unwrap()
}
