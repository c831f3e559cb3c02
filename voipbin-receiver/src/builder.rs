//! Every setting of a receiver.

mod gate;
mod handling;
mod identity;
#[cfg(feature = "rate-limit")]
mod rate;
mod role;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use self::gate::{GateSettings, check_event_age};
pub use self::role::Role;
use crate::build_error::{BuildError, BuildErrorKind};
use crate::catalog::EventSet;
use crate::clock::{Clock, SystemClock};
use crate::dispatch::{Control, Dispatch, DispatchParts, RuntimeChoice, start};
use crate::event::LaneChoice;
use crate::gate::Secrets;
use crate::handler::{
    BoxLayer, HandlerOptions, IntoHandler, IntoRegistration, RegisteredHandler, Registration,
    States, warn_of_silence,
};
use crate::inbox::{Consumer, Inbox, MemoryInbox, Repeats};
use crate::observe::{
    Counters, DeadLetter, Hooks, Observer, OutcomeRecorder, Propagator, ShutdownReport,
};
use crate::pipeline::{IdentityFn, Pipeline};
use crate::receiver::{Drain, Receiver};
use crate::router::{Defaults, Router};
use crate::service::{Edge, ReceiverService};

/// The settings of a [`Receiver`], each with a default.
#[must_use = "settings do nothing until `build` is called"]
pub struct ReceiverBuilder {
    gate: GateSettings,
    states: States,
    repeated_state: Option<&'static str>,
    registrations: Vec<Registration>,
    inbox: Option<Arc<dyn Inbox>>,
    identity: Option<Box<IdentityFn>>,
    repeats: Repeats,
    keep_unmatched: bool,
    concurrency: usize,
    options: HandlerOptions,
    lanes: LaneChoice,
    layers: Vec<BoxLayer>,
    hooks: Hooks,
    runtime: RuntimeChoice,
    clock: Arc<dyn Clock>,
    role: Role,
    /// Whether a test runs jobs.
    stepped: bool,
    /// How long handlers wait at most for a catch-up.
    hold: Option<Duration>,
}

impl Receiver {
    /// The settings of a receiver, all at their defaults.
    pub fn builder() -> ReceiverBuilder {
        ReceiverBuilder::new()
    }
}

impl ReceiverBuilder {
    fn new() -> Self {
        Self {
            gate: GateSettings::default(),
            states: States::default(),
            repeated_state: None,
            registrations: Vec::new(),
            inbox: None,
            identity: None,
            repeats: Repeats::default(),
            keep_unmatched: false,
            concurrency: Self::DEFAULT_CONCURRENCY,
            options: HandlerOptions::new(),
            lanes: LaneChoice::default(),
            layers: Vec::new(),
            hooks: Hooks::default(),
            runtime: RuntimeChoice::Auto,
            clock: Arc::new(SystemClock::new()),
            role: Role::Both,
            stepped: false,
            hold: None,
        }
    }

    /// Gives a value to all handlers that ask for [`State<S>`](crate::State). One per type; it is
    /// cloned for each run, so wrap what is dear to clone in an `Arc`.
    ///
    /// ```
    /// use voipbin_receiver::events::CallHangup;
    /// use voipbin_receiver::{Receiver, State};
    ///
    /// #[derive(Clone)]
    /// struct Crm;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .state(Crm)
    ///     .on(CallHangup, |State(crm): State<Crm>| async move { drop(crm) })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn state<S: Clone + Send + Sync + 'static>(mut self, state: S) -> Self {
        if !self.states.insert(state) {
            self.repeated_state = Some(std::any::type_name::<S>());
        }
        self
    }

    /// Registers a handler for a set of events, named after the events. To choose the name, give a
    /// [`Registration`] to [`handlers`](Self::handlers).
    ///
    /// ```
    /// use voipbin_receiver::events::{CallHangup, CallProgressing};
    /// use voipbin_receiver::resource::Call;
    /// use voipbin_receiver::{Event, Receiver};
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on((CallProgressing, CallHangup), |call: Event<Call>| async move {
    ///         println!("{:?}", call.id);
    ///     })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn on<E, M, H>(mut self, events: E, handler: H) -> Self
    where
        E: EventSet,
        H: IntoHandler<E, M>,
    {
        self.registrations.push(Registration::new(events, handler));
        self
    }

    /// Registers handlers: what `handlers![…]` makes, or any other collection of [`Registration`]s.
    pub fn handlers(mut self, handlers: impl IntoIterator<Item: IntoRegistration>) -> Self {
        let handlers = handlers.into_iter();
        self.registrations
            .extend(handlers.map(IntoRegistration::into_registration));
        self
    }

    /// Where events are kept; a [`MemoryInbox`] by default.
    pub fn inbox(mut self, inbox: impl Inbox) -> Self {
        self.inbox = Some(Arc::new(inbox));
        self
    }

    /// Has something see everything that happens; see [`Observer`]. May be given several; there is
    /// none by default.
    pub fn observe(mut self, observer: impl Observer) -> Self {
        self.hooks.add(observer);
        self
    }

    /// Makes one trace of a delivery and the attempts of its handlers; see [`Propagator`]. There is
    /// none by default.
    pub fn propagator(mut self, propagator: impl Propagator) -> Self {
        self.hooks.propagate(propagator);
        self
    }

    /// Calls this when an event has become a dead letter for a handler, at once and once. One hook;
    /// a later one replaces an earlier one.
    ///
    /// It runs after the inbox was told, in the handler's slot, for at most 30 seconds; a panic is
    /// logged. When the process dies just then it is not called again: what counts is in the
    /// [records](Receiver::records).
    ///
    /// ```
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::catalog::Any;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(Any, || async {})
    ///     .on_dead_letter(|letter| async move {
    ///         eprintln!("{} gave up: {}", letter.handler, letter.reason);
    ///     })
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn on_dead_letter<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(DeadLetter) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.on_dead_letter(hook);
        self
    }

    /// Runs handlers on this runtime, which needs its timer enabled.
    ///
    /// By default that is the runtime in which `build` is called, if it has several threads: the
    /// app's connection pools and clients then stay on one runtime. Where it has one thread, as an
    /// actix worker's, or no timer, or where there is none, the receiver makes one of its own. A
    /// handler that blocks its thread without saying so ([`blocking`](crate::blocking)) takes it
    /// from whatever else the runtime does, the answers included.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = RuntimeChoice::Given(runtime);
        self
    }

    /// Runs handlers on a runtime of the receiver's own with this many threads.
    ///
    /// Handlers that block then cannot hold up the server. The price: clients and pools that are
    /// bound to the runtime they were made on must be made inside a handler, and the threads come
    /// on top of the app's.
    pub fn dedicated_runtime(mut self, threads: NonZeroUsize) -> Self {
        self.runtime = RuntimeChoice::Own(threads);
        self
    }

    /// Where the time comes from; the machine by default. An inbox that is given with
    /// [`inbox`](Self::inbox) has a clock of its own.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Puts something before the inbox, whichever it is.
    #[cfg(feature = "testing")]
    pub(crate) fn before_inbox<I: Inbox>(
        mut self,
        place: impl FnOnce(Arc<dyn Inbox>) -> I,
    ) -> Self {
        let inbox = self.inbox.take();
        let inbox = inbox.unwrap_or_else(|| default_inbox(&self.clock));
        self.inbox = Some(Arc::new(place(inbox)));
        self
    }

    /// Leaves it to somebody else to run jobs, until a shutdown begins.
    #[cfg(feature = "testing")]
    pub(crate) fn stepped(mut self) -> Self {
        self.stepped = true;
        self
    }

    /// The receiver, running.
    ///
    /// # Errors
    ///
    /// When settings are missing or contradict each other; [`BuildError`] says which and what to
    /// do.
    pub fn build(mut self) -> Result<Receiver, BuildError> {
        self.check_role()?;
        let mut settings = std::mem::take(&mut self.gate);
        if self.role == Role::Worker {
            settings = settings.of_worker();
        }
        let max_event_age = settings.max_event_age;
        let gate = settings.build(&self.clock)?;
        let secrets = Secrets::new(Arc::clone(&gate.verifier));
        self.check()?;
        let states = Arc::new(self.states);
        let inbox = match self.inbox {
            Some(inbox) => inbox,
            None => default_inbox(&self.clock),
        };
        let defaults = Defaults {
            options: self.options,
            layers: self.layers,
            transactions: inbox.transactions(),
        };
        let registered: Vec<_> = self
            .registrations
            .iter()
            .map(RegisteredHandler::new)
            .collect();
        let (router, handlers) = Router::build(
            self.registrations,
            &states,
            &defaults,
            self.role != Role::Ingress,
        )?;
        let counters = Arc::new(Counters::default());
        let hooks = Arc::new(self.hooks);
        if let Some(age) = max_event_age {
            check_event_age(age, inbox.guarantees())?;
        }
        let consumer: Option<Arc<dyn Consumer>> = match self.role {
            Role::Ingress => None,
            Role::Both | Role::Worker => Some(inbox.consume().map_err(BuildError::inbox)?.into()),
        };
        let dispatch = Arc::new(Dispatch::new(DispatchParts {
            inbox: Arc::clone(&inbox),
            consumer: consumer.as_ref().map(Arc::downgrade),
            handlers,
            counters: Arc::clone(&counters),
            hooks: Arc::clone(&hooks),
            clock: Arc::clone(&self.clock),
            concurrency: self.concurrency,
            stepped: self.stepped,
            hold: self.hold,
        }));
        let (deadlines, told) = mpsc::unbounded_channel();
        let (report, reported) = watch::channel(None);
        match consumer {
            Some(consumer) => {
                let control = Control {
                    deadlines: told,
                    report,
                };
                let pump = Arc::clone(&dispatch).pump(consumer, control);
                start(self.runtime, self.concurrency, pump).map_err(BuildError::runtime)?;
            }
            // There is nothing to wait for.
            None => drop(report.send_replace(Some(ShutdownReport::new(Vec::new(), true, 0)))),
        }

        let pipeline = Pipeline {
            gate,
            router,
            inbox,
            identity: self.identity,
            lane: self.lanes,
            closed: AtomicBool::new(self.role == Role::Worker),
            repeats: self.repeats,
            keep_unmatched: self.keep_unmatched,
            max_event_age,
            recorder: OutcomeRecorder::new(counters, hooks, Arc::clone(&self.clock)),
            clock: self.clock,
        };
        let service = ReceiverService::new(Edge {
            pipeline,
            dispatch: Arc::clone(&dispatch),
        });
        let handling = registered.iter().map(ToString::to_string);
        let handling = handling.collect::<Vec<_>>().join("; ");
        tracing::info!(handlers = handling, "receiving");
        Ok(Receiver::new(
            service,
            secrets,
            registered,
            Drain {
                dispatch,
                deadlines,
                report: reported,
                begun: AtomicBool::new(false),
            },
        ))
    }

    fn check(&self) -> Result<(), BuildError> {
        if let Some(state) = self.repeated_state {
            return Err(BuildError::new(
                BuildErrorKind::DuplicateState,
                format!(
                    "`.state(…)` was given a `{state}` twice: wrap one of them in a type of its own"
                ),
            ));
        }
        self.registrations.iter().for_each(warn_of_silence);
        if self.registrations.is_empty() && !self.keep_unmatched {
            return Err(BuildError::new(
                BuildErrorKind::NoHandlers,
                "no handler was registered, so every event would be answered and forgotten: add `.on(…)` or `.handlers(…)`".into(),
            ));
        }
        if self.concurrency == 0 {
            return Err(BuildError::setting("concurrency", "at least 1"));
        }
        if let Some(zero) = self.options.zero() {
            return Err(BuildError::setting(zero, "more than zero"));
        }
        Ok(())
    }
}

fn default_inbox(clock: &Arc<dyn Clock>) -> Arc<dyn Inbox> {
    Arc::new(MemoryInbox::builder().clock(Arc::clone(clock)).build())
}

impl fmt::Debug for ReceiverBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverBuilder")
            .field("gate", &self.gate)
            .field("registrations", &self.registrations)
            .field("inbox", &self.inbox)
            .finish_non_exhaustive()
    }
}
