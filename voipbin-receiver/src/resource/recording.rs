use std::time::Duration;

use super::object::{resource, words};
use super::{Id, OwnerType};
use crate::event::Time;

resource! {
    /// A recording of a call or conference.
    pub struct Recording {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// The owner: an agent.
        owner_id: Option<Id> = Always;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The kind of thing that it belongs to.
        reference_type: Option<RecordingReferenceType> = Omit;
        /// The id of the thing that it belongs to.
        reference_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<RecordingStatus> = Omit;
        /// The container of the sound files.
        format: Option<RecordingFormat> = Omit;
        /// The flow that is started when it ends.
        on_end_flow_id: Option<Id> = Always;
        /// When the capture began.
        tm_start: Option<Time> = Omit;
        /// When the capture ended.
        tm_end: Option<Time> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Omit;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Omit;
        /// When it was deleted.
        tm_delete: Option<Time> = Omit;
    }
}

impl Recording {
    /// Whether the recording is over: `ended` today, `done` in the older tutorial.
    ///
    /// The files are stored a little later. Until then the archive can be downloaded and is empty:
    /// try again, with growing pauses, until it has entries.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(
            self.status,
            Some(RecordingStatus::Ended | RecordingStatus::Done)
        )
    }

    /// How long the recording is, once it is over.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.tm_end?.since(self.tm_start?)
    }
}

words! {
    /// What is recorded.
    pub enum RecordingReferenceType {
        /// A call.
        Call = "call",
        /// A conference.
        Confbridge = "confbridge",
    }
}

words! {
    /// Where a recording is in its life.
    pub enum RecordingStatus {
        /// It is being set up.
        Initiating = "initiating",
        /// It runs.
        Recording = "recording",
        /// It is being ended; this is never announced.
        Stopping = "stopping",
        /// It ended; its files may not be stored yet.
        Ended = "ended",
        /// It ended, in the word of the older tutorial.
        Done = "done",
    }
}

words! {
    /// The container of the sound files.
    pub enum RecordingFormat {
        /// WAV.
        Wav = "wav",
    }
}
