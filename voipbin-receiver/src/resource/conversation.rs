use super::object::{resource, words};
use super::{Address, Id, OwnerType};
use crate::event::Time;

resource! {
    /// A thread with one peer over one channel.
    pub struct Conversation {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// The agent that it is assigned to.
        owner_id: Option<Id> = Always;
        /// The messaging account.
        account_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// The channel.
        kind as "type": Option<Channel> = Omit;
        /// The channel's own key of the thread.
        dialog_id: Option<String> = Omit;
        /// Our address.
        local as "self": Address = Always;
        /// Their address.
        peer: Address = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What a conversation goes through.
    pub enum Channel {
        /// SMS.
        Message = "message",
        /// LINE.
        Line = "line",
        /// WhatsApp.
        Whatsapp = "whatsapp",
        /// E-mail.
        Email = "email",
        /// Webchat.
        Webchat = "webchat",
    }
}
