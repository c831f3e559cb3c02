//! The directory of an inbox: how it is made, what lies in it before the file is opened, and who
//! may use it.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{DiskInboxError, DiskInboxErrorKind, Result};
use super::lock::private;
use super::schema::{APPLICATION, FILE, LOG, VERSION};

/// Says that there was an inbox, whatever has become of its file.
const TAG: &str = "inbox.tag";

/// The files of an inbox. The WAL is part of it: what was kept last is nowhere else.
const FILES: [&str; 3] = [FILE, LOG, "inbox.db-shm"];

/// Makes the directory, for its owner alone, where there is none. Its name survives a power cut.
pub(super) fn create(directory: &Path) -> Result<()> {
    let none = || DiskInboxError::new(DiskInboxErrorKind::NotADirectory);
    if directory.as_os_str().is_empty() {
        return Err(none());
    }
    let absolute = std::path::absolute(directory)?;
    // Until there was an inbox whoever made the directories may have ended before their names were
    // synced.
    let unsynced = !absolute.join(TAG).exists();
    let is_new = |path: &&Path| !path.exists();
    let new = absolute.ancestors().take_while(is_new).count();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let created = builder.create(directory);
    created.map_err(|error| match directory.ancestors().any(Path::is_file) {
        true => none(),
        false => error.into(),
    })?;
    let most = if unsynced { usize::MAX } else { new };
    for (place, parent) in absolute.ancestors().skip(1).take(most).enumerate() {
        match sync(parent) {
            // Not one that this process could have made, or that can be synced.
            Err(error) if place >= new && !is_of_disk(&error) => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes sure that there can be a file: the one that is there or, where there never was one, a new
/// one.
pub(super) fn prepare(directory: &Path) -> Result<()> {
    check(directory)?;
    // SQLite makes its other files for whoever may use this one.
    private(&directory.join(FILE))?;
    Ok(())
}

/// Makes names in a directory survive a power cut.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

fn is_of_disk(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// Looks whether the file can be opened, without SQLite, which would write to the directory.
///
/// # Errors
///
/// [`DiskInboxErrorKind::Missing`] when the file is missing, empty or zeroed although there was an
/// inbox, [`DiskInboxErrorKind::Damaged`] when it is cut off or no inbox, and what else its header
/// tells.
pub(super) fn check(directory: &Path) -> Result<()> {
    /// Of the file's format: <https://www.sqlite.org/fileformat.html#the_database_header>.
    const HEADER: usize = 100;
    let has_wal = length(&directory.join(LOG))? > 0;
    // The file was being made: SQLite takes back what is there of it.
    if length(&directory.join("inbox.db-journal"))? > 0 {
        return Ok(());
    }
    let missing = || DiskInboxError::new(DiskInboxErrorKind::Missing);
    let path = directory.join(FILE);
    let bytes = length(&path)?;
    if bytes == 0 {
        // A process that dies as it makes the file leaves it empty, and no tag.
        return match has_wal || directory.join(TAG).exists() {
            true => Err(missing()),
            false => Ok(()),
        };
    }
    let mut header = Vec::with_capacity(HEADER);
    File::open(&path)?
        .take(HEADER as u64)
        .read_to_end(&mut header)?;
    if header.iter().all(|byte| *byte == 0) {
        return Err(missing());
    }
    if !header.starts_with(b"SQLite format 3\0") || header.len() < HEADER {
        return Err(DiskInboxError::damaged());
    }
    let number = |at: usize| {
        let bytes = header.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    };
    // 65,536 does not fit in 16 bits, and is written as 1.
    let page = match number(16) >> 16 {
        1 => 65_536,
        size => u64::from(size),
    };
    // With a WAL the pages that are missing may be in there.
    if !has_wal && bytes < page * u64::from(number(28)) {
        return Err(DiskInboxError::damaged());
    }
    // Until the first checkpoint they are in the WAL alone.
    if ![0, APPLICATION].contains(&i64::from(number(68))) {
        let kind = DiskInboxErrorKind::Damaged;
        return Err(DiskInboxError::of(kind, "the file is no inbox"));
    }
    match i64::from(number(60)) > VERSION {
        true => Err(DiskInboxError::new(DiskInboxErrorKind::NewerFormat)),
        false => Ok(()),
    }
}

/// The length of a file, 0 where there is none.
fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(0)
        }
        found => found.map(|file| file.len()),
    }
}

/// The file is there and synced: from here on its absence is a loss.
pub(super) fn mark(directory: &Path) -> io::Result<()> {
    let path = directory.join(TAG);
    if path.try_exists()? {
        return Ok(());
    }
    sync(directory)?;
    private(&path)?;
    let mut tag = File::options().write(true).open(&path)?;
    tag.write_all(
        b"An inbox of voipbin-receiver: inbox.db, with inbox.db-wal where there is one.\n",
    )?;
    tag.sync_all()?;
    sync(directory)
}

/// Puts what is left of a file that cannot be opened into a directory of its own, to be salvaged.
pub(super) fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let aside = directory.join(format!("lost-{}", now.unwrap_or_default().as_millis()));
    DirBuilder::new().create(&aside)?;
    rename_into(directory, &aside)?;
    Ok(aside)
}

/// Moves an inbox into another directory.
pub(super) fn rename_into(from: &Path, to: &Path) -> io::Result<()> {
    // The tag last: without all of this there is an inbox that is missing.
    for file in FILES.into_iter().chain([TAG]) {
        match fs::rename(from.join(file), to.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync(to)?;
    sync(from)
}

/// Bodies are personal data. What somebody made may be for others too, so its mode is left as it is
/// and told of, with what can be done and does not shut this process out.
#[cfg(unix)]
pub(super) fn warn(directory: &Path) {
    for (path, mode, advice) in open_to_others(directory) {
        tracing::warn!(
            path = %path.display(),
            mode = format_args!("{mode:o}"),
            "others than the inbox's process may use this, which holds personal data: {advice}"
        );
    }
}

#[cfg(not(unix))]
pub(super) fn warn(_directory: &Path) {}

/// What others may use, its mode and what to do.
#[cfg(unix)]
fn open_to_others(directory: &Path) -> Vec<(PathBuf, u32, String)> {
    use std::os::unix::fs::MetadataExt;
    /// Whatever is made in the directory belongs to its group: it is shared on purpose, as a volume
    /// is that a pod gets by `fsGroup`.
    const SETGID: u32 = 0o2000;
    let Ok(whole) = fs::metadata(directory) else {
        return Vec::new();
    };
    // The process has made it: who that is, as this file system sees it.
    let own = fs::metadata(directory.join(super::requests::FILE)).map(|own| own.uid());
    let shared = whole.mode() & SETGID != 0;
    let mut open = Vec::new();
    for path in FILES
        .iter()
        .map(|file| directory.join(file))
        .chain([directory.to_owned()])
    {
        let Ok(found) = fs::metadata(&path) else {
            continue;
        };
        let mode = found.mode() & 0o7777;
        let is_own = own.as_ref().is_ok_and(|own| *own == found.uid());
        // Where it is another's, this process may be in by the group.
        let private = if is_own && !shared { 0o077 } else { 0o007 };
        if mode & private == 0 {
            continue;
        }
        let (path_shown, own) = (path.display(), own.as_ref().map_or(0, |own| *own));
        let advice = match (is_own, shared) {
            (true, false) => format!("`chmod go= {path_shown}`"),
            (true, true) => format!("`chmod o= {path_shown}`"),
            (false, _) => format!(
                "`chown {own} {path_shown}` first, as this process may be one of those others, then \
                 `chmod o= {path_shown}`"
            ),
        };
        open.push((path, mode, advice));
    }
    open
}

#[cfg(test)]
mod tests;
