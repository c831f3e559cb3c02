//! The platform says direction in three ways, one per family of resources.

use super::object::words;

words! {
    /// Which way something went, in the words of calls, conversations and AI messages.
    pub enum Direction {
        /// To the account.
        Incoming = "incoming",
        /// From the account.
        Outgoing = "outgoing",
    }
}

words! {
    /// Which way something went, in the words of SMS and webchat.
    pub enum MessageDirection {
        /// To the account.
        Inbound = "inbound",
        /// From the account.
        Outbound = "outbound",
    }
}

words! {
    /// Which side speaks, in the words of transcription.
    pub enum SpeechDirection {
        /// Both sides.
        Both = "both",
        /// The far end.
        In = "in",
        /// The platform's side.
        Out = "out",
    }
}
