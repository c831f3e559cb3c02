use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// A chat among agents.
    pub struct Chat {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// What kind it is.
        kind as "type": Option<ChatType> = Omit;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// How many take part.
        member_count: i64 = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What kind of chat it is.
    pub enum ChatType {
        /// Between two.
        Direct = "direct",
        /// Among a group.
        Group = "group",
        /// A talk.
        Talk = "talk",
    }
}
