//! A disk in memory that can lose power, run full and fail.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use super::reader::READER;

const SECTOR: usize = 512;

/// A disk with one file on it. A clone is the same disk.
///
/// What was written is visible at once and survives a power cut only when it was synced. A file
/// that is still open does not get in the way of a crash: that gives a disk of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What the process sees.
    visible: Vec<u8>,
    image: Image,
    /// Changes and syncs so far.
    operations: u64,
    fault: Option<Fault>,
    /// Bytes that cannot be read.
    bad: Option<Range<usize>>,
    crash_at: Option<u64>,
    crashed: Option<(Vec<u8>, Image)>,
}

/// What a power cut leaves to chance, and what not.
#[derive(Clone, Debug, Default)]
struct Image {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Writes and changes of the length.
    Write,
    Sync,
    Read,
}

/// A failure to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) target: Target,
    /// How many of these succeed before.
    pub(crate) after: u64,
    pub(crate) error: io::ErrorKind,
    /// Until the disk is healed, or else once.
    pub(crate) lasting: bool,
    /// A sync that fails forgets some of what it should have written, by this seed: it will not be
    /// written by a later sync either, though it can still be read. So does Linux with the pages of
    /// a file, and not with its length.
    pub(crate) forget: Option<u64>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A disk with this file, synced.
    pub(crate) fn holding(file: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            visible: file.clone(),
            image: Image {
                synced: file,
                pending: Vec::new(),
            },
            ..State::default()
        })))
    }

    /// The file as the process sees it.
    pub(crate) fn file(&self) -> Vec<u8> {
        self.state().visible.clone()
    }

    /// Changes and syncs so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Remembers the state right before the operation of this number, from 0, for [`crash`](Self::crash)
    /// and [`kill`](Self::kill). What comes after it did not happen for them.
    pub(crate) fn crash_at(&self, operation: u64) {
        self.state().crash_at = Some(operation);
    }

    /// Whether that operation came.
    pub(crate) fn has_crashed(&self) -> bool {
        self.state().crashed.is_some()
    }

    /// The disk after a power cut: of what was not synced, the seed decides what is there.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        let image = match &*self.state() {
            State {
                crashed: Some((_, image)),
                ..
            } => image.clone(),
            state => state.image.clone(),
        };
        Self::holding(image.after_power_cut(&mut Random::new(seed)))
    }

    /// The disk after the process was killed: all that was written is there.
    pub(crate) fn kill(&self) -> Self {
        let state = self.state();
        let (visible, image) = match &state.crashed {
            Some((visible, image)) => (visible, image),
            None => (&state.visible, &state.image),
        };
        Self(Arc::new(Mutex::new(State {
            visible: visible.clone(),
            image: image.clone(),
            ..State::default()
        })))
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// From here on these bytes cannot be read, as by a bad sector. It stays hidden from whoever opens
    /// the file: only in a debug build the engine looks at every page then.
    pub(crate) fn spoil(&self, bytes: Option<Range<usize>>) {
        self.state().bad = bytes;
    }

    /// Whether a fault is set that is not over: a lasting one never is.
    pub(crate) fn is_faulty(&self) -> bool {
        self.state().fault.is_some()
    }

    pub(crate) fn heal(&self) {
        self.state().fault = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    /// Counts an operation. The failure of this one, if it is its turn.
    fn begin(&mut self, target: Target) -> Option<Fault> {
        if self.crash_at == Some(self.operations) {
            self.crashed = Some((self.visible.clone(), self.image.clone()));
        }
        self.operations += 1;
        self.fails(target)
    }

    fn fails(&mut self, target: Target) -> Option<Fault> {
        let fault = self.fault.as_mut().filter(|fault| fault.target == target)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let failing = *fault;
        if !failing.lasting {
            self.fault = None;
        }
        Some(failing)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.visible);
        self.image.pending.push(change);
    }
}

impl Image {
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.synced);
        }
    }

    fn after_power_cut(mut self, random: &mut Random) -> Vec<u8> {
        // Mostly lost, mostly kept, and all between.
        let kept_of_8 = random.below(9);
        for change in self.pending.drain(..) {
            match random.below(8) {
                fate if fate < kept_of_8 => change.apply(&mut self.synced),
                7 | 6 => change.torn(random, &mut self.synced),
                _ => {}
            }
        }
        self.synced
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => file.resize(*len, 0),
            Self::Write { offset, data } => write(file, *offset, data),
        }
    }

    /// Some of its sectors.
    fn torn(&self, random: &mut Random, file: &mut [u8]) {
        if let Self::Write { offset, data } = self {
            let mut at = 0;
            while at < data.len() {
                let end = (offset + at) / SECTOR * SECTOR + SECTOR - offset;
                let end = end.min(data.len());
                if random.below(2) == 0 {
                    write(file, offset + at, &data[at..end]);
                }
                at = end;
            }
        }
    }
}

/// What lies beyond the end of the file, because its growth was lost, is lost too.
fn write(file: &mut [u8], offset: usize, data: &[u8]) {
    let offset = offset.min(file.len());
    let len = data.len().min(file.len() - offset);
    file[offset..offset + len].copy_from_slice(&data[..len]);
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().visible.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.fails(Target::Read) {
            return Err(fault.error.into());
        }
        let range = usize::try_from(offset)
            .ok()
            .and_then(|offset| Some(offset..offset.checked_add(out.len())?));
        let bad = state.bad.as_ref().zip(range.as_ref());
        let reads = std::thread::current().name() == Some(READER);
        if reads && bad.is_some_and(|(bad, read)| bad.start < read.end && read.start < bad.end) {
            return Err(io::ErrorKind::Other.into());
        }
        let read = range.and_then(|range| state.visible.get(range));
        out.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.begin(Target::Write) {
            return Err(fault.error.into());
        }
        // A damaged file may ask for any length.
        let len = usize::try_from(len).ok().filter(|len| *len < 1 << 30);
        state.change(Change::SetLen(len.ok_or(io::ErrorKind::StorageFull)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        if let Some(fault) = state.begin(Target::Sync) {
            if let Some(seed) = fault.forget {
                let mut random = Random::new(seed);
                let mut gone =
                    |change: &Change| matches!(change, Change::Write { .. }) && random.below(2) > 0;
                state.image.pending.retain(|change| !gone(change));
            }
            return Err(fault.error.into());
        }
        state.image.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let mut state = self.state();
        assert!(offset + data.len() <= state.visible.len(), "beyond the end");
        let fault = state.begin(Target::Write);
        // What fails may have been written in part.
        let data = match fault {
            None => data,
            Some(_) => &data[..data.len() / 2],
        };
        let data = data.to_vec();
        state.change(Change::Write { offset, data });
        fault.map_or(Ok(()), |fault| Err(fault.error.into()))
    }
}

/// Numbers that a seed decides: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, without `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
