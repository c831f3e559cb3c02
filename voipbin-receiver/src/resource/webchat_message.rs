use super::object::{resource, words};
use super::{Id, MessageDirection};
use crate::event::Time;

resource! {
    /// A message between a visitor of a web page and the account.
    pub struct WebchatMessage {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The widget.
        widget_id: Option<Id> = Always;
        /// The visitor's session: a credential.
        session_id: Option<Id> = Always secret;
        /// Inbound is from the visitor to the account.
        direction: Option<MessageDirection> = Always;
        /// How far it got.
        status: Option<WebchatMessageStatus> = Always;
        /// The agent who wrote it, if one did.
        sender_id: Option<Id> = Always;
        /// The text.
        text: Option<String> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null updated;
    }
}

impl WebchatMessage {
    /// Whether the visitor wrote the message.
    #[must_use]
    pub fn is_inbound(&self) -> bool {
        self.direction == Some(MessageDirection::Inbound)
    }
}

words! {
    /// How far a webchat message got.
    pub enum WebchatMessageStatus {
        /// It was sent.
        Sent = "sent",
        /// It was delivered.
        Delivered = "delivered",
        /// It could not be delivered.
        Failed = "failed",
    }
}
