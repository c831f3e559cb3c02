use super::object::{resource, words};
use super::{Id, RawJson};
use crate::event::Time;

resource! {
    /// A messaging account, such as a LINE or WhatsApp one.
    ///
    /// This is what `account_*` events carry; changes of the billing account are not sent.
    pub struct Account {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// What it connects to.
        kind as "type": Option<AccountType> = Omit;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
        /// The provider's own JSON. For WhatsApp it holds `app_secret`: a credential.
        provider_data: Option<RawJson> = Omit;
        /// The flow that incoming messages run.
        message_flow_id: Option<Id> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}

words! {
    /// What a messaging account connects to.
    pub enum AccountType {
        /// LINE.
        Line = "line",
        /// SMS.
        Sms = "sms",
        /// WhatsApp.
        Whatsapp = "whatsapp",
    }
}
