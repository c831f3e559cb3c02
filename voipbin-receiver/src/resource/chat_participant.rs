use super::object::resource;
use super::{Id, OwnerType};
use crate::event::Time;

resource! {
    /// A member of a chat, who was added or removed.
    pub struct ChatParticipant {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// The member.
        owner_id: Option<Id> = Always;
        /// The chat that it is a part of.
        chat_id: Option<Id> = Always container;
        /// When the member joined.
        tm_joined: Option<Time> = Null created;
    }
}
