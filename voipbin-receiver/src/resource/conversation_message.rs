use super::object::{resource, words};
use super::{Address, Channel, Direction, Id, Media};
use crate::event::Time;

resource! {
    /// A message of a conversation, over any channel.
    pub struct ConversationMessage {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The thread.
        conversation_id: Option<Id> = Always;
        /// Which way it went.
        direction: Option<Direction> = Omit;
        /// Where it is in its life.
        status: Option<ConversationMessageStatus> = Omit;
        /// The channel that it came through.
        reference_type: Option<Channel> = Omit;
        /// The id of the message in its channel. Documents show the peer's own id here.
        reference_id: Option<Id> = Always secret;
        /// The party that sent it.
        source: Address = Always;
        /// The party that received it.
        destination: Address = Always;
        /// The text.
        text: Option<String> = Omit;
        /// The attachments.
        medias: Vec<Media> = Omit;
        /// Always none: the platform never fills it in.
        case_id: Option<Id> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

impl ConversationMessage {
    /// Whether the message came to the account.
    #[must_use]
    pub fn is_incoming(&self) -> bool {
        self.direction == Some(Direction::Incoming)
    }
}

words! {
    /// Where a conversation message is in its life.
    pub enum ConversationMessageStatus {
        /// It could not be sent.
        Failed = "failed",
        /// It is being sent.
        Progressing = "progressing",
        /// It was received, or sent.
        Done = "done",
    }
}
