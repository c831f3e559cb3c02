use std::time::Duration;

use super::Id;
use super::object::{resource, words};
use crate::event::Time;

resource! {
    /// An entry of a queue.
    ///
    /// Which queue it is in is not told.
    pub struct Queuecall {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The kind of thing that it belongs to.
        reference_type: Option<QueuecallReferenceType> = Omit;
        /// The id of the thing that it belongs to.
        reference_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<QueuecallStatus> = Omit;
        /// The agent that took it.
        service_agent_id: Option<Id> = Always;
        /// How long it waited, in milliseconds.
        duration_waiting: i64 = Omit;
        /// How long it was served, in milliseconds.
        duration_service: i64 = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When an agent was connected.
        tm_service: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

impl Queuecall {
    /// How long the entry waited, as far as that is over.
    #[must_use]
    pub fn waiting_time(&self) -> Option<Duration> {
        milliseconds(self.duration_waiting)
    }

    /// How long the entry was served, as far as that is over.
    #[must_use]
    pub fn service_time(&self) -> Option<Duration> {
        milliseconds(self.duration_service)
    }
}

/// Zero is what the platform has until it knows.
fn milliseconds(count: i64) -> Option<Duration> {
    u64::try_from(count)
        .ok()
        .filter(|&count| count > 0)
        .map(Duration::from_millis)
}

words! {
    /// What waits in the queue.
    pub enum QueuecallReferenceType {
        /// A call.
        Call = "call",
    }
}

words! {
    /// Where a queue entry is in its life.
    pub enum QueuecallStatus {
        /// It was created.
        Initiating = "initiating",
        /// It waits.
        Waiting = "waiting",
        /// An agent is being connected.
        Connecting = "connecting",
        /// It is being taken out; this is never announced.
        Kicking = "kicking",
        /// It is being served.
        Service = "service",
        /// It was served.
        Done = "done",
        /// It left before it was served.
        Abandoned = "abandoned",
    }
}
