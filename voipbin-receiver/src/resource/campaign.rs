use super::object::{resource, words};
use super::{Action, Id};
use crate::event::Time;

resource! {
    /// A campaign: a list of targets to be called.
    pub struct Campaign {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// What is started for each target.
        kind as "type": Option<CampaignType> = Always;
        /// A label.
        name: Option<String> = Always;
        /// A free description.
        detail: Option<String> = Always;
        /// Whether it runs.
        status: Option<CampaignStatus> = Always;
        /// How far dialling runs ahead, in per cent.
        service_level: i64 = Always;
        /// What happens when the list is exhausted.
        end_handle: Option<CampaignEndHandle> = Always;
        /// The flow's actions.
        actions: Vec<Action> = Always;
        /// The dial plan.
        outplan_id: Option<Id> = Always;
        /// The list of targets.
        outdial_id: Option<Id> = Always;
        /// The queue that is fed.
        queue_id: Option<Id> = Always;
        /// The campaign that follows this one.
        next_campaign_id: Option<Id> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What a campaign starts for each target.
    pub enum CampaignType {
        /// A call.
        Call = "call",
        /// A flow.
        Flow = "flow",
    }
}

words! {
    /// Whether a campaign runs.
    pub enum CampaignStatus {
        /// It does not.
        Stop = "stop",
        /// It is being stopped.
        Stopping = "stopping",
        /// It does.
        Run = "run",
    }
}

words! {
    /// What happens when the target list is exhausted.
    pub enum CampaignEndHandle {
        /// The campaign stops.
        Stop = "stop",
        /// The campaign goes on.
        Continue = "continue",
    }
}
