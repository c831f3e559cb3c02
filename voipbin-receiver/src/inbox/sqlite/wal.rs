//! The write-ahead log, before SQLite reads it.
//!
//! SQLite takes a log up to the first frame that is not as it was written, and says nothing of what
//! comes behind. After a power cut that is right: what is torn is the last commit, whose sync did
//! not return. But each commit is synced before the next one is written. So where frames of a later
//! commit are there too, what is damaged was synced and answered. What cannot be told from a torn
//! write is damage to the last commit, and to the last frame of the one before it.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::error::{DiskInboxError, Result};

/// Sizes and places of the format: <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.
const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The last bit says in which order of bytes checksums are made.
const MAGIC: u32 = 0x377f_0682;

/// A log as SQLite will take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    /// Up to the end of the last commit that is whole.
    taken: usize,
    /// Behind that there are commits that were synced.
    loses: bool,
}

/// Bytes of a log that hold what was synced, and that SQLite does not take.
pub(super) fn lost(log: &Path) -> io::Result<u64> {
    let bytes = match std::fs::read(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        bytes => bytes?,
    };
    let extent = extent(&bytes);
    Ok(match extent.loses {
        true => (bytes.len() - extent.taken) as u64,
        false => 0,
    })
}

/// Brings a log to the disk for sure, without what SQLite does not take of it.
///
/// After a sync that failed, in this process or one before it, what was written may be in the
/// system's memory alone, and a next sync says nothing of it. What is committed after it would be
/// lost with it.
///
/// # Errors
///
/// Damaged where something was synced that SQLite would not take.
pub(super) fn prepare(log: &Path) -> Result<()> {
    let mut file = match File::options().read(true).write(true).open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let Extent { taken, loses } = extent(&bytes);
    if loses {
        return Err(DiskInboxError::damaged());
    }
    file.rewind()?;
    file.write_all(bytes.get(..taken).unwrap_or_default())?;
    file.set_len(taken as u64)?;
    file.sync_all()?;
    Ok(())
}

fn extent(bytes: &[u8]) -> Extent {
    let Some(log) = Log::of(bytes) else {
        // A header is synced before the first frame is written.
        let has_frames = bytes.iter().skip(HEADER).any(|byte| *byte != 0);
        return Extent {
            taken: 0,
            loses: has_frames && !begins_again(bytes),
        };
    };
    let size = FRAME_HEADER + log.page;
    let frames = bytes.get(HEADER..).unwrap_or_default();
    let (mut sum, mut whole, mut taken) = (log.sum, true, HEADER);
    let mut commits_behind = 0;
    for (number, frame) in (1..).zip(frames.chunks_exact(size)) {
        let (head, page) = frame.split_at(FRAME_HEADER);
        let ends_commit = word(head, 4) != 0;
        let is_of_log = head.get(8..16) == Some(log.salt);
        if whole {
            sum = log.checksum(log.checksum(sum, head.get(..8).unwrap_or_default()), page);
            whole = is_of_log && sum == (word(head, 16), word(head, 20));
            if whole && ends_commit {
                taken = HEADER + number * size;
            }
        }
        commits_behind += usize::from(!whole && is_of_log && ends_commit);
    }
    Extent {
        taken,
        loses: commits_behind > 1,
    }
}

/// Whether a header was written in part, as on a full disk, over that of a log whose frames are all
/// in the file: it has the next number, and the frames follow from the one before.
fn begins_again(bytes: &[u8]) -> bool {
    let before = || {
        let mut header = bytes.first_chunk::<HEADER>()?.to_owned();
        let (frame, salt) = (bytes.get(HEADER..)?, 8..16);
        let number = word(bytes, 12).checked_sub(1)?;
        header
            .get_mut(12..16)?
            .copy_from_slice(&number.to_be_bytes());
        header.get_mut(16..24)?.copy_from_slice(frame.get(salt)?);
        let log = Log::unchecked(&header)?;
        let (head, page) = frame.split_at_checked(FRAME_HEADER)?;
        let sum = log.checksum(log.sum, head.get(..8)?);
        let sum = log.checksum(sum, page.get(..log.page)?);
        Some(sum == (word(head, 16), word(head, 20)))
    };
    before().unwrap_or_default()
}

struct Log<'a> {
    page: usize,
    salt: &'a [u8],
    big_endian: bool,
    /// Of the header, with which that of the first frame begins.
    sum: (u32, u32),
}

impl<'a> Log<'a> {
    /// `None` when the header is not as it was written.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let log = Self::unchecked(bytes)?;
        (log.sum == (word(bytes, 24), word(bytes, 28))).then_some(log)
    }

    /// Whatever its checksum says.
    fn unchecked(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let magic = word(header, 0);
        let mut log = Self {
            page: usize::try_from(word(header, 8)).ok()?,
            salt: header.get(16..24)?,
            big_endian: magic & 1 != 0,
            sum: (0, 0),
        };
        log.sum = log.checksum((0, 0), header.get(..24)?);
        (magic & !1 == MAGIC && log.page.is_power_of_two()).then_some(log)
    }

    fn checksum(&self, (mut first, mut second): (u32, u32), bytes: &[u8]) -> (u32, u32) {
        let number = |bytes: [u8; 4]| match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        for pair in bytes.as_chunks::<8>().0 {
            let [a, b, c, d, e, f, g, h] = *pair;
            first = first
                .wrapping_add(number([a, b, c, d]))
                .wrapping_add(second);
            second = second
                .wrapping_add(number([e, f, g, h]))
                .wrapping_add(first);
        }
        (first, second)
    }
}

/// A number of the format; 0 where there is none.
fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests;
