//! Rows with a bit of everything.

use bytes::Bytes;

use crate::event::EventKey;
use crate::handler::HandlerName;
use crate::inbox::disk::record::{
    AttemptEnd, AttemptId, AttemptRecord, Attempts, Chunk, EventProgress, Head, JobProgress,
    JobStage, Progress,
};

pub(crate) fn event(seq: u64) -> (Head, Bytes) {
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"call-{seq}"}}}}"#);
    let head = Head {
        seq,
        identity: EventKey::of_unsigned(body.as_bytes()),
        kept_at: 1_700_000_000_000 + seq,
        signed: true,
        marks: seq.is_multiple_of(3),
        possible_repeat: false,
        replay_of: seq.is_multiple_of(4).then_some(seq / 2),
        content_type: seq.is_multiple_of(2).then(|| "text/plain".into()),
        jobs: vec![0, 1],
        body_len: body.len() as u32,
    };
    (head, body.into())
}

pub(crate) fn chunk_of(events: impl IntoIterator<Item = (Head, Bytes)>) -> Chunk {
    Chunk {
        names: ["audit", "crm"].map(HandlerName::new).into(),
        events: events.into_iter().collect(),
    }
}

pub(crate) fn progress(first: u64) -> Progress {
    let stages = [
        JobStage::Queued,
        JobStage::Begun { at: 1 },
        JobStage::Waiting {
            since: 2,
            millis: 3,
            in_lane: true,
        },
        JobStage::Dead { at: 4 },
    ];
    let jobs = stages.map(|stage| JobProgress {
        attempts: 3,
        interrupted: stage == JobStage::Queued,
        stage,
    });
    Progress {
        generation: 9,
        events: vec![
            (first, EventProgress::Jobs(jobs[..2].to_vec())),
            (first + 1, EventProgress::Jobs(jobs[2..].to_vec())),
            (first + 2, EventProgress::Finished { at: 1 }),
            (first + 3, EventProgress::Discarded { at: 2 }),
        ],
    }
}

pub(crate) fn attempts() -> Attempts {
    let ends = [
        AttemptEnd::Failed("the CRM is away".into()),
        AttemptEnd::Panicked,
        AttemptEnd::TimedOut,
        AttemptEnd::Interrupted,
    ];
    let made = (1..).zip(ends).map(|(number, ended)| {
        let record = AttemptRecord {
            at: 5,
            millis: 6,
            ended,
        };
        (AttemptId { job: 1, number }, record)
    });
    made.collect()
}
