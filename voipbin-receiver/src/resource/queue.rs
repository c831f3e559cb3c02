use super::Id;
use super::object::resource;
use crate::event::Time;

resource! {
    /// A queue.
    ///
    /// The platform sends no queue events; its documents show them, and this is what they show.
    pub struct Queue {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Always;
        /// A free description.
        detail: Option<String> = Always;
        /// How an agent is chosen.
        routing_method: Option<String> = Always;
        /// The skills that an agent needs.
        tag_ids: Vec<Id> = Always;
        /// The flow that runs while waiting.
        wait_flow_id: Option<Id> = Always;
        /// The longest wait.
        wait_timeout: i64 = Always;
        /// The longest service.
        service_timeout: i64 = Always;
        /// The entries that wait.
        wait_queuecall_ids: Vec<Id> = Always;
        /// The entries that are served.
        service_queuecall_ids: Vec<Id> = Always;
        /// A token for direct access by hash: a credential.
        direct_hash: Option<String> = Always;
        /// How many entries came.
        total_incoming_count: i64 = Always;
        /// How many were served.
        total_serviced_count: i64 = Always;
        /// How many left before.
        total_abandoned_count: i64 = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}
