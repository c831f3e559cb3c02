use serde_json::{Map, Value};

use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// A session with an AI.
    pub struct Aicall {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// Who assists.
        assistance_type: Option<AssistanceType> = Omit;
        /// The id of who assists.
        assistance_id: Option<Id> = Always;
        /// The model.
        ai_engine_model: Option<String> = Omit;
        /// The engine of the voice.
        ai_tts_type: Option<String> = Omit;
        /// The voice.
        ai_tts_voice_id: Option<String> = Omit;
        /// The engine of speech recognition.
        ai_stt_type: Option<String> = Omit;
        /// Settings of voice activity detection.
        ai_vad_config: Map<String, Value> = Omit;
        /// Whether the end of a turn is detected.
        ai_smart_turn_enabled: bool = Omit;
        /// Free settings.
        parameter: Map<String, Value> = Omit;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The kind of thing that it belongs to.
        reference_type: Option<AicallReferenceType> = Omit;
        /// The id of the thing that it belongs to.
        reference_id: Option<Id> = Always;
        /// The audio bridge.
        confbridge_id: Option<Id> = Always;
        /// The member of the team that speaks.
        current_member_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<AicallStatus> = Omit;
        /// The language of speech recognition.
        stt_language: Option<String> = Omit;
        /// What the platform noted; may hold whole prompts in `prompt_snapshots`.
        metadata: Map<String, Value> = Omit;
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

words! {
    /// Who assists.
    pub enum AssistanceType {
        /// A single AI.
        Ai = "ai",
        /// A team of AIs.
        Team = "team",
    }
}

words! {
    /// What an AI session belongs to.
    pub enum AicallReferenceType {
        /// A call.
        Call = "call",
        /// A conversation.
        Conversation = "conversation",
        /// A task.
        Task = "task",
        /// A contact case.
        ContactCase = "contact_case",
    }
}

words! {
    /// Where an AI session is in its life.
    pub enum AicallStatus {
        /// It was created.
        Initiating = "initiating",
        /// It runs.
        Progressing = "progressing",
        /// It is being paused.
        Pausing = "pausing",
        /// It is being resumed.
        Resuming = "resuming",
        /// It is being ended.
        Terminating = "terminating",
        /// It ended.
        Terminated = "terminated",
    }
}
