use super::object::{resource, words};
use super::{Address, Id};
use crate::event::Time;

resource! {
    /// A visit to a web page with a webchat widget.
    pub struct WebchatSession {
        /// The visitor's continuity token: a credential.
        id: Option<Id> = Always secret;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The widget.
        widget_id: Option<Id> = Always;
        /// Where it is in its life.
        status: Option<WebchatSessionStatus> = Always;
        /// The page that holds the widget.
        page_url: Option<String> = Omit;
        /// The page before.
        referrer: Option<String> = Omit;
        /// The visitor.
        peer: Address = Always;
        /// The widget.
        local: Address = Always;
        /// When something was last sent.
        tm_last_activity: Option<Time> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Omit;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Omit;
        /// Always none: the platform never fills it in, not even when the session ended.
        tm_end: Option<Time> = Omit;
    }
}

words! {
    /// Whether a webchat session goes on.
    pub enum WebchatSessionStatus {
        /// It does.
        Active = "active",
        /// It ended.
        Ended = "ended",
    }
}
