use serde_json::{Map, Value};

use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// The settings of an AI.
    ///
    /// It holds the key of the language model's API: do not log or pass on the whole payload.
    pub struct Ai {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// What it is for.
        kind as "type": Option<AiType> = Omit;
        /// Whether it is the one active insight AI.
        is_insight_active: bool = Always;
        /// The model, as `vendor.model`.
        engine_model: Option<String> = Omit;
        /// Free settings.
        parameter: Map<String, Value> = Omit;
        /// The key of the language model's API: a credential.
        engine_key: Option<String> = Omit;
        /// The knowledge base.
        rag_id: Option<Id> = Always;
        /// The system prompt.
        init_prompt: Option<String> = Omit;
        /// The version of the prompt.
        current_prompt_history_id: Option<Id> = Always;
        /// The engine of the voice.
        tts_type: Option<String> = Omit;
        /// The voice.
        tts_voice_id: Option<String> = Omit;
        /// The engine of speech recognition.
        stt_type: Option<String> = Omit;
        /// The language of speech recognition.
        stt_language: Option<String> = Omit;
        /// Settings of voice activity detection.
        vad_config: Map<String, Value> = Omit;
        /// Whether the end of a turn is detected.
        smart_turn_enabled: bool = Omit;
        /// Whether finished sessions are audited.
        auto_aicall_audit_enabled: bool = Omit;
        /// The tools that the model may call; `all` is every one.
        tool_names: Vec<String> = Omit secret;
        /// The MCP servers whose tools it may call.
        mcp_server_ids: Vec<Id> = Omit;
        /// A token for direct access by hash: a credential.
        direct_hash: Option<String> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What an AI is for.
    pub enum AiType {
        /// General use.
        Normal = "normal",
        /// Insight.
        Insight = "insight",
    }
}
