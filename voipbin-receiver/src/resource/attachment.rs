use super::Id;
use super::object::{object, words};

object! {
    /// Something attached to an e-mail.
    pub struct Attachment {
        /// What is attached.
        reference_type: Option<AttachmentReferenceType> = Always;
        /// Its id.
        reference_id: Option<Id> = Always;
    }
}

words! {
    /// What is attached.
    pub enum AttachmentReferenceType {
        /// A recording.
        Recording = "recording",
    }
}
