//! The payload of a row, version 1.
//!
//! A payload is a run of small values in the encoding of postcard, lists as a count and their items,
//! so that nothing has to be built to write one; the bodies of a chunk follow its heads as they are.

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::row::{Kind, seal};
use super::v1::{
    AttemptV1, AttemptsV1, CountsV1, EndV1, EventV1, HeadV1, JobV1, ProgressV1, StageV1,
};
use super::{
    AttemptEnd, AttemptId, AttemptRecord, Attempts, Chunk, EventProgress, Head, Heads, JobProgress,
    JobStage, Progress, RecordError, RecordErrorKind,
};
use crate::event::EventKey;
use crate::handler::HandlerName;

/// Upper guesses of the encoded length of an item, in bytes: numbers grow by up to a quarter.
const NAME_LEN: usize = 5;
const HEAD_LEN: usize = 64;
const EVENT_LEN: usize = 32;
const ATTEMPT_LEN: usize = 32;

/// The least that an item takes up, in bytes. Nothing is allocated for a count that the bytes at hand
/// cannot hold.
const LEAST_HEAD: usize = 23;
const LEAST_EVENT: usize = 2;
const LEAST_JOB: usize = 3;
const LEAST_ATTEMPT: usize = 5;
const LEAST_ITEM: usize = 1;

pub(super) fn encode_chunk(
    key: u64,
    names: &[HandlerName],
    events: &[(Head, Bytes)],
) -> Result<Vec<u8>, RecordError> {
    let heads = || events.iter().map(|(head, body)| (head, body_len(body)));
    let bodies = events.iter().map(|(_, body)| body.len());
    let capacity = bodies.fold(heads_len(names, heads()), usize::saturating_add);
    seal(Kind::Chunk, key, capacity, |row| {
        let mut row = put_heads(row, key, names, heads())?;
        for (_, body) in events {
            row.extend_from_slice(body);
        }
        Ok(row)
    })
}

/// Each head with the length that is written for its body.
pub(super) fn encode_heads<'a>(
    key: u64,
    names: &[HandlerName],
    heads: impl ExactSizeIterator<Item = (&'a Head, Result<u32, RecordError>)> + Clone,
) -> Result<Vec<u8>, RecordError> {
    let capacity = heads_len(names, heads.clone());
    seal(Kind::Heads, key, capacity, |row| {
        put_heads(row, key, names, heads)
    })
}

pub(super) fn encode_progress(key: u64, progress: &Progress) -> Result<Vec<u8>, RecordError> {
    let capacity = progress.events.len().saturating_mul(EVENT_LEN);
    seal(Kind::Progress, key, capacity, |row| {
        let head = ProgressV1 {
            generation: progress.generation,
            events: count(progress.events.len())?,
        };
        let events = &mut progress.events.iter();
        events.try_fold(put(row, &head)?, |row, (seq, event)| {
            put_event(row, *seq, event)
        })
    })
}

pub(super) fn encode_attempts(seq: u64, attempts: &Attempts) -> Result<Vec<u8>, RecordError> {
    let lens = attempts.iter().map(|(_, attempt)| match &attempt.ended {
        AttemptEnd::Failed(error) => ATTEMPT_LEN + error.len().min(AttemptEnd::MAX_TEXT),
        _ => ATTEMPT_LEN,
    });
    seal(Kind::Attempts, seq, lens.sum(), |row| {
        let head = AttemptsV1 {
            count: count(attempts.iter().count())?,
        };
        let mut attempts = attempts.iter();
        attempts.try_fold(put(row, &head)?, |row, (id, attempt)| {
            put_attempt(row, id, attempt)
        })
    })
}

pub(super) fn decode_chunk(key: u64, payload: &[u8]) -> Result<Chunk, RecordError> {
    let mut reader = Reader(payload);
    let Heads { names, heads } = reader.heads(key)?;
    let mut events = Vec::with_capacity(heads.len());
    for head in heads {
        let len = usize::try_from(head.body_len).map_err(|_| too_large())?;
        let body = reader.bytes(len)?;
        events.push((head, Bytes::copy_from_slice(body)));
    }
    reader.end()?;
    Ok(Chunk { names, events })
}

pub(super) fn decode_heads(key: u64, payload: &[u8]) -> Result<Heads, RecordError> {
    let mut reader = Reader(payload);
    let heads = reader.heads(key)?;
    reader.end()?;
    Ok(heads)
}

pub(super) fn decode_progress(payload: &[u8]) -> Result<Progress, RecordError> {
    let mut reader = Reader(payload);
    let head: ProgressV1 = reader.take()?;
    let progress = Progress {
        generation: head.generation,
        events: reader.list(head.events, LEAST_EVENT, Reader::event)?,
    };
    reader.end()?;
    Ok(progress)
}

pub(super) fn decode_attempts(payload: &[u8]) -> Result<Attempts, RecordError> {
    let mut reader = Reader(payload);
    let head: AttemptsV1 = reader.take()?;
    let made = reader.list(head.count, LEAST_ATTEMPT, Reader::attempt)?;
    reader.end()?;
    Ok(made.into_iter().collect())
}

pub(super) fn body_len(body: &Bytes) -> Result<u32, RecordError> {
    count(body.len())
}

fn heads_len<'a>(
    names: &[HandlerName],
    heads: impl Iterator<Item = (&'a Head, Result<u32, RecordError>)>,
) -> usize {
    let names = names.iter().map(|name| name.as_str().len() + NAME_LEN);
    let heads = heads.map(|(head, _)| {
        let content_type = head.content_type.as_ref().map_or(0, |text| text.len());
        HEAD_LEN + content_type + head.jobs.len().saturating_mul(3)
    });
    names.chain(heads).fold(10, usize::saturating_add)
}

fn put_heads<'a>(
    row: Vec<u8>,
    key: u64,
    names: &[HandlerName],
    heads: impl ExactSizeIterator<Item = (&'a Head, Result<u32, RecordError>)>,
) -> Result<Vec<u8>, RecordError> {
    let counts = CountsV1 {
        names: count(names.len())?,
        events: count(heads.len())?,
    };
    let mut row = put(row, &counts)?;
    for name in names {
        row = put(row, name.as_str())?;
    }
    let mut order = Order { next: key };
    for (head, body_len) in heads {
        order.check(head, names.len())?;
        let encoded = HeadV1 {
            seq: head.seq,
            identity: *head.identity.as_bytes(),
            kept_at: head.kept_at,
            signed: head.signed,
            marks: head.marks,
            possible_repeat: head.possible_repeat,
            replay_of: head.replay_of,
            content_type: head.content_type.as_deref(),
            body_len: body_len?,
            jobs: count(head.jobs.len())?,
        };
        row = put(row, &encoded)?;
        for job in &head.jobs {
            row = put(row, job)?;
        }
    }
    Ok(row)
}

fn put_event(row: Vec<u8>, seq: u64, event: &EventProgress) -> Result<Vec<u8>, RecordError> {
    let (encoded, jobs) = match event {
        EventProgress::Finished { at } => (EventV1::Finished { seq, at: *at }, None),
        EventProgress::Discarded { at } => (EventV1::Discarded { seq, at: *at }, None),
        EventProgress::Jobs(jobs) => {
            let count = count(jobs.len())?;
            (EventV1::Jobs { seq, count }, Some(jobs))
        }
    };
    let mut row = put(row, &encoded)?;
    for job in jobs.into_iter().flatten() {
        let stage = match job.stage {
            JobStage::Queued => StageV1::Queued,
            JobStage::Begun { at } => StageV1::Begun { at },
            JobStage::Waiting {
                since,
                millis,
                in_lane,
            } => StageV1::Waiting {
                since,
                millis,
                in_lane,
            },
            JobStage::Done { at } => StageV1::Done { at },
            JobStage::Dead { at } => StageV1::Dead { at },
            JobStage::Replayed { at } => StageV1::Replayed { at },
        };
        let encoded = JobV1 {
            attempts: job.attempts,
            interrupted: job.interrupted,
            stage,
        };
        row = put(row, &encoded)?;
    }
    Ok(row)
}

fn put_attempt(
    row: Vec<u8>,
    id: AttemptId,
    attempt: &AttemptRecord,
) -> Result<Vec<u8>, RecordError> {
    let text;
    let ended = match &attempt.ended {
        AttemptEnd::Failed(error) => {
            text = clean(error);
            EndV1::Failed(&text)
        }
        AttemptEnd::Panicked => EndV1::Panicked,
        AttemptEnd::TimedOut => EndV1::TimedOut,
        AttemptEnd::Interrupted => EndV1::Interrupted,
    };
    let encoded = AttemptV1 {
        job: id.job,
        number: id.number,
        at: attempt.at,
        millis: attempt.millis,
        ended,
    };
    put(row, &encoded)
}

/// Without NUL: a text from outside must not be able to look like the magic of a row, for which
/// salvage looks everywhere.
fn clean(text: &str) -> Cow<'_, str> {
    let mut end = text.len().min(AttemptEnd::MAX_TEXT);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let short = text.get(..end).unwrap_or_default();
    if !short.contains('\0') {
        return short.into();
    }
    short.replace('\0', " ").into()
}

/// What must hold for the heads of a row, read or written.
struct Order {
    /// The least number that may come: from the key of the row on they rise.
    next: u64,
}

impl Order {
    /// No inbox comes so far, and what is added to a smaller number does not overflow.
    const END: u64 = u64::MAX / 2;

    fn check(&mut self, head: &Head, names: usize) -> Result<(), RecordError> {
        let rises = (self.next..Self::END).contains(&head.seq);
        let mut jobs = head.jobs.iter().enumerate();
        let named = jobs.all(|(at, job)| {
            let before = head.jobs.get(..at).unwrap_or_default();
            usize::from(*job) < names && !before.contains(job)
        });
        self.next = head.seq.saturating_add(1);
        match rises && named {
            true => Ok(()),
            false => Err(malformed()),
        }
    }
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<T: Deserialize<'a>>(&mut self) -> Result<T, RecordError> {
        let (value, rest) = postcard::take_from_bytes(self.0).map_err(|_| malformed())?;
        self.0 = rest;
        Ok(value)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn list<T>(
        &mut self,
        count: u32,
        least: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, RecordError>,
    ) -> Result<Vec<T>, RecordError> {
        let count = usize::try_from(count).map_err(|_| too_large())?;
        if count > self.0.len() / least {
            return Err(malformed());
        }
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn end(&self) -> Result<(), RecordError> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(malformed()),
        }
    }

    fn heads(&mut self, key: u64) -> Result<Heads, RecordError> {
        let counts: CountsV1 = self.take()?;
        let names = self.list(counts.names, LEAST_ITEM, |reader| {
            reader.take().map(HandlerName::new)
        })?;
        // Two names of one handler would be two jobs of it.
        if names.iter().collect::<HashSet<_>>().len() < names.len() {
            return Err(malformed());
        }
        let mut order = Order { next: key };
        let heads = self.list(counts.events, LEAST_HEAD, |reader| {
            let head = reader.head()?;
            order.check(&head, names.len())?;
            Ok(head)
        })?;
        Ok(Heads { names, heads })
    }

    fn head(&mut self) -> Result<Head, RecordError> {
        let head: HeadV1<'a> = self.take()?;
        Ok(Head {
            seq: head.seq,
            identity: EventKey::from_bytes(head.identity),
            kept_at: head.kept_at,
            signed: head.signed,
            marks: head.marks,
            possible_repeat: head.possible_repeat,
            replay_of: head.replay_of,
            content_type: head.content_type.map(Into::into),
            jobs: self.list(head.jobs, LEAST_ITEM, Self::take)?,
            body_len: head.body_len,
        })
    }

    fn event(&mut self) -> Result<(u64, EventProgress), RecordError> {
        Ok(match self.take()? {
            EventV1::Finished { seq, at } => (seq, EventProgress::Finished { at }),
            EventV1::Discarded { seq, at } => (seq, EventProgress::Discarded { at }),
            EventV1::Jobs { seq, count } => {
                let jobs = self.list(count, LEAST_JOB, Self::job)?;
                (seq, EventProgress::Jobs(jobs))
            }
        })
    }

    fn job(&mut self) -> Result<JobProgress, RecordError> {
        let job: JobV1 = self.take()?;
        Ok(JobProgress {
            attempts: job.attempts,
            interrupted: job.interrupted,
            stage: match job.stage {
                StageV1::Queued => JobStage::Queued,
                StageV1::Begun { at } => JobStage::Begun { at },
                StageV1::Waiting {
                    since,
                    millis,
                    in_lane,
                } => JobStage::Waiting {
                    since,
                    millis,
                    in_lane,
                },
                StageV1::Done { at } => JobStage::Done { at },
                StageV1::Dead { at } => JobStage::Dead { at },
                StageV1::Replayed { at } => JobStage::Replayed { at },
            },
        })
    }

    fn attempt(&mut self) -> Result<(AttemptId, AttemptRecord), RecordError> {
        let attempt: AttemptV1<'a> = self.take()?;
        let id = AttemptId {
            job: attempt.job,
            number: attempt.number,
        };
        let record = AttemptRecord {
            at: attempt.at,
            millis: attempt.millis,
            ended: match attempt.ended {
                EndV1::Failed(error) => AttemptEnd::Failed(error.into()),
                EndV1::Panicked => AttemptEnd::Panicked,
                EndV1::TimedOut => AttemptEnd::TimedOut,
                EndV1::Interrupted => AttemptEnd::Interrupted,
            },
        };
        Ok((id, record))
    }
}

fn put<T: Serialize + ?Sized>(row: Vec<u8>, value: &T) -> Result<Vec<u8>, RecordError> {
    postcard::to_extend(value, row).map_err(|_| malformed())
}

fn count(len: usize) -> Result<u32, RecordError> {
    u32::try_from(len).map_err(|_| too_large())
}

const fn malformed() -> RecordError {
    RecordError::new(RecordErrorKind::Malformed)
}

const fn too_large() -> RecordError {
    RecordError::new(RecordErrorKind::TooLarge)
}
