//! A damaged inbox, written anew from what can still be read of it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::Connection;

use super::copy::{CopyReport, Scratch, copy, with_suffix};
use super::error::{DiskInboxError, DiskInboxErrorKind, Result, unless_damaged};
use super::lock::{DirLock, holder_of, private};
use super::schema::{self, Access, FILE};
use super::{DiskInbox, LOCK_FILE, directory, wal};

impl DiskInbox {
    /// Brings back what can be read of a damaged inbox, into a new one in an empty directory.
    ///
    /// It copies the file and its write-ahead log first, with zeros for what the disk does not
    /// give, and changes nothing where they were; so it takes twice their space. Then each event is
    /// looked up by its number, around the pages that are damaged. Events keep their numbers. One
    /// of which it cannot be told how far it has come is handled again.
    ///
    /// It blocks, and reads the whole file.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use voipbin_receiver::inbox::DiskInbox;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let (damaged, anew) = (directory.path().join("damaged"), directory.path().join("anew"));
    /// # DiskInbox::open(&damaged).await?.closed().await;
    /// let report = DiskInbox::salvage(&damaged, &anew)?;
    /// println!("{} unfinished events are back", report.unfinished);
    /// if !report.is_whole() {
    ///     println!("{} are lost; `sqlite3 inbox.db .recover` may find more", report.lost.len());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When a directory is in use, the old file cannot be read or is too damaged to be looked into,
    /// or the new one is there already or cannot be written.
    pub fn salvage(
        damaged: impl AsRef<Path>,
        new: impl AsRef<Path>,
    ) -> Result<CopyReport, DiskInboxError> {
        let (from, to) = (damaged.as_ref(), new.as_ref());
        let file = from.join(FILE);
        let found = fs::metadata(&file).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                DiskInboxError::new(DiskInboxErrorKind::NotFound)
            }
            _ => error.into(),
        });
        found.map_err(|error| error.at(from))?;
        if let Some(holder) = holder_of(from) {
            return Err(DiskInboxError::new(DiskInboxErrorKind::Locked { holder }).at(from));
        }
        let locked = directory::create(to).and_then(|()| DirLock::acquire(to, LOCK_FILE));
        let _lock = locked.map_err(|error| error.at(to))?;
        if to.join(FILE).exists() {
            return Err(DiskInboxError::new(DiskInboxErrorKind::AlreadyExists).at(to));
        }
        let salvaged = salvage(&file, to).and_then(|report| {
            directory::mark(to)?;
            Ok(report)
        });
        salvaged.map_err(|error| error.at(from))
    }
}

fn salvage(file: &Path, to: &Path) -> Result<CopyReport> {
    let raw = to.join("salvage.db");
    let _scratch = Scratch::new(&raw)?;
    let mut unreadable = copy_file(file, &raw)?;
    let (log, raw_log) = (with_suffix(file, "-wal"), with_suffix(&raw, "-wal"));
    if log.try_exists()? {
        unreadable += copy_file(&log, &raw_log)?;
        unreadable += wal::lost(&raw_log)?;
    }
    let new = to.join(FILE);
    let mut report = match unless_damaged(read(&raw, &new))? {
        Some(report) => report,
        None => {
            replace_first_page(&raw)?;
            read(&raw, &new)?
        }
    };
    report.unreadable_bytes = unreadable;
    Ok(report)
}

fn read(raw: &Path, new: &Path) -> Result<CopyReport> {
    let source = Connection::open(raw)?;
    source.execute_batch("PRAGMA trusted_schema = 0; PRAGMA cell_size_check = 1")?;
    copy(&source, new)
}

/// The first page tells where each table begins. As all files of one version are made alike, that
/// of a new one says the same.
fn replace_first_page(raw: &Path) -> Result<()> {
    /// Places in the header: <https://www.sqlite.org/fileformat.html#the_database_header>.
    const PAGES: std::ops::Range<usize> = 28..32;
    const FREE_PAGES: std::ops::Range<usize> = 32..40;
    let pattern = with_suffix(raw, ".new");
    let _scratch = Scratch::new(&pattern)?;
    let made = schema::open(&pattern, Access::Write)?;
    made.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let size: u32 = made.pragma_query_value(None, "page_size", |row| row.get(0))?;
    drop(made);
    let mut page = vec![0; usize::try_from(size).unwrap_or_default()];
    File::open(&pattern)?.read_exact(&mut page)?;
    let mut raw = File::options().write(true).open(raw)?;
    let pages = raw.metadata()?.len() / u64::from(size);
    let pages = u32::try_from(pages).unwrap_or(u32::MAX).to_be_bytes();
    let mut set = |at: std::ops::Range<usize>, bytes: &[u8]| {
        if let Some(field) = page.get_mut(at) {
            field.copy_from_slice(bytes);
        }
    };
    set(PAGES, &pages);
    set(FREE_PAGES, &[0; 8]);
    raw.write_all(&page)?;
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    private(to)?;
    let mut from = File::open(from)?;
    let bytes = from.metadata()?.len();
    copy_readable(&mut from, &mut File::options().write(true).open(to)?, bytes)
}

/// Copies what can be read, and leaves zeros elsewhere. Gives how many bytes those are.
fn copy_readable(
    from: &mut (impl Read + Seek),
    to: &mut (impl Write + Seek),
    bytes: u64,
) -> io::Result<u64> {
    const STRIDE: u64 = 1 << 20;
    /// Of a disk: what else is in the stride is read by itself.
    const SECTOR: u64 = 4096;
    let mut unreadable = 0;
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < bytes {
        let stride = STRIDE.min(bytes - at);
        let end = at + stride;
        let size = match read_at(from, at, stride, &mut buffer) {
            Ok(()) => stride,
            Err(_) => SECTOR,
        };
        while at < end {
            let part = size.min(end - at);
            if size == SECTOR && read_at(from, at, part, &mut buffer).is_err() {
                unreadable += part;
                buffer.clear();
                buffer.resize(usize::try_from(part).unwrap_or_default(), 0);
            }
            to.seek(SeekFrom::Start(at))?;
            to.write_all(&buffer)?;
            at += part;
        }
    }
    Ok(unreadable)
}

fn read_at(from: &mut (impl Read + Seek), at: u64, bytes: u64, to: &mut Vec<u8>) -> io::Result<()> {
    to.clear();
    from.seek(SeekFrom::Start(at))?;
    match from.take(bytes).read_to_end(to)? as u64 == bytes {
        true => Ok(()),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests;
