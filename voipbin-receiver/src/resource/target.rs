use super::Address;
use super::object::{object, words};
use crate::event::Time;

object! {
    /// One recipient of a message.
    pub struct Target {
        /// The recipient.
        destination: Address = Always;
        /// How far the message got.
        status: Option<TargetStatus> = Always;
        /// How many SMS segments it took.
        parts: i64 = Always;
        /// When the status last changed.
        tm_update: Option<Time> = Null;
    }
}

words! {
    /// How far the message got to one recipient. Nothing reports delivery of an outbound message
    /// today: `delivered` may never come.
    pub enum TargetStatus {
        /// Inbound: it came.
        Received = "received",
        /// Outbound: it waits to be handed over.
        Queued = "queued",
        /// Outbound: the provider has it.
        Sent = "sent",
        /// Outbound: the gateway did not answer.
        GwTimeout = "gw_timeout",
        /// Outbound: no delivery report came.
        DlrTimeout = "dlr_timeout",
        /// Outbound: it was refused.
        Failed = "failed",
        /// It was delivered.
        Delivered = "delivered",
    }
}
