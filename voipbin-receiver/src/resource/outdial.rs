use super::Id;
use super::object::resource;
use crate::event::Time;

resource! {
    /// A list of targets for campaigns.
    pub struct Outdial {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The campaign that uses it.
        campaign_id: Option<Id> = Always;
        /// A label.
        name: Option<String> = Always;
        /// A free description.
        detail: Option<String> = Always;
        /// Text of the user's own.
        data: Option<String> = Always;
        /// When it was created.
        tm_create: Option<Time> = Null;
        /// When it was last changed; none until the first change.
        tm_update: Option<Time> = Null;
        /// When it was deleted.
        tm_delete: Option<Time> = Null;
    }
}
