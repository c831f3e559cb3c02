use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::health::Health;
use super::outcome::{DeadLetterReason, Outcome};
use super::propagator::{Propagation, Propagator};
use super::refusal::Refused;
use super::shutdown::{JobState, Unfinished};
use super::stats::Stats;
use crate::catalog::EventType;
use crate::event::{Delivery, Origin, RecordId};
use crate::gate::SecretUsage;
use crate::handler::HandlerName;
use crate::inbox::{Attempt, Job};

/// How long the hook for a dead letter may take: it has a handler's slot.
const HOOK_TIME: Duration = Duration::from_secs(30);

/// Sees everything that happens to deliveries and their handlers, as it happens.
///
/// Given to [`ReceiverBuilder::observe`](crate::ReceiverBuilder::observe). A closure is one:
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::observe::Transition;
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .observe(|transition: &Transition<'_>| {
///         if let Transition::Skipped { run } = transition {
///             println!("{} left out a stale event", run.handler());
///         }
///     })
///     .on(Any, || async {})
///     .build()?;
/// # Ok(()) }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Called on the path of the answer and of the handlers: it must not block. A panic is caught
    /// and changes nothing.
    fn observe(&self, transition: &Transition<'_>);

    /// Called by [`Receiver::record_gauges`](crate::Receiver::record_gauges) with how the receiver
    /// stands just now. It does nothing by default. A panic is caught and changes nothing.
    fn record_gauges(&self, gauges: &Gauges<'_>) {
        let _ = gauges;
    }
}

impl<F: Fn(&Transition<'_>) + Send + Sync + 'static> Observer for F {
    fn observe(&self, transition: &Transition<'_>) {
        self(transition);
    }
}

/// How a receiver stands at one moment.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Gauges<'a> {
    /// What was counted so far, and how full the inbox is.
    pub stats: &'a Stats,
    /// Whether new events are taken and handled.
    pub health: &'a Health,
    /// The registered handlers, whether or not they ever ran.
    pub handlers: &'a [HandlerName],
    /// The secrets that signatures are checked with, and what each was used for.
    pub secrets: &'a [SecretUsage],
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Transition<'a> {
    /// A delivery was answered; of another origin than a webhook, accepted or refused.
    Answered {
        /// How.
        outcome: Outcome,
        /// How it came.
        origin: Origin,
        /// The type of the event, where it came to be known.
        event_type: Option<&'a EventType>,
        /// From the head of the request to the answer.
        took: Duration,
        /// Of a refusal, what else is known.
        refused: Option<Refused<'a>>,
    },
    /// A run of a handler begins.
    Started {
        /// The run.
        run: Run<'a>,
        /// From the receipt of the event to its first run; `None` for further attempts and replays.
        waited: Option<Duration>,
    },
    /// A handler ended well.
    Finished {
        /// The run.
        run: Run<'a>,
        /// How long it took.
        took: Duration,
        /// From the receipt of the event to now.
        age: Duration,
    },
    /// A handler ended with an error, panicked, or took too long.
    Failed {
        /// The run.
        run: Run<'a>,
        /// How it ended.
        attempt: &'a Attempt,
        /// When the next attempt follows; `None` when none does.
        retry_after: Option<Duration>,
    },
    /// The event is a dead letter for the handler.
    Dead {
        /// The last run.
        run: Run<'a>,
        /// Why.
        reason: DeadLetterReason,
    },
    /// The event was stale, and the handler asked to leave those out.
    Skipped {
        /// The run that was left out.
        run: Run<'a>,
    },
    /// No handler of this name is registered: the event is held until there is one.
    Held {
        /// The run that cannot be.
        run: Run<'a>,
    },
    /// A shutdown left this undone; see [`ShutdownReport`](crate::ShutdownReport).
    Dropped {
        /// The run.
        run: Run<'a>,
        /// How far it had come.
        state: JobState,
    },
    /// Somebody saw personal data in the inspector, or changed something there.
    Inspected(Inspection<'a>),
}

/// What somebody did in the inspector who had the right to, for an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection<'a> {
    /// What it was, in a word: `reveal` and the like.
    pub action: &'a str,
    /// Which event, where it was one.
    pub record: Option<RecordId>,
}

#[cfg(feature = "inspector")]
impl<'a> Inspection<'a> {
    pub(crate) fn new(action: &'a str, record: Option<RecordId>) -> Self {
        Self { action, record }
    }
}

impl<'a> Transition<'a> {
    pub(crate) fn dropped(left: &'a Unfinished) -> Self {
        Self::Dropped {
            run: Run {
                delivery: &left.delivery,
                handler: &left.handler,
                attempt: 0,
                replay_of: None,
            },
            state: left.state,
        }
    }
}

/// One handler for one event.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    delivery: &'a Delivery,
    handler: &'a HandlerName,
    attempt: u32,
    replay_of: Option<RecordId>,
}

impl<'a> Run<'a> {
    pub(crate) fn of(job: &'a Job) -> Self {
        Self {
            delivery: job.delivery(),
            handler: job.handler(),
            attempt: job.attempts().saturating_add(1),
            replay_of: job.replay_of(),
        }
    }

    /// The event.
    #[must_use]
    pub fn delivery(&self) -> &'a Delivery {
        self.delivery
    }

    /// The handler.
    #[must_use]
    pub fn handler(&self) -> &'a HandlerName {
        self.handler
    }

    /// Which attempt it is, from 1; 0 where it is not known.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The record that the event is a replay of.
    #[must_use]
    pub fn replay_of(&self) -> Option<RecordId> {
        self.replay_of
    }
}

/// An event that a handler will not get again, unless somebody asks for it; see
/// [`ReceiverBuilder::on_dead_letter`](crate::ReceiverBuilder::on_dead_letter).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event.
    pub delivery: Delivery,
    /// The handler.
    pub handler: HandlerName,
    /// The record that the event is a replay of.
    pub replay_of: Option<RecordId>,
    /// How many attempts there were.
    pub attempts: u32,
    /// The attempts that ended badly, the latest last; an inbox may keep only so many of them.
    pub history: Vec<Attempt>,
    /// Why there is no other.
    pub reason: DeadLetterReason,
}

type DeadLetterHook = dyn Fn(DeadLetter) -> BoxFuture<'static, ()> + Send + Sync;

/// Whoever wants to know what happens.
#[derive(Default)]
pub(crate) struct Hooks {
    observers: Vec<Box<dyn Observer>>,
    /// One that came when the receiver was running.
    late: OnceLock<Arc<dyn Observer>>,
    dead_letter: Option<Box<DeadLetterHook>>,
    pub(crate) propagation: Propagation,
}

impl Hooks {
    pub(crate) fn add(&mut self, observer: impl Observer) {
        self.observers.push(Box::new(observer));
    }

    pub(crate) fn on_dead_letter<F, Fut>(&mut self, hook: F)
    where
        F: Fn(DeadLetter) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.dead_letter = Some(Box::new(move |letter| hook(letter).boxed()));
    }

    pub(crate) fn propagate(&mut self, propagator: impl Propagator) {
        self.propagation = Propagation::by(propagator);
    }

    /// Adds one to a receiver that runs; false when there was one already.
    #[cfg(feature = "inspector")]
    pub(crate) fn add_late(&self, observer: Arc<dyn Observer>) -> bool {
        self.late.set(observer).is_ok()
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_observed(&self) -> bool {
        !self.observers.is_empty() || self.late.get().is_some()
    }

    pub(crate) fn emit<'a>(&self, transition: impl FnOnce() -> Transition<'a>) {
        if !self.is_observed() {
            return;
        }
        let transition = transition();
        self.each(|observer| observer.observe(&transition));
    }

    pub(crate) fn record_gauges(&self, gauges: &Gauges<'_>) {
        self.each(|observer| observer.record_gauges(gauges));
    }

    /// One that panics keeps nothing from the others.
    fn each(&self, tell: impl Fn(&dyn Observer)) {
        let observers = self.observers.iter().map(|observer| &**observer);
        for observer in observers.chain(self.late.get().map(|late| &**late)) {
            let told = catch_unwind(AssertUnwindSafe(|| tell(observer)));
            if let Err(payload) = told {
                std::mem::forget(payload);
            }
        }
    }

    pub(crate) async fn dead_letter(&self, letter: impl FnOnce() -> DeadLetter) {
        let Some(hook) = &self.dead_letter else {
            return;
        };
        let letter = letter();
        let handler = letter.handler.clone();
        // Inside the future, so that a panic before the first await is caught as well.
        let call = AssertUnwindSafe(async { hook(letter).await }).catch_unwind();
        let problem = match timeout(HOOK_TIME, call).await {
            Ok(Ok(())) => return,
            Ok(Err(payload)) => {
                std::mem::forget(payload);
                "it panicked"
            }
            Err(_) => "it took too long",
        };
        tracing::error!(%handler, problem, "the hook for dead letters failed");
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("observers", &self.observers.len())
            .field("dead_letter", &self.dead_letter.is_some())
            .finish()
    }
}
