use super::object::{resource, words};
use super::{Address, Id};
use crate::event::Time;

resource! {
    /// A call or flow that a campaign started for one target.
    pub struct Campaigncall {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The campaign.
        campaign_id: Option<Id> = Always;
        /// The dial plan.
        outplan_id: Option<Id> = Always;
        /// The list of targets.
        outdial_id: Option<Id> = Always;
        /// The target in the list.
        outdial_target_id: Option<Id> = Always;
        /// The queue that is fed.
        queue_id: Option<Id> = Always;
        /// The running instance of the flow; it may have a webhook of its own.
        activeflow_id: Option<Id> = Always;
        /// The flow that is run.
        flow_id: Option<Id> = Always;
        /// What was started.
        reference_type: Option<CampaigncallReferenceType> = Always;
        /// The id of what was started.
        reference_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<CampaigncallStatus> = Always;
        /// How it came out.
        result: Option<CampaigncallResult> = Always;
        /// The sending side.
        source: Address = Null;
        /// The receiving side.
        destination: Address = Null;
        /// Which of the target's numbers it is.
        destination_index: i64 = Always;
        /// Which try it is.
        try_count: i64 = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What a campaign started.
    pub enum CampaigncallReferenceType {
        /// Nothing.
        Nothing = "none",
        /// A call.
        Call = "call",
        /// A flow.
        Flow = "flow",
    }
}

words! {
    /// Where a campaign's call is in its life.
    pub enum CampaigncallStatus {
        /// It is being dialled.
        Dialing = "dialing",
        /// It was answered.
        Progressing = "progressing",
        /// It ended.
        Done = "done",
    }
}

words! {
    /// How a campaign's call came out.
    pub enum CampaigncallResult {
        /// Well.
        Success = "success",
        /// Badly.
        Fail = "fail",
    }
}
