//! The frame around every row: what it is, whose it is, and whether it is whole.
//!
//! ```text
//!  0   8  magic: "vbr", three bytes of the kind, two of the version
//!  8   4  CRC-32 of all that follows the length
//! 12   4  length of the payload
//! 16   8  key
//! 24      payload
//! ```
//!
//! Numbers are little-endian. The key is in the row too, so that a row that is found outside of its
//! table can be checked, and one under a wrong key is noticed.

use std::io::BufRead;

use super::{RecordError, RecordErrorKind};

const CRC_AT: usize = 8;
const KEY_AT: usize = 16;

/// What a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chunk,
    Heads,
    Progress,
    Attempts,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Chunk, Self::Heads, Self::Progress, Self::Attempts];

    /// Six bytes of the kind and two of the version. A new version gets a magic of its own and new
    /// structs in the codec; those of version 1 stay as they are for as long as it is read.
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Chunk => *b"vbrevt\x00\x01",
            Self::Heads => *b"vbrhed\x00\x01",
            Self::Progress => *b"vbrprg\x00\x01",
            Self::Attempts => *b"vbratt\x00\x01",
        }
    }
}

/// The frame of a row whose content is not checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) key: u64,
    /// Of the whole row, this header included.
    pub(crate) row_len: usize,
    crc: u32,
}

impl Header {
    pub(crate) const LEN: usize = 24;
    pub(crate) const MAGIC_LEN: usize = 8;

    /// Where the next magic is in these bytes.
    pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let mut rest = bytes.get(at..)?;
            // The bytes up to and with the next of these, or all when there is none.
            let passed = rest.skip_until(b'v').ok().filter(|passed| *passed > 0)?;
            at += passed;
            let candidate = at - 1;
            let magic = bytes.get(candidate..)?.first_chunk();
            if magic.is_some_and(|magic| Kind::ALL.iter().any(|kind| kind.magic() == *magic)) {
                return Some(candidate);
            }
        }
    }

    /// Reads the header at the beginning of these bytes, if there is one of a known version.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let magic = bytes.first_chunk::<8>()?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.magic() == *magic)?;
        let crc = u32::from_le_bytes(*bytes.get(CRC_AT..)?.first_chunk()?);
        let len = u32::from_le_bytes(*bytes.get(CRC_AT + 4..)?.first_chunk()?);
        let key = u64::from_le_bytes(*bytes.get(KEY_AT..)?.first_chunk()?);
        let row_len = usize::try_from(len).ok()?.checked_add(Header::LEN)?;
        Some(Self {
            kind,
            key,
            row_len,
            crc,
        })
    }

    /// Whether these bytes are the row of this header, unchanged.
    pub(crate) fn fits(&self, row: &[u8]) -> bool {
        row.len() == self.row_len
            && row
                .get(KEY_AT..)
                .is_some_and(|checked| crc32fast::hash(checked) == self.crc)
    }
}

/// The payload of a row that is whole.
pub(super) fn open(kind: Kind, key: u64, row: &[u8]) -> Result<&[u8], RecordError> {
    let fail = |kind| Err(RecordError::new(kind));
    let Some(header) = Header::read(row) else {
        let same_kind = kind.magic().iter().zip(row).take(6).all(|(a, b)| a == b);
        return fail(match same_kind && row.len() >= Header::LEN {
            true => RecordErrorKind::Version,
            false => RecordErrorKind::Foreign,
        });
    };
    if header.kind != kind {
        return fail(RecordErrorKind::Foreign);
    }
    if !header.fits(row) {
        return fail(RecordErrorKind::Checksum);
    }
    if header.key != key {
        return fail(RecordErrorKind::WrongKey);
    }
    let foreign = RecordError::new(RecordErrorKind::Foreign);
    row.get(Header::LEN..).ok_or(foreign)
}

/// A row around what `fill` appends. `capacity` is an upper guess of its length.
pub(crate) fn seal(
    kind: Kind,
    key: u64,
    capacity: usize,
    fill: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, RecordError>,
) -> Result<Vec<u8>, RecordError> {
    let mut row = Vec::with_capacity(Header::LEN.saturating_add(capacity));
    row.extend_from_slice(&kind.magic());
    row.extend_from_slice(&[0; KEY_AT - CRC_AT]);
    row.extend_from_slice(&key.to_le_bytes());
    let mut row = fill(row)?;

    let too_large = || RecordError::new(RecordErrorKind::TooLarge);
    let len = row.len().checked_sub(Header::LEN).ok_or_else(too_large)?;
    let len = u32::try_from(len).map_err(|_| too_large())?;
    let (head, checked) = row.split_at_mut_checked(KEY_AT).ok_or_else(too_large)?;
    let crc = crc32fast::hash(checked).to_le_bytes();
    let numbers = crc.into_iter().chain(len.to_le_bytes());
    for (to, from) in head.iter_mut().skip(CRC_AT).zip(numbers) {
        *to = from;
    }
    Ok(row)
}
