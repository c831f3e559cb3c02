use std::time::Duration;

use super::object::{object, resource};
use super::{Id, SpeechDirection};
use crate::event::Time;

object! {
    /// One piece of a transcription, in its final form.
    pub struct Transcript {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The transcription that it is a part of.
        transcribe_id: Option<Id> = Always;
        /// Which side spoke.
        direction: Option<SpeechDirection> = Always;
        /// What was said.
        message: Option<String> = Always;
        /// The position in the session, written as a date in the year 1: see
        /// [`offset`](Self::offset).
        tm_transcript: Option<Time> = Null;
        /// When it was created.
        tm_create: Option<Time> = Null;
    }
}

resource!(Transcript {
    created: tm_create,
    container: transcribe_id
});

impl Transcript {
    /// Where in the session this was said. `None` where there is no position, or a wall clock time
    /// in its place.
    #[must_use]
    pub fn offset(&self) -> Option<Duration> {
        self.tm_transcript?.as_offset()
    }
}
