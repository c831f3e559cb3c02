use super::object::{resource, words};
use super::{Id, SpeechDirection};
use crate::event::Time;

resource! {
    /// A transcription: a session that turns speech into transcripts.
    pub struct Transcribe {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The flow that is started when it ends.
        on_end_flow_id: Option<Id> = Always;
        /// The kind of thing that it belongs to.
        reference_type: Option<TranscribeReferenceType> = Always;
        /// The id of the thing that it belongs to.
        reference_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<TranscribeStatus> = Always;
        /// The language, as a BCP 47 tag.
        language: Option<String> = Always;
        /// Which side is transcribed.
        direction: Option<SpeechDirection> = Always;
        /// The speech engine.
        provider: Option<TranscribeProvider> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What is transcribed.
    pub enum TranscribeReferenceType {
        /// Not known.
        Unknown = "unknown",
        /// A recording.
        Recording = "recording",
        /// A call.
        Call = "call",
        /// A conference.
        Confbridge = "confbridge",
    }
}

words! {
    /// Where a transcription is in its life.
    pub enum TranscribeStatus {
        /// It runs.
        Progressing = "progressing",
        /// It ended.
        Done = "done",
    }
}

words! {
    /// The speech engine.
    pub enum TranscribeProvider {
        /// Google Cloud.
        Gcp = "gcp",
        /// Amazon Web Services.
        Aws = "aws",
    }
}
