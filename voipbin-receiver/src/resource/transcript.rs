use std::time::Duration;

use super::object::resource;
use super::{Id, SpeechDirection};
use crate::event::Time;

resource! {
    /// One piece of a transcription, in its final form.
    pub struct Transcript {
        /// The resource's id.
        id: Option<Id> = Always;
        /// The account that owns it.
        customer_id: Option<Id> = Always;
        /// The transcription that it is a part of.
        transcribe_id: Option<Id> = Always container;
        /// Which side spoke.
        direction: Option<SpeechDirection> = Always;
        /// What was said.
        message: Option<String> = Always;
        /// The position in the session, in milliseconds: see [`offset`](Self::offset).
        offset_ms: Option<i64> = Omit;
        /// The same as installations from before September 2026 write it, as a date in the year 1.
        tm_transcript: Option<Time> = Omit;
        /// When it was created.
        tm_create: Option<Time> = Null;
    }
}

impl Transcript {
    /// Where in the session this was said, in today's form or the older one. `None` where there is
    /// no position, or a wall clock time in its place.
    #[must_use]
    pub fn offset(&self) -> Option<Duration> {
        match self.offset_ms {
            Some(millis) => u64::try_from(millis).ok().map(Duration::from_millis),
            None => self.tm_transcript?.as_offset(),
        }
    }
}
