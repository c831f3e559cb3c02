//! The small values of a payload, version 1.
//!
//! These structs are the format: they change for no reason. A new version gets new ones, and a new
//! magic in `row.rs`.

use serde::{Deserialize, Serialize};

/// What begins a chunk and its heads. The names follow, then the heads.
#[derive(Serialize, Deserialize)]
pub(super) struct CountsV1 {
    pub(super) names: u32,
    pub(super) events: u32,
}

/// Its jobs follow, as `u16`.
#[derive(Serialize, Deserialize)]
pub(super) struct HeadV1<'a> {
    pub(super) seq: u64,
    pub(super) identity: [u8; 16],
    pub(super) kept_at: u64,
    pub(super) signed: bool,
    pub(super) marks: bool,
    pub(super) possible_repeat: bool,
    pub(super) replay_of: Option<u64>,
    pub(super) content_type: Option<&'a str>,
    pub(super) body_len: u32,
    pub(super) jobs: u32,
}

/// The events follow.
#[derive(Serialize, Deserialize)]
pub(super) struct ProgressV1 {
    pub(super) generation: u64,
    pub(super) events: u32,
}

/// As many jobs follow as it says.
#[derive(Serialize, Deserialize)]
pub(super) enum EventV1 {
    Finished { seq: u64, at: u64 },
    Discarded { seq: u64, at: u64 },
    Jobs { seq: u64, count: u32 },
}

#[derive(Serialize, Deserialize)]
pub(super) struct JobV1 {
    pub(super) attempts: u32,
    pub(super) interrupted: bool,
    pub(super) stage: StageV1,
}

#[derive(Serialize, Deserialize)]
pub(super) enum StageV1 {
    Queued,
    Begun {
        at: u64,
    },
    Waiting {
        since: u64,
        millis: u64,
        in_lane: bool,
    },
    Done {
        at: u64,
    },
    Dead {
        at: u64,
    },
    Replayed {
        at: u64,
    },
}

/// The attempts follow.
#[derive(Serialize, Deserialize)]
pub(super) struct AttemptsV1 {
    pub(super) count: u32,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AttemptV1<'a> {
    pub(super) job: u16,
    pub(super) number: u32,
    pub(super) at: u64,
    pub(super) millis: u64,
    #[serde(borrow)]
    pub(super) ended: EndV1<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum EndV1<'a> {
    Failed(&'a str),
    Panicked,
    TimedOut,
    Interrupted,
}
