use std::time::SystemTime;

use super::{Record, RecordState};
use crate::catalog::EventType;
use crate::handler::HandlerName;

/// Which events are meant; all of them by default.
#[derive(Clone, Debug, Default)]
#[must_use = "a filter does nothing by itself"]
pub struct RecordFilter {
    state: Option<RecordState>,
    handler: Option<HandlerName>,
    event_type: Option<EventType>,
    resource_id: Option<String>,
    received_before: Option<SystemTime>,
    received_after: Option<SystemTime>,
    ended_before: Option<SystemTime>,
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

    /// Whether this event is meant.
    #[must_use]
    pub fn takes(&self, record: &Record) -> bool {
        let delivery = &record.delivery;
        let received = delivery.received_at();
        let state = match &self.handler {
            None => Some(record.state),
            Some(handler) => {
                let mut jobs = record.jobs.iter();
                let job = jobs.find(|job| job.handler == *handler);
                job.map(|job| RecordState::of(std::slice::from_ref(job)))
            }
        };
        let Some(state) = state else { return false };
        self.state.is_none_or(|wanted| wanted == state)
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
    }
}
