use super::object::{resource, words};
use super::{Direction, Id, ToolCall};
use crate::event::Time;

resource! {
    /// A message in a session with an AI.
    pub struct AiMessage {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The AI call that it is a part of.
        aicall_id: Option<Id> = Always container;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The AI that spoke.
        active_ai_id: Option<Id> = Always;
        /// Who speaks.
        role: Option<AiMessageRole> = Always;
        /// The whole text.
        content: Option<String> = Always;
        /// Which way it went.
        direction: Option<Direction> = Always;
        /// The tools that the AI wants called.
        tool_calls: Vec<ToolCall> = Omit;
        /// The tool call that this answers.
        tool_call_id: Option<String> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
    }
}

words! {
    /// Who speaks.
    pub enum AiMessageRole {
        /// The instructions.
        System = "system",
        /// The user.
        User = "user",
        /// The AI.
        Assistant = "assistant",
        /// A function's result.
        Function = "function",
        /// A tool's result.
        Tool = "tool",
        /// A note of the platform.
        Notification = "notification",
    }
}
