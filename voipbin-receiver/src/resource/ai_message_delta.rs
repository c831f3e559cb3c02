use super::object::resource;
use super::{AiMessageRole, Direction, Id};

resource! {
    /// The next piece of a reply that an AI is still giving.
    ///
    /// It has no times: pieces of one reply share their id and are ordered by `sequence`.
    pub struct AiMessageDelta {
        /// The id of the reply, the same for all its pieces.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The AI call that it is a part of.
        aicall_id: Option<Id> = Always container;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The AI that speaks.
        active_ai_id: Option<Id> = Always;
        /// Who speaks.
        role: Option<AiMessageRole> = Always;
        /// The new piece of text only.
        content: Option<String> = Always;
        /// Which way it went.
        direction: Option<Direction> = Always;
        /// The number of the piece.
        sequence: i64 = Always;
    }
}
