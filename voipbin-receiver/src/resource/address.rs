use super::object::{object, words};

object! {
    /// One side of something: a phone number, an e-mail address, an agent, …
    ///
    /// Every field may be missing, even when the address is there. Some older documents show an
    /// address as a plain string; it is read as the target.
    pub struct Address from_text target {
        /// What kind it is.
        kind as "type": Option<AddressType> = Omit;
        /// The address itself: E.164 for a phone number, or a carrier's word such as `anonymous`.
        target: Option<String> = Omit;
        /// The name to show.
        target_name: Option<String> = Omit;
        /// A label.
        name: Option<String> = Omit;
        /// A free description.
        detail: Option<String> = Omit;
    }
}

words! {
    /// What kind of address it is.
    pub enum AddressType {
        /// An agent of the account.
        Agent = "agent",
        /// An AI.
        Ai = "ai",
        /// A team of AIs.
        AiTeam = "ai_team",
        /// A conference.
        Conference = "conference",
        /// An e-mail address.
        Email = "email",
        /// An extension of the account.
        Extension = "extension",
        /// A LINE user.
        Line = "line",
        /// A SIP address.
        Sip = "sip",
        /// A phone number.
        Tel = "tel",
        /// A webchat widget.
        Webchat = "webchat",
        /// A visitor of a webchat widget.
        WebSession = "web_session",
        /// A WhatsApp user.
        Whatsapp = "whatsapp",
    }
}
