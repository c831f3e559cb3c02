//! Between what is stored and what the rest of the crate speaks of.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::load::left;
use super::record::{
    AttemptEnd as StoredEnd, AttemptRecord, Attempts, Head, JobProgress, JobStage,
};
use crate::event::{Delivery, Proof, StoredDelivery};
use crate::inbox::{Attempt, AttemptEnd, Past, RecordId};
use bytes::Bytes;

/// Unix time in milliseconds.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    as_millis(since)
}

pub(super) fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn time(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}

/// What came of a job, with what is known of its attempts.
pub(super) fn past(job: &JobProgress, place: u16, attempts: Option<&Attempts>, now: u64) -> Past {
    let wait = match job.stage {
        JobStage::Waiting { since, millis, .. } => Some(left(since, millis, now)),
        _ => None,
    };
    Past {
        attempts: job.attempts,
        interrupted: job.interrupted,
        history: history(place, attempts),
        wait,
    }
}

pub(super) fn history(place: u16, attempts: Option<&Attempts>) -> Vec<Attempt> {
    let known = attempts.into_iter().flat_map(|attempts| attempts.of(place));
    known.map(|(_, record)| attempt(record)).collect()
}

pub(super) fn attempt(record: &AttemptRecord) -> Attempt {
    Attempt::new(
        time(record.at),
        Duration::from_millis(record.millis),
        match &record.ended {
            StoredEnd::Failed(error) => AttemptEnd::Failed(error.to_string()),
            StoredEnd::Panicked => AttemptEnd::Panicked,
            StoredEnd::TimedOut => AttemptEnd::TimedOut,
            StoredEnd::Interrupted => AttemptEnd::Interrupted,
        },
    )
}

/// What is stored of an attempt that ended badly.
pub(super) fn record(attempt: Attempt) -> AttemptRecord {
    AttemptRecord {
        at: millis(attempt.began_at),
        millis: as_millis(attempt.took),
        ended: match attempt.ended {
            AttemptEnd::Failed(error) => StoredEnd::Failed(cut(error).into()),
            AttemptEnd::Panicked => StoredEnd::Panicked,
            AttemptEnd::TimedOut => StoredEnd::TimedOut,
            AttemptEnd::Interrupted => StoredEnd::Interrupted,
        },
    }
}

/// As much of a text as is stored.
fn cut(mut text: String) -> String {
    let most = (0..=StoredEnd::MAX_TEXT)
        .rev()
        .find(|most| text.is_char_boundary(*most));
    text.truncate(most.unwrap_or_default());
    text
}

/// What is stored of a delivery beside its body.
pub(super) fn head(
    seq: u64,
    kept_at: u64,
    delivery: &Delivery,
    marks: bool,
    possible_repeat: bool,
    replay_of: Option<RecordId>,
    jobs: Vec<u16>,
) -> Head {
    Head {
        seq,
        identity: delivery.identity(),
        kept_at,
        signed: delivery.proof() == Proof::Signed,
        marks,
        possible_repeat,
        replay_of: replay_of.map(RecordId::get),
        content_type: delivery.other_content_type().map(Into::into),
        jobs,
        body_len: 0,
    }
}

/// The delivery again. `None` when the body is not JSON, which none is that was kept.
pub(super) fn delivery(head: &Head, body: Bytes) -> Option<Delivery> {
    let proof = if head.signed {
        Proof::Signed
    } else {
        Proof::Unsigned
    };
    let mut stored = StoredDelivery::new(body, head.identity, proof, time(head.kept_at));
    stored.content_type = head.content_type.as_deref().map(str::to_owned);
    stored.restore().ok()
}
