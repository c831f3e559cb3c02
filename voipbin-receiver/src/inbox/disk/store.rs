//! The file: tables of encoded rows, changed by one transaction at a time.
//!
//! redb may panic on a file that was damaged from outside. Every call into it is guarded, which needs
//! a process that unwinds: with `panic = "abort"` such a file ends the process. A commit into a file
//! whose lists of free pages are damaged can end it in any case, by a second panic while the first
//! unwinds. Only [`Store::open_checked`] keeps that away, at the price of reading the whole file.

mod backend;
mod load;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, Table, TableDefinition, TableError, WriteTransaction,
};

use self::backend::Measured;
pub(crate) use self::backend::open_file;
#[cfg(test)]
pub(crate) use self::load::Damage;
pub(crate) use self::load::Loaded;
use super::record::{Attempts, Chunk};
use super::store_error::{StoreError, StoreErrorKind};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const CHUNKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chunks");
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("heads");
const PROGRESS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("progress");
/// By the number of the event.
const ATTEMPTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("attempts");
/// The keys whose heads stay while their chunk is gone, each with itself as the value. It tells at
/// opening which chunks to expect, without a look at the chunks.
const BODILESS: TableDefinition<'_, u64, u64> = TableDefinition::new("bodiless");

/// The version of the tables: which there are and what they mean. The rows have one of their own.
const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";

/// An open file. Dropping it closes the file.
pub(crate) struct Store {
    /// `None` only while it is dropped.
    database: Option<Database>,
    len: Arc<AtomicU64>,
    broken: AtomicBool,
}

/// What one transaction changes: encoded rows by key. What is dropped goes before what is put.
///
/// A chunk goes with its heads: put both at once, drop the heads no earlier than the chunk.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) chunks: Vec<(u64, Vec<u8>)>,
    pub(crate) heads: Vec<(u64, Vec<u8>)>,
    pub(crate) progress: Vec<(u64, Vec<u8>)>,
    /// By the number of the event.
    pub(crate) attempts: Vec<(u64, Vec<u8>)>,
    pub(crate) drop_chunks: Vec<u64>,
    pub(crate) drop_heads: Vec<u64>,
    pub(crate) drop_progress: Vec<u64>,
    /// Those of all events with these numbers.
    pub(crate) drop_attempts: Vec<RangeInclusive<u64>>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
            && self.heads.is_empty()
            && self.progress.is_empty()
            && self.attempts.is_empty()
            && self.drop_chunks.is_empty()
            && self.drop_heads.is_empty()
            && self.drop_progress.is_empty()
            && self.drop_attempts.is_empty()
    }
}

/// Without the rows.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |rows: &[(u64, Vec<u8>)]| rows.iter().map(|(key, _)| *key).collect::<Vec<_>>();
        f.debug_struct("Changes")
            .field("chunks", &keys(&self.chunks))
            .field("heads", &keys(&self.heads))
            .field("progress", &keys(&self.progress))
            .field("attempts", &keys(&self.attempts))
            .field("drop_chunks", &self.drop_chunks)
            .field("drop_heads", &self.drop_heads)
            .field("drop_progress", &self.drop_progress)
            .field("drop_attempts", &self.drop_attempts)
            .finish()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("file_len", &self.file_len())
            .field("broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a file, or creates it, readable by its owner alone. `cache_bytes` bounds the memory
    /// that pages are kept in.
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        Self::open_file(open_file(path)?, cache_bytes)
    }

    /// Opens a file, which may be empty.
    pub(crate) fn open_file(file: File, cache_bytes: usize) -> Result<Self, StoreError> {
        Self::open_on(backend(file)?, cache_bytes)
    }

    /// The same, and reads every page and checks it. To be used when there is reason to doubt the
    /// file: [`load`](Self::load) told of damage, or the process was aborted.
    pub(crate) fn open_checked(file: File, cache_bytes: usize) -> Result<Self, StoreError> {
        Self::open_checked_on(backend(file)?, cache_bytes)
    }

    /// Opens anything that can store bytes.
    pub(crate) fn open_on(
        backend: impl StorageBackend,
        cache_bytes: usize,
    ) -> Result<Self, StoreError> {
        Self::open_with(backend, Builder::new().set_cache_size(cache_bytes))
    }

    pub(crate) fn open_checked_on(
        backend: impl StorageBackend,
        cache_bytes: usize,
    ) -> Result<Self, StoreError> {
        let mut builder = Builder::new();
        builder
            .set_cache_size(cache_bytes)
            .set_check_integrity_on_open(true);
        Self::open_with(backend, &builder)
    }

    fn open_with(backend: impl StorageBackend, builder: &Builder) -> Result<Self, StoreError> {
        let (backend, len) = Measured::new(backend);
        let opened = guarded(|| {
            Ok(builder
                .create_with_backend(backend)
                .map_err(redb::Error::from)?)
        });
        let store = Self {
            database: Some(opened?),
            len,
            broken: AtomicBool::new(false),
        };
        store.call(|database| match format_of(database)? {
            Some(format) => migrate(format),
            None => create_tables(database),
        })?;
        Ok(store)
    }

    /// Visits every key in order, with all that is kept under it but the bodies.
    ///
    /// A damaged row is reported with its key. Fails when the damage is to the tables themselves:
    /// what was visited until then is whole, and the rest is for salvage. The store is broken then,
    /// so that nothing is written into such a file.
    pub(crate) fn load(&self, visit: impl FnMut(Loaded)) -> Result<(), StoreError> {
        self.call(|database| {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            load::load(&transaction, visit)
        })
    }

    /// What is kept under up to `most` keys but the bodies, from the last key that is not after
    /// `from`. Where heads are damaged there is no telling what they were of.
    pub(crate) fn rows(&self, from: u64, most: usize) -> Result<Vec<Loaded>, StoreError> {
        self.call(|database| {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            load::rows(&transaction, from, most)
        })
    }

    /// Makes the changes, all or none of them. When this returns they survive a power cut.
    ///
    /// After an error it is open whether they were made, and the store is broken.
    pub(crate) fn commit(&self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.call(|database| {
            let transaction = begin_write(database)?;
            apply(&transaction, changes)?;
            Ok(transaction.commit().map_err(redb::Error::from)?)
        })
    }

    /// Reads a chunk. `None` when there is none under this key. Where only its row is damaged, the
    /// store goes on.
    pub(crate) fn chunk(&self, key: u64) -> Result<Option<Chunk>, StoreError> {
        let read = self.call(|database| {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            let table = transaction.open_table(CHUNKS).map_err(redb::Error::from)?;
            let row = table.get(key).map_err(redb::Error::from)?;
            Ok(row.map(|row| Chunk::decode(key, row.value())))
        })?;
        read.transpose().map_err(StoreError::damaged)
    }

    /// What is known of the attempts at the events with these numbers, of those that have any. A
    /// damaged row is left out, and the store goes on.
    pub(crate) fn attempts(
        &self,
        seqs: RangeInclusive<u64>,
    ) -> Result<BTreeMap<u64, Attempts>, StoreError> {
        self.call(|database| {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            load::attempts(&transaction, seqs)
        })
    }

    /// Moves everything to the front of the file and cuts it. Returns the bytes that the file system
    /// got back. It takes long, as it writes much of the file anew.
    pub(crate) fn compact(&mut self) -> Result<u64, StoreError> {
        let before = self.file_len();
        self.usable()?;
        let database = self.database.as_mut().ok_or_else(closed)?;
        let compacted = guarded(|| {
            let compacted = database.compact().map_err(redb::Error::from)?;
            // Its commits leave out what lets the file open at once after a crash.
            begin_write(database)?.commit().map_err(redb::Error::from)?;
            Ok(compacted)
        });
        if compacted.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        compacted.map(|_| before.saturating_sub(self.file_len()))
    }

    /// Closes the file without writing to it, as a process does that dies. For a file that turned out
    /// to be damaged: closing it in order writes a little.
    pub(crate) fn abandon(self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Length of the file in bytes.
    pub(crate) fn file_len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether something failed that leaves no trust in what is in memory. Every further call fails;
    /// the store must be dropped and opened anew.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    fn usable(&self) -> Result<(), StoreError> {
        match self.is_broken() {
            true => Err(closed()),
            false => Ok(()),
        }
    }

    fn call<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.usable()?;
        let database = self.database.as_ref().ok_or_else(closed)?;
        let result = guarded(|| work(database));
        if result.is_err() {
            self.broken.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let database = self.database.take();
        let broken = self.is_broken();
        // What fails here was committed before, and is repaired when the file is opened.
        let _ = guarded(move || {
            let _closed_at_the_end = database;
            if broken {
                // redb writes nothing when it is dropped by a panic. This one calls no hook.
                resume_unwind(Box::new(()));
            }
            Ok(())
        });
    }
}

fn backend(file: File) -> Result<FileBackend, StoreError> {
    Ok(FileBackend::new(file).map_err(redb::Error::from)?)
}

/// Turns a panic into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    // Nothing that a panic left half done is used again: the store is broken from then on.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::damaged("the database library panicked")))
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed)
}

fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(redb::Error::from)?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(redb::Error::from)?;
    // Opening after a crash then takes no walk over the whole file.
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The version of the tables, or `None` for a file that has none yet.
fn format_of(database: &Database) -> Result<Option<u64>, StoreError> {
    let transaction = database.begin_read().map_err(redb::Error::from)?;
    let meta = match transaction.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => {
            let mut others = transaction.list_tables().map_err(redb::Error::from)?;
            return match others.next() {
                None => Ok(None),
                Some(_) => Err(StoreError::damaged("it has tables and no format")),
            };
        }
        opened => opened.map_err(redb::Error::from)?,
    };
    let format = meta.get(FORMAT_KEY).map_err(redb::Error::from)?;
    let format = format.ok_or_else(|| StoreError::damaged("its format is not told"))?;
    Ok(Some(format.value()))
}

/// Brings the tables of an earlier release to this one's format.
///
/// The next version gets an arm that turns the tables of version 1 into its own and writes
/// [`FORMAT_KEY`], in one transaction, and then falls through to the check of the result.
fn migrate(found: u64) -> Result<(), StoreError> {
    match found {
        FORMAT => Ok(()),
        newer if newer > FORMAT => Err(StoreError::new(StoreErrorKind::NewerFormat {
            found: newer,
            known: FORMAT,
        })),
        older => Err(StoreError::damaged(format!(
            "its format {older} was never released"
        ))),
    }
}

fn create_tables(database: &Database) -> Result<(), StoreError> {
    let transaction = begin_write(database)?;
    {
        let mut meta = transaction.open_table(META).map_err(redb::Error::from)?;
        meta.insert(FORMAT_KEY, FORMAT).map_err(redb::Error::from)?;
    }
    for rows in [CHUNKS, HEADS, PROGRESS, ATTEMPTS] {
        transaction.open_table(rows).map_err(redb::Error::from)?;
    }
    transaction
        .open_table(BODILESS)
        .map_err(redb::Error::from)?;
    Ok(transaction.commit().map_err(redb::Error::from)?)
}

fn apply(transaction: &WriteTransaction, changes: &Changes) -> Result<(), StoreError> {
    let open = |rows| transaction.open_table(rows).map_err(redb::Error::from);
    let mut chunks = open(CHUNKS)?;
    remove_all(&mut chunks, &changes.drop_chunks)?;
    insert_all(&mut chunks, &changes.chunks)?;

    let mut heads = open(HEADS)?;
    let mut bodiless = transaction
        .open_table(BODILESS)
        .map_err(redb::Error::from)?;
    for key in &changes.drop_heads {
        heads.remove(key).map_err(redb::Error::from)?;
        bodiless.remove(key).map_err(redb::Error::from)?;
    }
    if !bodiless.is_empty().map_err(redb::Error::from)? {
        for (key, _) in &changes.chunks {
            bodiless.remove(key).map_err(redb::Error::from)?;
        }
    }
    insert_all(&mut heads, &changes.heads)?;
    let put = changes.heads.iter().map(|(key, _)| key);
    for key in put.chain(&changes.drop_chunks) {
        let has_heads = heads.get(key).map_err(redb::Error::from)?.is_some();
        let has_chunk = chunks.get(key).map_err(redb::Error::from)?.is_some();
        if has_heads && !has_chunk {
            bodiless.insert(key, key).map_err(redb::Error::from)?;
        }
    }

    let mut progress = open(PROGRESS)?;
    remove_all(&mut progress, &changes.drop_progress)?;
    insert_all(&mut progress, &changes.progress)?;

    let mut attempts = open(ATTEMPTS)?;
    if !attempts.is_empty().map_err(redb::Error::from)? {
        for seqs in &changes.drop_attempts {
            let none = |_, _: &[u8]| false;
            attempts
                .retain_in(seqs.clone(), none)
                .map_err(redb::Error::from)?;
        }
    }
    insert_all(&mut attempts, &changes.attempts)
}

type RowTable<'a> = Table<'a, u64, &'static [u8]>;

fn remove_all(table: &mut RowTable<'_>, keys: &[u64]) -> Result<(), StoreError> {
    for key in keys {
        table.remove(key).map_err(redb::Error::from)?;
    }
    Ok(())
}

fn insert_all(table: &mut RowTable<'_>, rows: &[(u64, Vec<u8>)]) -> Result<(), StoreError> {
    for (key, row) in rows {
        let row = row.as_slice();
        table.insert(key, row).map_err(redb::Error::from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
