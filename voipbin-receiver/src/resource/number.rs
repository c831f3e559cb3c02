use super::Id;
use super::object::{object, resource, words};
use crate::event::Time;

resource! {
    /// A phone number of the account.
    pub struct Number {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The number, in E.164.
        number: Option<String> = Always;
        /// Whether it is real.
        kind as "type": Option<NumberType> = Always;
        /// The flow that calls run.
        call_flow_id: Option<Id> = Always;
        /// The flow that messages run.
        message_flow_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Always;
        /// A free description.
        detail: Option<String> = Always;
        /// Where it is in its life.
        status: Option<NumberStatus> = Always;
        /// Whether fax relay is on.
        t38_enabled: bool = Always;
        /// Whether emergency calls are possible.
        emergency_enabled: bool = Always;
        /// Settings of the platform.
        metadata: NumberMetadata = Always;
        /// When it was bought.
        tm_purchase: Option<Time> = Null;
        /// When it was last renewed.
        tm_renew: Option<Time> = Null;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

object! {
    /// Settings that the platform keeps with a number.
    pub struct NumberMetadata {
        /// Whether media is traced.
        rtp_debug: bool = Always;
    }
}

words! {
    /// Whether a number is real.
    pub enum NumberType {
        /// A number of the phone network.
        Normal = "normal",
        /// A number inside the platform.
        Virtual = "virtual",
    }
}

words! {
    /// Where a number is in its life.
    pub enum NumberStatus {
        /// In use.
        Active = "active",
        /// Removed.
        Deleted = "deleted",
    }
}
