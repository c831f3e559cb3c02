//! Events out of a file whose tables are beyond repair.
//!
//! redb keeps every value in one piece, small ones within a page and large ones in a page of their
//! own. So every row of a file can be found by its magic, its length and its checksum, whatever has
//! become of the tables.
//!
//! This prefers to bring back too much. Pages that were freed keep their rows until they are used
//! again: an event that was dropped long ago may reappear, and one whose commit never came to its
//! end may appear for the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::record::{Attempts, Chunk, EventProgress, Head, Header, Heads, Kind, Progress};
use crate::handler::HandlerName;

/// An event that was found.
#[derive(Clone)]
pub(crate) struct SalvagedEvent {
    pub(crate) head: Head,
    /// The handlers it was kept for, in the order of the head's jobs.
    pub(crate) jobs: Vec<HandlerName>,
    /// `None` when only its head was found: it was finished and cleaned, or its body is lost. The
    /// progress may tell which.
    pub(crate) body: Option<Bytes>,
    /// The latest that was found; `None` for a fresh event.
    pub(crate) progress: Option<EventProgress>,
    /// All that was found.
    pub(crate) attempts: Attempts,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// Events with their bodies.
    pub(crate) events: u64,
    /// Events of which only the head was found.
    pub(crate) bodiless: u64,
    /// Places that look like a row and are not whole.
    pub(crate) damaged: u64,
}

/// The longest row that is looked for, in bytes: a body of 64 MiB and room for its head. It bounds
/// the memory that is taken.
pub(crate) const MAX_ROW: usize = (64 << 20) + (1 << 20);

/// Finds every event in the bytes of a file: first those with their bodies, then the others, each
/// mostly in the order of their numbers. Reads the file and changes nothing.
///
/// Two events may come with the same number, when one is of a commit that failed: their identities
/// tell them apart.
///
/// Takes the memory of one block or chunk and, for each event, of some dozens of bytes.
pub(crate) fn salvage(
    mut file: impl Read + Seek,
    mut found: impl FnMut(SalvagedEvent),
) -> io::Result<Salvaged> {
    let file = &mut file;
    let mut rows = Rows::default();
    rows.find(file)?;
    let mut latest = Latest::of(file, &rows)?;
    let mut seen = BTreeSet::new();
    let mut salvaged = Salvaged {
        damaged: rows.damaged,
        ..Salvaged::default()
    };
    for at in rows.chunks.values().flatten() {
        let Ok(chunk) = Chunk::decode(at.key, &at.read(file)?) else {
            continue;
        };
        for (head, body) in chunk.events {
            if seen.insert((head.seq, head.identity)) {
                salvaged.events += 1;
                let progress = latest.progress(file, head.seq)?;
                let attempts = rows.attempts_at(file, head.seq)?;
                found(event(head, &chunk.names, Some(body), progress, attempts));
            }
        }
    }
    for at in rows.heads.values().flatten() {
        let Ok(heads) = Heads::decode(at.key, &at.read(file)?) else {
            continue;
        };
        for head in heads.heads {
            if seen.insert((head.seq, head.identity)) {
                salvaged.bodiless += 1;
                let progress = latest.progress(file, head.seq)?;
                let attempts = Attempts::default();
                found(event(head, &heads.names, None, progress, attempts));
            }
        }
    }
    Ok(salvaged)
}

fn event(
    head: Head,
    names: &[HandlerName],
    body: Option<Bytes>,
    progress: Option<EventProgress>,
    attempts: Attempts,
) -> SalvagedEvent {
    let name = |job: &u16| names.get(usize::from(*job)).cloned();
    SalvagedEvent {
        jobs: head.jobs.iter().filter_map(name).collect(),
        head,
        body,
        progress,
        attempts,
    }
}

/// Where a row is.
#[derive(Clone, Copy, Debug)]
struct Place {
    key: u64,
    offset: u64,
    header: Header,
}

impl Place {
    fn read(&self, file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
        read_at(file, self.offset, self.header.row_len)
    }
}

/// The bytes from a place on, at most `max`.
fn read_at(file: &mut (impl Read + Seek), offset: u64, max: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The rows of a file that are whole.
#[derive(Default)]
struct Rows {
    chunks: BTreeMap<u64, Vec<Place>>,
    heads: BTreeMap<u64, Vec<Place>>,
    /// The row that counts of each chunk.
    progress: BTreeMap<u64, Written>,
    /// By the number of the event.
    attempts: BTreeMap<u64, Vec<Place>>,
    damaged: u64,
}

struct Written {
    place: Place,
    generation: u64,
    /// How many of the events have ended.
    ended: usize,
}

impl Rows {
    const BLOCK: usize = 1 << 20;

    fn find(&mut self, file: &mut (impl Read + Seek)) -> io::Result<()> {
        let mut offset = 0;
        let mut len = Self::BLOCK;
        loop {
            let block = read_at(file, offset, len)?;
            let at_end = block.len() < len;
            let step = self.scan(&block, offset, at_end);
            if at_end {
                return Ok(());
            }
            offset += step.by as u64;
            len = step.need.max(Self::BLOCK);
        }
    }

    /// Takes the rows of a block, and tells where the next block begins and how long it must be.
    fn scan(&mut self, block: &[u8], offset: u64, at_end: bool) -> Step {
        let mut at = 0;
        while let Some(rest) = block.get(at..)
            && let Some(next) = Header::find(rest)
        {
            at += next;
            let Some(rest) = block.get(at..) else { break };
            let header = Header::read(rest).filter(|header| header.row_len <= MAX_ROW);
            let row = header.and_then(|header| rest.get(..header.row_len));
            match (header, row) {
                (Some(header), Some(row)) if header.fits(row) => {
                    let place = Place {
                        key: header.key,
                        offset: offset + at as u64,
                        header,
                    };
                    self.add(place, row);
                    at += header.row_len;
                }
                // Once more, with all of the row in the block.
                (Some(header), None) if !at_end => {
                    return Step {
                        by: at,
                        need: header.row_len,
                    };
                }
                // The header itself crosses the end of the block.
                (None, _) if !at_end && rest.len() < Header::LEN => {
                    return Step { by: at, need: 0 };
                }
                _ => {
                    self.damaged += 1;
                    at += 1;
                }
            }
        }
        let magic_may_begin = block.len().saturating_sub(Header::MAGIC_LEN - 1);
        Step {
            by: at.max(magic_may_begin),
            need: 0,
        }
    }

    fn add(&mut self, place: Place, row: &[u8]) {
        let copies = match place.header.kind {
            Kind::Chunk => self.chunks.entry(place.key).or_default(),
            Kind::Heads => self.heads.entry(place.key).or_default(),
            Kind::Attempts => self.attempts.entry(place.key).or_default(),
            Kind::Progress => return self.add_progress(place, row),
        };
        // A row that was moved left a copy behind.
        if !copies.iter().any(|copy| copy.header == place.header) {
            copies.push(place);
        }
    }

    /// Of all rows of an event together: each attempt has its number.
    fn attempts_at(&self, file: &mut (impl Read + Seek), seq: u64) -> io::Result<Attempts> {
        let mut attempts = Attempts::default();
        for place in self.attempts.get(&seq).into_iter().flatten() {
            let row = place.read(file)?;
            let found = Attempts::decode(seq, &row).unwrap_or_default();
            for (id, record) in found.iter() {
                attempts.add(id, record.clone());
            }
        }
        Ok(attempts)
    }

    fn add_progress(&mut self, place: Place, row: &[u8]) {
        let Ok(progress) = Progress::decode(place.key, row) else {
            self.damaged += 1;
            return;
        };
        let is_ended = |event: &EventProgress| !matches!(event, EventProgress::Jobs(_));
        let ended = progress.events.iter().filter(|(_, event)| is_ended(event));
        let written = Written {
            place,
            generation: progress.generation,
            ended: ended.count(),
        };
        // Of two with one number, one is of a commit that failed. Rather handle an event again than
        // never.
        let order = |of: &Written| (of.generation, std::cmp::Reverse(of.ended));
        let before = self.progress.get(&place.key);
        if before.is_none_or(|before| order(before) < order(&written)) {
            self.progress.insert(place.key, written);
        }
    }
}

struct Step {
    by: usize,
    need: usize,
}

/// Where the latest progress of each event is.
struct Latest<'a> {
    rows: &'a Rows,
    /// By the event's number: the generation, and the key of the chunk.
    by_seq: BTreeMap<u64, (u64, u64)>,
    /// The row that was read last, as most events of a chunk follow each other.
    last: Option<(u64, BTreeMap<u64, EventProgress>)>,
}

impl<'a> Latest<'a> {
    fn of(file: &mut (impl Read + Seek), rows: &'a Rows) -> io::Result<Self> {
        let mut by_seq = BTreeMap::new();
        for (key, written) in &rows.progress {
            let row = written.place.read(file)?;
            let progress = Progress::decode(*key, &row).unwrap_or_default();
            for (seq, _) in progress.events {
                let latest = by_seq.entry(seq).or_default();
                *latest = (written.generation, *key).max(*latest);
            }
        }
        Ok(Self {
            rows,
            by_seq,
            last: None,
        })
    }

    fn progress(
        &mut self,
        file: &mut (impl Read + Seek),
        seq: u64,
    ) -> io::Result<Option<EventProgress>> {
        let Some((_, key)) = self.by_seq.get(&seq) else {
            return Ok(None);
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != key)
            && let Some(written) = self.rows.progress.get(key)
        {
            let row = written.place.read(file)?;
            let progress = Progress::decode(*key, &row).unwrap_or_default();
            self.last = Some((*key, progress.events.into_iter().collect()));
        }
        let last = self.last.as_ref();
        Ok(last.and_then(|(_, events)| events.get(&seq).cloned()))
    }
}

#[cfg(test)]
mod tests;
