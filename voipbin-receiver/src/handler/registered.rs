use std::fmt;

use super::registration::Registration;
use crate::catalog::{Matcher, Selector, never_sent, unknown_of};
use crate::event::HandlerName;

/// A handler of a receiver, and the events that it is for. Made by
/// [`Receiver::handlers`](crate::Receiver::handlers).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegisteredHandler {
    /// Its name, unique in the receiver.
    pub name: HandlerName,
    /// Its events as they are named: `call_hangup`, `call_*` for all of a resource, `*` for all
    /// there are, `custom` and `fallback`.
    pub events: Vec<String>,
    /// Where it is written or registered: `src/main.rs:7`.
    pub location: String,
}

impl RegisteredHandler {
    pub(crate) fn new(registration: &Registration) -> Self {
        let selectors = registration.selectors.iter();
        Self {
            name: HandlerName::new(&registration.name),
            events: selectors.map(ToString::to_string).collect(),
            location: registration.location.to_string(),
        }
    }
}

/// `crm: call_hangup, call_created`.
impl fmt::Display for RegisteredHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.events.join(", "))
    }
}

/// Logs which events no handler will see, because VoIPBIN does not send them.
pub(crate) fn warn_of_silence(registration: &Registration) {
    let Registration {
        name,
        selectors,
        location,
        ..
    } = registration;
    for matcher in selectors.iter().map(Selector::matcher) {
        let Matcher::Type(event_type) = matcher else {
            continue;
        };
        if let Some(entry) = never_sent(event_type) {
            tracing::warn!(
                handler = name,
                %location,
                event = entry.name,
                worth_knowing = entry.quirks,
                "VoIPBIN does not send this event today: the handler does not run for it"
            );
        } else if let Some(first) = unknown_of(event_type.as_str()) {
            tracing::warn!(
                handler = name,
                %location,
                event = event_type.loggable(),
                "no event of this name is known, though others begin with `{first}`: names are exact"
            );
        }
    }
}
