use super::object::resource;
use super::{Id, SpeechDirection};
use crate::event::Time;

resource! {
    /// Speech that is being transcribed: begun, partly understood, or ended.
    pub struct Speech {
        /// A new id for each event.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The audio stream.
        streaming_id: Option<Id> = Always;
        /// The transcription that it is a part of.
        transcribe_id: Option<Id> = Always container;
        /// Which side speaks.
        direction: Option<SpeechDirection> = Always;
        /// What was understood so far; only while it goes on.
        message: Option<String> = Omit;
        /// When it happened.
        tm_event: Option<Time> = Null;
        /// The same instant.
        tm_create: Option<Time> = Null;
    }
}
