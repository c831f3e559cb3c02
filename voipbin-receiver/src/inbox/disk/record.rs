//! The rows of the file, as values and as bytes.

mod codec;
mod row;
mod v1;

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fmt;

use bytes::Bytes;

#[cfg(any(test, fuzzing))]
pub(super) use self::row::seal;
pub(super) use self::row::{Header, Kind};
use crate::event::EventKey;
use crate::handler::HandlerName;

/// What is known of a kept event without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number. Numbers rise in the order in which events are kept.
    pub(crate) seq: u64,
    pub(crate) identity: EventKey,
    /// Unix time in milliseconds.
    pub(crate) kept_at: u64,
    /// Whether its signature was verified. Otherwise it came without one.
    pub(crate) signed: bool,
    /// Whether the identity is not the event's own; see [`Repeats::Mark`](crate::inbox::Repeats).
    pub(crate) marks: bool,
    pub(crate) possible_repeat: bool,
    /// The number of the event that it repeats, when somebody asked for it to be handled again.
    pub(crate) replay_of: Option<u64>,
    pub(crate) content_type: Option<Box<str>>,
    /// Its handlers, as places in the names of the chunk.
    pub(crate) jobs: Vec<u16>,
    /// In bytes. Encoding a chunk takes it from the body.
    pub(crate) body_len: u32,
}

/// Events that were kept by one commit, their numbers rising from the key of the row on. There may be
/// gaps.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) names: Vec<HandlerName>,
    pub(crate) events: Vec<(Head, Bytes)>,
}

/// A chunk without the bodies: all that is read when the inbox is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) names: Vec<HandlerName>,
    pub(crate) heads: Vec<Head>,
}

/// How far the events of a chunk have come. One row for each chunk, written anew when anything in
/// it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Rises with each writing. Of two rows of a chunk, the one with the higher number counts.
    pub(crate) generation: u64,
    /// By number. An event that is not listed is fresh.
    pub(crate) events: Vec<(u64, EventProgress)>,
}

/// How far an event has come. Times are Unix times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventProgress {
    /// All of its jobs have ended.
    Finished { at: u64 },
    /// It was given up by somebody.
    Discarded { at: u64 },
    /// One for each job of the head, in the same order.
    Jobs(Vec<JobProgress>),
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobProgress {
    /// Attempts that ended badly. What is known of each of them is in [`Attempts`].
    pub(crate) attempts: u32,
    /// Whether the process died during the last of them.
    pub(crate) interrupted: bool,
    pub(crate) stage: JobStage,
}

/// Where a job stands. Times are Unix times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobStage {
    Queued,
    /// An attempt began, and its end is not recorded.
    Begun {
        at: u64,
    },
    /// Both are kept, not the moment when they are over: a clock that was set back must not make
    /// anything wait for longer.
    Waiting {
        since: u64,
        millis: u64,
        /// Whether nothing else of its lane may run before it.
        in_lane: bool,
    },
    Done {
        at: u64,
    },
    /// No further attempt is made.
    Dead {
        at: u64,
    },
    /// It was dead, and the event was replayed for it.
    Replayed {
        at: u64,
    },
}

/// The attempts at an event that ended badly. One row for each event that has any, under its number;
/// it goes with the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// By job and number. Of one job no more than [`Attempts::MOST`], the latest.
    made: BTreeMap<AttemptId, AttemptRecord>,
}

/// Which attempt of an event is meant: the same one whoever writes it down, and however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AttemptId {
    /// The place of the job among those of the event.
    pub(crate) job: u16,
    /// From 1.
    pub(crate) number: u32,
}

/// An attempt that ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttemptRecord {
    /// When it began, in Unix time in milliseconds.
    pub(crate) at: u64,
    /// How long it ran.
    pub(crate) millis: u64,
    pub(crate) ended: AttemptEnd,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AttemptEnd {
    /// With this error. Encoding cuts it to [`AttemptEnd::MAX_TEXT`] bytes and replaces NUL.
    Failed(Box<str>),
    Panicked,
    TimedOut,
    /// The process died.
    Interrupted,
}

impl AttemptEnd {
    /// Bytes of an error's text that are kept.
    pub(crate) const MAX_TEXT: usize = 1024;
}

impl Chunk {
    /// The row under this key. Fails when the events are not in order or before the key, name a handler
    /// twice or one that is not in the names, or are too large.
    pub(crate) fn encode(&self, key: u64) -> Result<Vec<u8>, RecordError> {
        codec::encode_chunk(key, &self.names, &self.events)
    }

    /// The row of the heads alone.
    pub(crate) fn encode_heads(&self, key: u64) -> Result<Vec<u8>, RecordError> {
        let heads = self
            .events
            .iter()
            .map(|(head, body)| (head, codec::body_len(body)));
        codec::encode_heads(key, &self.names, heads)
    }

    /// Reads a row. Each body is in memory of its own, so that one event does not hold the others.
    pub(crate) fn decode(key: u64, row: &[u8]) -> Result<Self, RecordError> {
        codec::decode_chunk(key, row::open(Kind::Chunk, key, row)?)
    }
}

impl Heads {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn encode(&self, key: u64) -> Result<Vec<u8>, RecordError> {
        let heads = self.heads.iter().map(|head| (head, Ok(head.body_len)));
        codec::encode_heads(key, &self.names, heads)
    }

    pub(crate) fn decode(key: u64, row: &[u8]) -> Result<Self, RecordError> {
        codec::decode_heads(key, row::open(Kind::Heads, key, row)?)
    }
}

impl From<Chunk> for Heads {
    fn from(chunk: Chunk) -> Self {
        Self {
            names: chunk.names,
            heads: chunk.events.into_iter().map(|(head, _)| head).collect(),
        }
    }
}

impl Progress {
    pub(crate) fn encode(&self, key: u64) -> Result<Vec<u8>, RecordError> {
        codec::encode_progress(key, self)
    }

    pub(crate) fn decode(key: u64, row: &[u8]) -> Result<Self, RecordError> {
        codec::decode_progress(row::open(Kind::Progress, key, row)?)
    }
}

impl Attempts {
    /// How many of a job are kept. The others still count.
    pub(crate) const MOST: usize = 16;

    /// Adds one, or puts it in the place of what is known of it.
    pub(crate) fn add(&mut self, id: AttemptId, record: AttemptRecord) {
        self.made.insert(id, record);
        let all = |number| AttemptId {
            job: id.job,
            number,
        };
        let of_job = || self.made.range(all(0)..=all(u32::MAX));
        if of_job().count() > Self::MOST
            && let Some((first, _)) = of_job().next()
        {
            let first = *first;
            self.made.remove(&first);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (AttemptId, &AttemptRecord)> {
        self.made.iter().map(|(id, record)| (*id, record))
    }

    /// Those of one job with their numbers, the oldest first.
    pub(crate) fn of(&self, job: u16) -> impl DoubleEndedIterator<Item = (u32, &AttemptRecord)> {
        let all = |number| AttemptId { job, number };
        let range = self.made.range(all(0)..=all(u32::MAX));
        range.map(|(id, record)| (id.number, record))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// The row under the number of the event.
    pub(crate) fn encode(&self, seq: u64) -> Result<Vec<u8>, RecordError> {
        codec::encode_attempts(seq, self)
    }

    pub(crate) fn decode(seq: u64, row: &[u8]) -> Result<Self, RecordError> {
        codec::decode_attempts(row::open(Kind::Attempts, seq, row)?)
    }
}

impl FromIterator<(AttemptId, AttemptRecord)> for Attempts {
    fn from_iter<I: IntoIterator<Item = (AttemptId, AttemptRecord)>>(made: I) -> Self {
        let mut attempts = Self::default();
        made.into_iter()
            .for_each(|(id, record)| attempts.add(id, record));
        attempts
    }
}

/// Without the bodies.
impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = self.events.iter().map(|(head, _)| head);
        f.debug_struct("Chunk")
            .field("names", &self.names)
            .field("heads", &heads.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Why a row cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordError(RecordErrorKind);

/// Why a row cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum RecordErrorKind {
    /// It is no row of the kind that was asked for.
    Foreign,
    /// It is of a version that this one does not know.
    Version,
    /// Its bytes are not those that were written.
    Checksum,
    /// It is the row of another key.
    WrongKey,
    /// Its content does not fit together.
    Malformed,
    /// It does not fit the format.
    TooLarge,
}

impl RecordError {
    const fn new(kind: RecordErrorKind) -> Self {
        Self(kind)
    }

    /// Why, to match on.
    #[cfg(test)]
    pub(crate) fn kind(self) -> RecordErrorKind {
        self.0
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            RecordErrorKind::Foreign => "the row is not of the expected kind",
            RecordErrorKind::Version => "the row is of an unknown version",
            RecordErrorKind::Checksum => "the row's checksum does not match",
            RecordErrorKind::WrongKey => "the row belongs to another key",
            RecordErrorKind::Malformed => "the row's content does not fit together",
            RecordErrorKind::TooLarge => "the row is too large for its format",
        })
    }
}

impl StdError for RecordError {}

#[cfg(test)]
mod tests;
