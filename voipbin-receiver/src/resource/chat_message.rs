use super::object::{object, resource, words};
use super::{Address, Id, OwnerType};
use crate::event::Time;

resource! {
    /// A message of a chat.
    pub struct ChatMessage {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// The author.
        owner_id: Option<Id> = Always;
        /// The chat that it is a part of.
        chat_id: Option<Id> = Always container;
        /// The message that this one replies to.
        parent_id: Option<Id> = Omit;
        /// Whether a user or the platform wrote it.
        kind as "type": Option<ChatMessageType> = Always;
        /// The text.
        text: Option<String> = Always;
        /// What is attached.
        medias: Vec<ChatMedia> = Always;
        /// The reactions to it.
        metadata: ChatMetadata = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

object! {
    /// Something attached to a chat message.
    pub struct ChatMedia {
        /// What is attached.
        kind as "type": Option<ChatMediaType> = Always;
        /// The address.
        address: Address = Always;
        /// The agent.
        agent_id: Option<Id> = Always;
        /// The file.
        file_id: Option<Id> = Always;
        /// The link.
        link_url: Option<String> = Omit;
    }
}

object! {
    /// What is noted with a chat message.
    pub struct ChatMetadata {
        /// The reactions to the message.
        reactions: Vec<Reaction> = Always;
    }
}

object! {
    /// A reaction to a chat message.
    pub struct Reaction {
        /// The emoji.
        emoji: Option<String> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// Who reacted.
        owner_id: Option<Id> = Always;
        /// When.
        tm_create: Option<Time> = Null;
    }
}

words! {
    /// Who wrote a chat message.
    pub enum ChatMessageType {
        /// A user.
        Normal = "normal",
        /// The platform.
        System = "system",
    }
}

words! {
    /// What is attached to a chat message.
    pub enum ChatMediaType {
        /// An address.
        Address = "address",
        /// An agent.
        Agent = "agent",
        /// A file.
        File = "file",
        /// A link.
        Link = "link",
    }
}
