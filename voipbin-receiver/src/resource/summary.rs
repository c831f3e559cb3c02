use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// A summary that an AI writes of a call, conference, transcription or recording.
    pub struct Summary {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The flow that is started when it ends.
        on_end_flow_id: Option<Id> = Always;
        /// The kind of thing that it belongs to.
        reference_type: Option<SummaryReferenceType> = Omit;
        /// The id of the thing that it belongs to.
        reference_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<SummaryStatus> = Omit;
        /// The language, as a BCP 47 tag.
        language: Option<String> = Omit;
        /// The summary; none until it is done.
        content: Option<String> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What is summed up.
    pub enum SummaryReferenceType {
        /// A call.
        Call = "call",
        /// A conference.
        Conference = "conference",
        /// A transcription.
        Transcribe = "transcribe",
        /// A recording.
        Recording = "recording",
    }
}

words! {
    /// Where a summary is in its life.
    pub enum SummaryStatus {
        /// It is being written.
        Progressing = "progressing",
        /// It is there.
        Done = "done",
    }
}
