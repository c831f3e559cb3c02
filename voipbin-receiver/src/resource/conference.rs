use serde_json::{Map, Value};

use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// A conference.
    pub struct Conference {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// What it is for.
        kind as "type": Option<ConferenceType> = Omit;
        /// Where it is in its life.
        status: Option<ConferenceStatus> = Omit;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// A free map.
        data: Map<String, Value> = Omit;
        /// Its longest duration, in seconds.
        timeout: i64 = Omit;
        /// The flow that is run before joining.
        pre_flow_id: Option<Id> = Always;
        /// The flow that is run after leaving.
        post_flow_id: Option<Id> = Always;
        /// Who takes part now.
        conferencecall_ids: Vec<Id> = Omit;
        /// The recording in progress.
        recording_id: Option<Id> = Always;
        /// All recordings so far.
        recording_ids: Vec<Id> = Omit;
        /// The transcription in progress.
        transcribe_id: Option<Id> = Always;
        /// All transcriptions so far.
        transcribe_ids: Vec<Id> = Omit;
        /// A token for direct access by hash: a credential.
        direct_hash: Option<String> = Always;
        /// When it ended.
        tm_end: Option<Time> = Null;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

impl Conference {
    /// Whether the conference is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status == Some(ConferenceStatus::Terminated) || self.tm_end.is_some()
    }
}

words! {
    /// What a conference is for.
    pub enum ConferenceType {
        /// A conference.
        Conference = "conference",
        /// A connection of two parties.
        Connect = "connect",
        /// A queue.
        Queue = "queue",
    }
}

words! {
    /// Where a conference is in its life.
    pub enum ConferenceStatus {
        /// It was created.
        Starting = "starting",
        /// It runs.
        Progressing = "progressing",
        /// It is being ended.
        Terminating = "terminating",
        /// It ended.
        Terminated = "terminated",
    }
}
