//! What a tool asks and what it is answered: lines of JSON, one request a connection.

use serde::{Deserialize, Serialize};
use voipbin_receiver::catalog::EventType;
use voipbin_receiver::event::Time;
use voipbin_receiver::inbox::{Record, RecordFilter, RecordState};

/// Changes with whatever one side would misread of the other.
pub(crate) const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) version: u32,
    pub(crate) ask: Ask,
}

/// The part of a request that every version has.
#[derive(Deserialize)]
pub(crate) struct Versioned {
    pub(crate) version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    List {
        which: Page,
        detail: Detail,
    },
    Show {
        id: u64,
        detail: Detail,
    },
    Replay {
        which: Which,
        by: Option<Vec<String>>,
        dry_run: bool,
    },
    Discard {
        which: Which,
        dry_run: bool,
    },
    /// Discards what ended before this time: finished events, and dead letters when asked to.
    Purge {
        ended_before: Time,
        dead: bool,
        dry_run: bool,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Which {
    Ids(Vec<u64>),
    Matching(Page),
}

/// Some of the events that a filter takes.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) filter: Filter,
    /// From the one after this on.
    pub(crate) after: Option<u64>,
    /// How many; all with `None`.
    pub(crate) most: Option<u64>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) state: Option<State>,
    pub(crate) handler: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) before: Option<Time>,
    pub(crate) after: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// A handler has not ended with it
    Pending,
    /// A handler gave up
    Dead,
    /// Every handler is done with it
    Done,
}

/// How much of an event is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Detail {
    Brief,
    Attempts,
    Body,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Event(Box<Event>),
    /// Handled again as `replay`, or with a dry run to be.
    Replayed {
        id: u64,
        replay: Option<u64>,
    },
    /// So many events are given up, or with a dry run would be.
    Discarded {
        events: usize,
    },
    NotFound {
        id: u64,
    },
    /// Its dead letters were replayed before.
    ReplayedBefore {
        id: u64,
    },
    /// There are more after this one.
    More {
        after: u64,
    },
    /// It takes its time.
    Working,
    Failed {
        why: String,
    },
    /// That was all. A stream without it was cut off.
    End,
}

/// An event as the tools print it in JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: u64,
    pub(crate) state: String,
    /// The type as it came; null for a custom delivery.
    pub(crate) event: Option<String>,
    /// Hashed where the id itself is a credential.
    pub(crate) resource_id: Option<String>,
    pub(crate) identity: String,
    pub(crate) received_at: Option<Time>,
    pub(crate) signed: bool,
    pub(crate) content_type: String,
    pub(crate) bytes: usize,
    pub(crate) replay_of: Option<u64>,
    /// Those that ended badly, of all handlers together.
    pub(crate) failed_attempts: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) jobs: Vec<Job>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) handler: String,
    pub(crate) stage: String,
    /// Since when; of a waiting one, until when.
    pub(crate) at: Option<Time>,
    /// How many ended badly. The latest of them are in `history`.
    pub(crate) failed_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<Vec<Try>>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Try {
    pub(crate) began_at: Option<Time>,
    pub(crate) took_ms: u64,
    pub(crate) error: String,
}

impl Filter {
    pub(crate) fn build(&self) -> RecordFilter {
        let mut filter = RecordFilter::new();
        if let Some(state) = self.state {
            filter = filter.state(state.into());
        }
        if let Some(handler) = &self.handler {
            filter = filter.handler(voipbin_receiver::handler::HandlerName::new(handler));
        }
        if let Some(event) = &self.event {
            filter = filter.event_type(EventType::parse(event));
        }
        if let Some(resource) = &self.resource {
            filter = filter.resource_id(resource);
        }
        if let Some(before) = self.before.and_then(Time::to_system_time) {
            filter = filter.received_before(before);
        }
        if let Some(after) = self.after.and_then(Time::to_system_time) {
            filter = filter.received_after(after);
        }
        filter
    }
}

impl From<State> for RecordState {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Dead => Self::Dead,
            State::Done => Self::Done,
        }
    }
}

impl Event {
    pub(crate) fn of(record: &Record, detail: Detail) -> Result<Self, serde_json::Error> {
        let mut event: Self = serde_json::from_value(serde_json::to_value(record)?)?;
        if detail < Detail::Body {
            event.body = None;
        }
        if detail < Detail::Attempts {
            event.jobs.iter_mut().for_each(|job| job.history = None);
        }
        Ok(event)
    }
}
