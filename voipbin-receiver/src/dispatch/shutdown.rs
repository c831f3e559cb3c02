use crate::event::Delivery;
use crate::handler::HandlerName;

/// What a shutdown left undone.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "what is left is lost with the process unless the inbox is durable"]
pub struct ShutdownReport {
    /// The runs that did not end, those that had begun first. Empty when everything was drained.
    pub unfinished: Vec<Unfinished>,
}

impl ShutdownReport {
    pub(crate) fn new(unfinished: Vec<Unfinished>) -> Self {
        Self { unfinished }
    }

    /// Whether every kept event was handled to its end.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.unfinished.is_empty()
    }
}

/// A handler that did not run to its end for an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unfinished {
    /// The event.
    pub delivery: Delivery,
    /// The handler.
    pub handler: HandlerName,
    /// How far it had come.
    pub state: JobState,
}

impl Unfinished {
    pub(crate) fn new(delivery: Delivery, handler: HandlerName, state: JobState) -> Self {
        Self {
            delivery,
            handler,
            state,
        }
    }
}

/// How far a run had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobState {
    /// It had not begun.
    Queued,
    /// It had begun: an async handler was dropped at an await, a blocking one goes on by itself.
    Running,
}
