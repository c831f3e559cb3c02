use super::object::{resource, words};
use super::{Address, Attachment, Id};
use crate::event::Time;

resource! {
    /// An e-mail.
    pub struct Email {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The sender; may be missing.
        source: Address = Null;
        /// The recipients.
        destinations: Vec<Address> = Always;
        /// What the provider last reported.
        status: Option<EmailStatus> = Always;
        /// The subject line.
        subject: Option<String> = Always;
        /// The body.
        content: Option<String> = Always;
        /// What is attached.
        attachments: Vec<Attachment> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What the provider last reported; `open` and `click` can repeat.
    pub enum EmailStatus {
        /// It was created.
        Initiated = "initiated",
        /// The provider has it.
        Processed = "processed",
        /// The recipient's server has it.
        Delivered = "delivered",
        /// It was opened.
        Open = "open",
        /// A link in it was followed.
        Click = "click",
        /// It was sent back.
        Bounce = "bounce",
        /// The provider did not send it.
        Dropped = "dropped",
        /// The recipient's server put it off.
        Deferred = "deferred",
        /// The recipient unsubscribed.
        Unsubscribe = "unsubscribe",
        /// The recipient reported it as spam.
        SpamReport = "spamreport",
    }
}
