use super::object::{resource, words};
use super::{Address, Id};
use crate::event::Time;

resource! {
    /// A person who takes calls.
    pub struct Agent {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The name to sign in with.
        username: Option<String> = Always;
        /// A label.
        name: Option<String> = Always;
        /// A free description.
        detail: Option<String> = Always;
        /// In which order the addresses are rung.
        ring_method: Option<AgentRingMethod> = Always;
        /// Whether the agent can take calls.
        status: Option<AgentStatus> = Always;
        /// A bit mask: 16 agent, 32 administrator, 64 manager, 1 the project's super administrator.
        permission: i64 = Always;
        /// The skills.
        tag_ids: Vec<Id> = Always;
        /// Where the agent is rung.
        addresses: Vec<Address> = Always;
        /// A token for direct access by hash: a credential.
        direct_hash: Option<String> = Always;
        /// When it was created.
        tm_create: Option<Time> = Omit;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Omit;
        /// When it was deleted.
        tm_delete: Option<Time> = Omit;
    }
}

words! {
    /// In which order an agent's addresses are rung.
    pub enum AgentRingMethod {
        /// All at once.
        RingAll = "ringall",
        /// One after another.
        Linear = "linear",
    }
}

words! {
    /// Whether an agent can take calls.
    pub enum AgentStatus {
        /// Yes.
        Available = "available",
        /// Not at the desk.
        Away = "away",
        /// In a call.
        Busy = "busy",
        /// Not signed in.
        Offline = "offline",
        /// A call is being offered.
        Ringing = "ringing",
    }
}
