use serde_json::{Map, Value};

use super::Id;
use super::object::{object, resource};
use crate::event::Time;

resource! {
    /// A team of AIs that hand over to each other.
    pub struct Team {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// The member that begins.
        start_member_id: Option<Id> = Always;
        /// The members.
        members: Vec<TeamMember> = Omit;
        /// Free settings.
        parameter: Map<String, Value> = Omit;
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

object! {
    /// A member of a team.
    pub struct TeamMember {
        /// The member's id.
        id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Always;
        /// The AI.
        ai_id: Option<Id> = Always;
        /// To whom the member can hand over.
        transitions: Vec<TeamTransition> = Always;
    }
}

object! {
    /// A way in which a member hands over to another one.
    pub struct TeamTransition {
        /// The function that the model calls to hand over.
        function_name: Option<String> = Always;
        /// When to hand over.
        description: Option<String> = Always;
        /// The member to hand over to.
        next_member_id: Option<Id> = Always;
    }
}
