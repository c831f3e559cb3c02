use super::object::{resource, words};
use super::{Action, Id};
use crate::event::Time;

resource! {
    /// A running instance of a flow.
    pub struct Activeflow {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The flow that this is an instance of.
        flow_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<ActiveflowStatus> = Omit;
        /// The kind of thing that it belongs to.
        reference_type: Option<ActiveflowReferenceType> = Omit;
        /// The id of the thing that it belongs to.
        reference_id: Option<Id> = Always;
        /// The instance that started this one when it completed.
        reference_activeflow_id: Option<Id> = Always;
        /// The flow that is run when this one ends.
        on_complete_flow_id: Option<Id> = Always;
        /// The webhook that this instance has of its own.
        webhook_uri: Option<String> = Omit;
        /// The method of that webhook.
        webhook_method: Option<WebhookMethod> = Omit;
        /// The action that is being executed.
        current_action: Action = Always;
        /// The action to go to next.
        forward_action_id: Option<Id> = Always;
        /// The actions so far; it grows with every step.
        executed_actions: Vec<Action> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

impl Activeflow {
    /// Whether the flow ended. This comes with `activeflow_updated`; `activeflow_deleted` tells
    /// that the record was deleted.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.status == Some(ActiveflowStatus::Ended)
    }
}

words! {
    /// Where a flow instance is in its life.
    pub enum ActiveflowStatus {
        /// It runs.
        Running = "running",
        /// It ended.
        Ended = "ended",
    }
}

words! {
    /// What a flow instance runs for.
    pub enum ActiveflowReferenceType {
        /// An AI.
        Ai = "ai",
        /// A request of the API.
        Api = "api",
        /// A call.
        Call = "call",
        /// A campaign.
        Campaign = "campaign",
        /// A conversation.
        Conversation = "conversation",
        /// A transcription.
        Transcribe = "transcribe",
        /// A recording.
        Recording = "recording",
        /// A webchat session.
        Webchat = "webchat",
    }
}

words! {
    /// The HTTP method of a webhook.
    pub enum WebhookMethod {
        /// `POST`.
        Post = "POST",
        /// `GET`.
        Get = "GET",
        /// `PUT`.
        Put = "PUT",
        /// `DELETE`.
        Delete = "DELETE",
    }
}
