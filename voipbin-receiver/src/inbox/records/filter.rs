use std::time::SystemTime;

use super::mention::{self, PhoneNumber};
use super::{JobRecord, Record, RecordState};
use crate::catalog::EventType;
use crate::event::HandlerName;
use crate::inbox::AttemptEnd;

/// Which events are meant; all of them by default.
#[derive(Clone, Debug, Default)]
#[must_use = "a filter does nothing by itself"]
pub struct RecordFilter {
    pub(in crate::inbox) state: Option<RecordState>,
    pub(in crate::inbox) handler: Option<HandlerName>,
    pub(in crate::inbox) event_type: Option<EventType>,
    pub(in crate::inbox) resource_id: Option<String>,
    pub(in crate::inbox) received_before: Option<SystemTime>,
    pub(in crate::inbox) received_after: Option<SystemTime>,
    pub(in crate::inbox) ended_before: Option<SystemTime>,
    number: Option<PhoneNumber>,
    mentioned: Option<String>,
    error: Option<ErrorFilter>,
}

/// How a handler's last attempt ended, for a [filter](RecordFilter::error).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorFilter {
    /// The handler returned an error.
    Failed,
    /// It panicked.
    Panicked,
    /// It took too long.
    TimedOut,
    /// The process died while it ran, or when it was about to.
    Interrupted,
    /// No attempt is known.
    Unknown,
    /// The handler returned an error whose text holds this.
    Text(String),
}

impl ErrorFilter {
    fn takes(&self, job: &JobRecord) -> bool {
        let last = job.history.last().map(|attempt| &attempt.ended);
        match (self, last) {
            (Self::Text(text), Some(AttemptEnd::Failed(error))) => error.contains(text),
            (Self::Failed, Some(AttemptEnd::Failed(_)))
            | (Self::Panicked, Some(AttemptEnd::Panicked))
            | (Self::TimedOut, Some(AttemptEnd::TimedOut))
            | (Self::Interrupted, Some(AttemptEnd::Interrupted))
            | (Self::Unknown, None) => true,
            _ => false,
        }
    }
}

impl RecordFilter {
    /// All events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those in this state.
    pub fn state(mut self, state: RecordState) -> Self {
        self.state = Some(state);
        self
    }

    /// Those that this handler is for. Beside a state, those that are in it for this handler.
    pub fn handler(mut self, handler: HandlerName) -> Self {
        self.handler = Some(handler);
        self
    }

    /// Those of this type, under whatever name they came.
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type.canonical());
        self
    }

    /// Those of this resource, by `data.id`.
    pub fn resource_id(mut self, id: impl Into<String>) -> Self {
        self.resource_id = Some(id.into());
        self
    }

    /// Those that were received before this time.
    pub fn received_before(mut self, time: SystemTime) -> Self {
        self.received_before = Some(time);
        self
    }

    /// Those that were received at this time or after it.
    pub fn received_after(mut self, time: SystemTime) -> Self {
        self.received_after = Some(time);
        self
    }

    /// Those with which the last handler ended before this time: none that is not finished.
    pub fn ended_before(mut self, time: SystemTime) -> Self {
        self.ended_before = Some(time);
        self
    }

    /// Those for which the last attempt of a handler ended like this, as far as it has failed.
    /// Beside a handler or a state it is that handler's, and one in that state.
    pub fn error(mut self, error: ErrorFilter) -> Self {
        self.error = Some(error);
        self
    }

    /// Those that hold this phone number, however it is written: in a text, a number or a name
    /// anywhere in the body, or in the error of an attempt. For what somebody asks about
    /// themselves; see [`Records::discard_all`](super::Records::discard_all).
    pub fn number(mut self, number: PhoneNumber) -> Self {
        self.number = Some(number);
        self
    }

    /// Those of this resource, and those that speak of it: an id in a text anywhere in the body,
    /// such as the recording of a call, or in the error of an attempt. An id of fewer than eight
    /// characters must be the whole text.
    pub fn mentions(mut self, id: impl Into<String>) -> Self {
        self.mentioned = Some(id.into());
        self
    }

    /// Whether this event is meant.
    #[must_use]
    pub fn takes(&self, record: &Record) -> bool {
        let delivery = &record.delivery;
        let received = delivery.received_at();
        let state = match self.is_of_jobs() {
            true => record.jobs.iter().any(|job| self.takes_job(job)),
            false => self.state.is_none_or(|wanted| wanted == record.state),
        };
        state
            && self
                .event_type
                .as_ref()
                .is_none_or(|wanted| delivery.event_type().as_ref() == Some(wanted))
            && self
                .resource_id
                .as_deref()
                .is_none_or(|wanted| delivery.resource_id() == Some(wanted))
            && self.received_before.is_none_or(|before| received < before)
            && self.received_after.is_none_or(|after| received >= after)
            && self
                .ended_before
                .is_none_or(|before| record.ended_at().is_some_and(|ended| ended < before))
            && self
                .number
                .as_ref()
                .is_none_or(|number| has(record, &|text| number.is_in(text)))
            && self.mentioned.as_deref().is_none_or(|id| {
                delivery.resource_id() == Some(id) || has(record, &|text| mention::is_in(id, text))
            })
    }
}

impl RecordFilter {
    /// Whether it is about single handlers: a state is theirs then.
    pub(crate) fn is_of_jobs(&self) -> bool {
        self.handler.is_some() || self.error.is_some()
    }

    /// Whether a handler of an event is meant, by its name, its state and its error.
    pub(crate) fn takes_job(&self, job: &JobRecord) -> bool {
        let state = RecordState::of(std::slice::from_ref(job));
        self.handler
            .as_ref()
            .is_none_or(|wanted| *wanted == job.handler)
            && self.state.is_none_or(|wanted| wanted == state)
            && self.error.as_ref().is_none_or(|error| error.takes(job))
    }
}

#[cfg(feature = "disk-system")]
impl RecordFilter {
    /// Whether these bytes, of whatever is left of a body, hold what is looked for in bodies.
    pub(in crate::inbox) fn is_in(&self, body: &[u8]) -> bool {
        let number = |text: &str| {
            self.number
                .as_ref()
                .is_some_and(|number| number.is_in(text))
        };
        let id = |text: &str| {
            self.mentioned
                .as_deref()
                .is_some_and(|id| mention::is_in(id, text))
        };
        mention::any_text(body, &|text| number(text) || id(text))
    }
}

/// Whether a text of a record is found.
fn has(record: &Record, finds: &dyn Fn(&str) -> bool) -> bool {
    let mut attempts = record.jobs.iter().flat_map(|job| &job.history);
    mention::any_text(record.delivery.body(), finds)
        || finds(record.delivery.content_type())
        || attempts
            .any(|attempt| matches!(&attempt.ended, AttemptEnd::Failed(error) if finds(error)))
}
