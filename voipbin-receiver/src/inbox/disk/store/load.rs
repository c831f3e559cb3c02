//! Reading all of a store but the bodies.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use redb::{AccessGuard, ReadOnlyTable, ReadTransaction, ReadableTableMetadata};

use super::{ATTEMPTS, BODILESS, CHUNKS, HEADS, PROGRESS};
use crate::inbox::disk::record::{Attempts, Chunk, Heads, Progress};
use crate::inbox::disk::store_error::StoreError;

/// What a store holds under one key, the bodies aside.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) key: u64,
    /// `None` when they are damaged and cannot be taken from the chunk either.
    pub(crate) heads: Option<Heads>,
    /// `None` when there is none, or when it is damaged.
    pub(crate) progress: Option<Progress>,
    /// Whether there is a chunk. It may yet turn out to be damaged when it is read.
    pub(crate) has_bodies: bool,
    pub(crate) damage: Damage,
}

/// What was found damaged under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The heads could not be read, or were missing. They may have been taken from the chunk.
    pub(crate) heads: bool,
    /// The progress could not be read: how far the events have come is unknown.
    pub(crate) progress: bool,
    /// The chunk could not be read, or was missing. It is looked at only when the heads are damaged
    /// or the tables do not fit each other.
    pub(crate) bodies: bool,
}

impl Damage {
    pub(crate) fn any(self) -> bool {
        self.heads || self.progress || self.bodies
    }
}

/// Visits every key that anything is kept under, in order.
///
/// The chunks, which are nearly all of the file, are left alone until something does not fit. From
/// there on they are walked too, so that no key is missed because its heads are.
pub(super) fn load(
    transaction: &ReadTransaction,
    mut visit: impl FnMut(Loaded),
) -> Result<(), StoreError> {
    let tables = Tables {
        chunks: transaction.open_table(CHUNKS).map_err(redb::Error::from)?,
        heads: transaction.open_table(HEADS).map_err(redb::Error::from)?,
        progress: transaction
            .open_table(PROGRESS)
            .map_err(redb::Error::from)?,
        bodiless: transaction
            .open_table(BODILESS)
            .map_err(redb::Error::from)?,
    };
    let mut done = Done::default();
    if tables.count_fits()? && tables.visit(&mut done, false, &mut visit)? {
        return Ok(());
    }
    tables.visit(&mut done, true, &mut visit).map(|_| ())
}

/// The rows of up to `most` keys, from the last one that is not after `from`.
pub(super) fn rows(
    transaction: &ReadTransaction,
    from: u64,
    most: usize,
) -> Result<Vec<Loaded>, StoreError> {
    let open = |rows| transaction.open_table(rows).map_err(redb::Error::from);
    let (heads, progress) = (open(HEADS)?, open(PROGRESS)?);
    let bodiless = transaction
        .open_table(BODILESS)
        .map_err(redb::Error::from)?;
    let before = heads.range(..=from).map_err(redb::Error::from)?.next_back();
    let first = match before {
        Some(row) => row.map_err(redb::Error::from)?.0.value(),
        None => from,
    };
    let mut loaded = Vec::new();
    for row in heads.range(first..).map_err(redb::Error::from)?.take(most) {
        let (key, heads) = row.map_err(redb::Error::from)?;
        let key = key.value();
        let rows = KeyRows {
            key,
            heads: Some(heads),
            progress: progress.get(key).map_err(redb::Error::from)?,
            bodiless: bodiless.get(key).map_err(redb::Error::from)?,
            chunk: None,
        };
        loaded.push(rows.load());
    }
    Ok(loaded)
}

/// What is known of the attempts at these events.
pub(super) fn attempts(
    transaction: &ReadTransaction,
    seqs: RangeInclusive<u64>,
) -> Result<BTreeMap<u64, Attempts>, StoreError> {
    let table = transaction
        .open_table(ATTEMPTS)
        .map_err(redb::Error::from)?;
    let mut attempts = BTreeMap::new();
    for row in table.range(seqs).map_err(redb::Error::from)? {
        let (seq, row) = row.map_err(redb::Error::from)?;
        let seq = seq.value();
        match Attempts::decode(seq, row.value()) {
            Ok(found) => {
                attempts.insert(seq, found);
            }
            Err(error) => tracing::error!(
                record = seq,
                %error,
                "what is known of the attempts at an event is damaged on disk"
            ),
        }
    }
    Ok(attempts)
}

type RowTable = ReadOnlyTable<u64, &'static [u8]>;

struct Tables {
    chunks: RowTable,
    heads: RowTable,
    progress: RowTable,
    bodiless: ReadOnlyTable<u64, u64>,
}

/// What was visited: how many rows of each table, and which key comes next.
#[derive(Clone, Copy, Default)]
struct Done {
    next_key: u64,
    chunks: u64,
    heads: u64,
    progress: u64,
    bodiless: u64,
}

impl Tables {
    /// Whether there are as many chunks as the other tables let expect.
    fn count_fits(&self) -> Result<bool, StoreError> {
        let bodiless = len(&self.bodiless)?;
        let expected = len(&self.heads)?.checked_sub(bodiless);
        Ok(expected == Some(len(&self.chunks)?))
    }

    /// Goes on from `done`. False when something does not fit and the chunks were not walked.
    fn visit(
        &self,
        done: &mut Done,
        walk: bool,
        visit: &mut impl FnMut(Loaded),
    ) -> Result<bool, StoreError> {
        let mut heads = Rows::new(&self.heads, done.next_key, done.heads)?;
        let mut progress = Rows::new(&self.progress, done.next_key, done.progress)?;
        let mut bodiless = Rows::new(&self.bodiless, done.next_key, done.bodiless)?;
        let mut chunks = match walk {
            true => Some(Rows::new(&self.chunks, done.next_key, done.chunks)?),
            false => None,
        };
        loop {
            let chunk_key = chunks.as_ref().and_then(Rows::key);
            let keys = [heads.key(), progress.key(), bodiless.key(), chunk_key];
            let Some(key) = keys.into_iter().flatten().min() else {
                break;
            };
            let rows = KeyRows {
                key,
                heads: heads.take(key)?,
                progress: progress.take(key)?,
                bodiless: bodiless.take(key)?,
                chunk: match &mut chunks {
                    Some(chunks) => Some(chunks.take(key)?),
                    None => None,
                },
            };
            let mut next = *done;
            next.heads += u64::from(rows.heads.is_some());
            next.progress += u64::from(rows.progress.is_some());
            next.bodiless += u64::from(rows.bodiless.is_some());
            let loaded = rows.load();
            if !walk && loaded.damage.any() {
                return Ok(false);
            }
            next.chunks += u64::from(loaded.has_bodies);
            next.next_key = key.saturating_add(1);
            *done = next;
            visit(loaded);
        }
        heads.finish()?;
        progress.finish()?;
        bodiless.finish()?;
        chunks.map_or(Ok(()), Rows::finish)?;
        Ok(true)
    }
}

/// The rows of one key.
struct KeyRows {
    key: u64,
    heads: Option<Value>,
    progress: Option<Value>,
    bodiless: Option<AccessGuard<'static, u64>>,
    /// `None` while chunks are not walked.
    chunk: Option<Option<Value>>,
}

type Value = AccessGuard<'static, &'static [u8]>;

impl KeyRows {
    fn load(self) -> Loaded {
        let key = self.key;
        // The mark repeats its key, as it has no checksum of its own.
        let marked = self.bodiless.map(|mark| mark.value() == key);
        let may_lack_bodies = marked == Some(true);
        let mut damage = Damage {
            heads: self.heads.is_none(),
            progress: false,
            bodies: marked == Some(false),
        };
        let mut heads = self.heads.and_then(|row| {
            let decoded = Heads::decode(key, row.value()).ok();
            damage.heads = decoded.is_none();
            decoded
        });
        let progress = self.progress.and_then(|row| {
            let decoded = Progress::decode(key, row.value()).ok();
            damage.progress = decoded.is_none();
            decoded
        });
        let has_bodies = match self.chunk {
            None => !may_lack_bodies,
            Some(None) => {
                damage.bodies |= !may_lack_bodies;
                false
            }
            Some(Some(row)) => {
                if heads.is_none() {
                    heads = Chunk::decode(key, row.value()).ok().map(Heads::from);
                    damage.bodies |= heads.is_none();
                }
                true
            }
        };
        Loaded {
            key,
            heads,
            progress,
            has_bodies,
            damage,
        }
    }
}

/// The rows of a table in order, counted against the number that the table says it holds: a damaged
/// page can hide rows without a trace.
struct Rows<V: redb::Value + 'static> {
    range: redb::Range<'static, u64, V>,
    next: Option<(u64, AccessGuard<'static, V>)>,
    left: u64,
}

impl<V: redb::Value + 'static> Rows<V> {
    /// From a key on, with so many rows before it.
    fn new(table: &ReadOnlyTable<u64, V>, from: u64, before: u64) -> Result<Self, StoreError> {
        let mut rows = Self {
            range: table.range(from..).map_err(redb::Error::from)?,
            next: None,
            left: len(table)?.checked_sub(before).ok_or_else(unfit)?,
        };
        rows.advance(None)?;
        Ok(rows)
    }

    fn key(&self) -> Option<u64> {
        self.next.as_ref().map(|(key, _)| *key)
    }

    /// The row of this key, if it is the next one.
    fn take(&mut self, key: u64) -> Result<Option<AccessGuard<'static, V>>, StoreError> {
        if self.key() != Some(key) {
            return Ok(None);
        }
        let taken = self.next.take();
        self.advance(Some(key))?;
        Ok(taken.map(|(_, row)| row))
    }

    fn advance(&mut self, last: Option<u64>) -> Result<(), StoreError> {
        let Some(row) = self.range.next() else {
            return Ok(());
        };
        let (key, value) = row.map_err(redb::Error::from)?;
        let key = key.value();
        self.left = self.left.checked_sub(1).ok_or_else(unfit)?;
        if last.is_some_and(|last| key <= last) {
            return Err(unfit());
        }
        self.next = Some((key, value));
        Ok(())
    }

    fn finish(self) -> Result<(), StoreError> {
        match self.left {
            0 => Ok(()),
            _ => Err(unfit()),
        }
    }
}

fn len(table: &impl ReadableTableMetadata) -> Result<u64, StoreError> {
    Ok(table.len().map_err(redb::Error::from)?)
}

fn unfit() -> StoreError {
    StoreError::damaged("the rows of a table are not those that it counts")
}
