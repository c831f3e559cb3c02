use super::object::{resource, words};
use super::{Address, Id, OwnerType};
use crate::event::Time;

resource! {
    /// Several addresses dialled as one.
    pub struct Groupcall {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of owner, if it has one.
        owner_type: Option<OwnerType> = Always;
        /// The owner: an agent.
        owner_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<GroupcallStatus> = Omit;
        /// The flow that is run.
        flow_id: Option<Id> = Always;
        /// The sending side.
        source: Address = Omit;
        /// The addresses that are dialled.
        destinations: Vec<Address> = Omit;
        /// The parent call of a chain.
        master_call_id: Option<Id> = Always;
        /// The parent groupcall.
        master_groupcall_id: Option<Id> = Always;
        /// In which order the destinations are dialled.
        ring_method: Option<GroupcallRingMethod> = Omit;
        /// What happens to the other legs when one is answered.
        answer_method: Option<AnswerMethod> = Omit;
        /// The call that answered.
        answer_call_id: Option<Id> = Always;
        /// The legs.
        call_ids: Vec<Id> = Omit;
        /// The child groupcall that answered.
        answer_groupcall_id: Option<Id> = Always;
        /// The child groupcalls.
        groupcall_ids: Vec<Id> = Omit;
        /// How many legs are still being dialled.
        call_count: i64 = Omit;
        /// How many child groupcalls are still being dialled.
        groupcall_count: i64 = Omit;
        /// The position in the dial list.
        dial_index: i64 = Omit;
        /// When it was created.
        tm_create: Option<Time> = Omit;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Omit;
        /// When it was deleted.
        tm_delete: Option<Time> = Omit;
    }
}

words! {
    /// Where a groupcall is in its life.
    pub enum GroupcallStatus {
        /// It is being dialled or was answered.
        Progressing = "progressing",
        /// It is being ended.
        HangingUp = "hangingup",
        /// It ended.
        Hangup = "hangup",
    }
}

words! {
    /// In which order the destinations are dialled.
    pub enum GroupcallRingMethod {
        /// All at once.
        RingAll = "ring_all",
        /// One after another.
        Linear = "linear",
    }
}

words! {
    /// What happens to the other legs when one is answered.
    pub enum AnswerMethod {
        /// They are hung up.
        HangupOthers = "hangup_others",
    }
}
