use std::time::SystemTime;

use crate::catalog::EventType;
use crate::event::Time;

/// A time of which the stream may lack events of a type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Gap {
    /// The type.
    pub event_type: EventType,
    /// Events before this have come.
    pub from: SystemTime,
    /// Events after this come again.
    pub until: SystemTime,
    /// Why.
    pub reason: GapReason,
}

/// Why events may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The connection was lost, and is there again.
    Disconnected,
    /// Nobody took events out of the stream in time: so many are dropped.
    Overflow {
        /// How many.
        events: u64,
    },
}

impl Gap {
    pub(super) fn log(&self) {
        let event = self.event_type.loggable();
        let until = self.until.duration_since(self.from).unwrap_or_default();
        match self.reason {
            GapReason::Disconnected => tracing::warn!(
                event,
                from = %time(self.from),
                until = %time(self.until),
                "the stream was down for {until:?}: events of this time may be missing"
            ),
            GapReason::Overflow { events } => tracing::warn!(
                event,
                events,
                from = %time(self.from),
                until = %time(self.until),
                "events of the stream are dropped, as those before them are not taken in time"
            ),
        }
    }
}

fn time(time: SystemTime) -> String {
    Time::try_from(time).map_or_else(|_| "an unknown time".to_owned(), |time| time.to_string())
}
