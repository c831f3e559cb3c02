//! What is looked up once for each set of labels, and recorded to ever after.

use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{Counter, Histogram, SharedString};
use dashmap::DashMap;
use dashmap::mapref::one::Ref;
use foldhash::fast::RandomState;

use super::factory::MetricFactory;
use super::table::names;
use super::types::TYPES;
use crate::catalog::EventType;
use crate::event::Origin;
use crate::handler::HandlerName;
use crate::inbox::AttemptEnd;
use crate::observe::{DeadLetterReason, JobState, Outcome, RefusalReason};

/// The series of a receiver.
pub(super) struct Series {
    factory: MetricFactory,
    deliveries: Each<Outcome, Counter>,
    events: ByType<Counter>,
    recovered: Counter,
    answers: Each<&'static str, Histogram>,
    handlers: DashMap<HandlerName, HandlerSeries, RandomState>,
}

/// The series of a handler.
pub(super) struct HandlerSeries {
    pub(super) started: Counter,
    pub(super) finished: Counter,
    failed: Each<&'static str, Counter>,
    pub(super) retried: Counter,
    pub(super) replayed: Counter,
    pub(super) skipped: Counter,
    pub(super) held: Counter,
    dropped: Each<JobState, Counter>,
    dead: Each<DeadLetterReason, Counter>,
    pub(super) waited: Histogram,
    took: ByType<Histogram>,
    pub(super) age: Histogram,
}

impl Series {
    /// Describes every metric and registers what is known beforehand.
    pub(super) fn new(factory: MetricFactory) -> Self {
        factory.describe();
        let answered = [Outcome::Accepted, Outcome::Duplicate, Outcome::Unmatched];
        let refused = RefusalReason::ALL.iter().copied().map(Outcome::Refused);
        let outcomes: Vec<Outcome> = answered.into_iter().chain(refused).collect();
        let deliveries = Each::of(&outcomes, |outcome| {
            let (outcome, reason) = words(outcome);
            let labels = [("outcome", outcome.into()), ("reason", reason.into())];
            factory.counter(names::DELIVERIES, &labels)
        });
        let answers = Each::of(
            &["accepted", "duplicate", "unmatched", "refused"],
            |outcome| factory.histogram(names::ANSWER_DURATION, &[("outcome", outcome.into())]),
        );
        Self {
            recovered: factory.counter(names::RECOVERED, &[]),
            factory,
            deliveries,
            events: ByType::new(),
            answers,
            handlers: DashMap::default(),
        }
    }

    pub(super) fn answered(
        &self,
        origin: Origin,
        outcome: Outcome,
        event_type: Option<&EventType>,
        took: Duration,
    ) {
        // Nobody waits for the answer to what has another origin.
        let took = (origin == Origin::Webhook).then_some(took);
        if let Some(deliveries) = self.deliveries.get(outcome) {
            deliveries.increment(1);
        }
        if let (Some(answers), Some(took)) = (self.answers.get(words(outcome).0), took) {
            answers.record(took);
        }
        if outcome == Outcome::Accepted {
            if origin == Origin::History {
                self.recovered.increment(1);
            }
            let registered = |word| self.factory.counter(names::EVENTS, &[("event_type", word)]);
            if let Some(events) = self.events.get(event_type, registered) {
                events.increment(1);
            }
        }
    }

    /// The series of a handler, which are made when it is first heard of.
    pub(super) fn handler(&self, handler: &HandlerName) -> Ref<'_, HandlerName, HandlerSeries> {
        if let Some(known) = self.handlers.get(handler) {
            return known;
        }
        let made = self.handlers.entry(handler.clone());
        made.or_insert_with(|| HandlerSeries::new(handler, &self.factory))
            .downgrade()
    }

    /// How long a run took.
    pub(super) fn took(
        &self,
        handler: &Ref<'_, HandlerName, HandlerSeries>,
        event_type: Option<&EventType>,
        took: Duration,
    ) {
        let registered = |word| {
            let labels = [label(handler.key()), ("event_type", word)];
            self.factory.histogram(names::HANDLER_DURATION, &labels)
        };
        if let Some(series) = handler.took.get(event_type, registered) {
            series.record(took);
        }
    }
}

impl HandlerSeries {
    fn new(handler: &HandlerName, factory: &MetricFactory) -> Self {
        let label = label(handler);
        let one = |name| factory.counter(name, std::slice::from_ref(&label));
        let with = |name, other: &'static str, word: &'static str| {
            factory.counter(name, &[label.clone(), (other, word.into())])
        };
        let time = |name| factory.histogram(name, std::slice::from_ref(&label));
        Self {
            started: one(names::RUNS_STARTED),
            finished: one(names::RUNS_FINISHED),
            failed: Each::of(&["error", "panic", "timeout"], |end| {
                with(names::RUNS_FAILED, "end", end)
            }),
            retried: one(names::RUNS_RETRIED),
            replayed: one(names::RUNS_REPLAYED),
            skipped: one(names::RUNS_SKIPPED),
            held: one(names::RUNS_HELD),
            dropped: Each::of(JobState::ALL, |state| {
                with(names::RUNS_DROPPED, "state", state.as_str())
            }),
            dead: Each::of(DeadLetterReason::ALL, |reason| {
                with(names::DEAD_LETTERS, "reason", reason.as_str())
            }),
            waited: time(names::QUEUE_WAIT),
            took: ByType::new(),
            age: time(names::EVENT_AGE),
        }
    }

    pub(super) fn failed(&self, end: &AttemptEnd) -> Option<&Counter> {
        self.failed.get(end.as_str())
    }

    pub(super) fn dropped(&self, state: JobState) -> Option<&Counter> {
        self.dropped.get(state)
    }

    pub(super) fn dead(&self, reason: DeadLetterReason) -> Option<&Counter> {
        self.dead.get(reason)
    }
}

fn label(handler: &HandlerName) -> (&'static str, SharedString) {
    ("handler", handler.as_str().to_owned().into())
}

/// The labels `outcome` and `reason`.
const fn words(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Refused(reason) => ("refused", reason.as_str()),
        answered => (answered.as_str(), "none"),
    }
}

/// Series that differ in a label of few values. All are there from the start, so that the first
/// increment is seen as one.
struct Each<K, S>(Vec<(K, S)>);

impl<K: Copy + PartialEq, S> Each<K, S> {
    fn of(keys: &[K], mut register: impl FnMut(K) -> S) -> Self {
        Self(keys.iter().map(|key| (*key, register(*key))).collect())
    }

    fn get(&self, wanted: K) -> Option<&S> {
        let found = self.0.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, series)| series)
    }
}

/// Series that differ in the type of the event. Each is there from when it is first needed.
struct ByType<S>(Vec<OnceLock<S>>);

impl<S> ByType<S> {
    fn new() -> Self {
        Self((0..TYPES.len()).map(|_| OnceLock::new()).collect())
    }

    fn get(
        &self,
        event_type: Option<&EventType>,
        register: impl FnOnce(SharedString) -> S,
    ) -> Option<&S> {
        let place = TYPES.place(event_type);
        let series = self.0.get(place)?;
        Some(series.get_or_init(|| register(SharedString::const_str(TYPES.word(place)))))
    }
}
