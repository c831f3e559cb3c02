use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::sync::{mpsc as tokio_mpsc, oneshot, watch};
use tokio::time::sleep;
use tower_service::Service;

use crate::accept_error::AcceptError;
use crate::catalog::{CATALOG, EventType, Status};
#[cfg(feature = "inspector")]
use crate::clock::Clock;
use crate::dispatch::Dispatch;
#[cfg(feature = "history")]
use crate::event::Identity;
use crate::event::Origin;
use crate::gate::Secrets;
use crate::handler::{HandlerName, RegisteredHandler};
use crate::inbox::Records;
use crate::observe::{
    Accepted, Gauges, Health, Problem, RefusalReason, RunCounts, ShutdownReport, Stats, Warning,
};
#[cfg(feature = "inspector")]
use crate::observe::{Observer, Transition};
use crate::service::{ReceiverService, ResponseBody, ResponseFuture};

/// Receives webhooks: verifies, keeps once, answers, and hands to handlers.
///
/// Cheap to clone; all clones and all services are the same receiver. When the last of them is
/// dropped without a [`shutdown`](Self::shutdown), nothing new is taken and what was kept still
/// runs (with an inbox that outlives the process only what has begun), further attempts included,
/// for as long as the runtime lives. Dropping it never blocks and never panics, in async code or
/// out of it.
///
/// ```
/// use std::time::Duration;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, HandlerError, Receiver, handlers, on};
///
/// #[on(CallHangup)]
/// async fn log_end(call: Event<Call>) -> Result<(), HandlerError> {
///     println!("{:?} ended: {:?}", call.id, call.hangup_reason);
///     Ok(())
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .handlers(handlers![log_end])
///     .build()?;
///
/// let service = receiver.service(); // mount it
/// # drop(service);
/// let report = receiver.shutdown(Duration::from_secs(10)).await;
/// assert!(report.is_drained());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Receiver {
    service: ReceiverService,
    secrets: Secrets,
    handlers: Arc<[RegisteredHandler]>,
    drain: Arc<Drain>,
}

/// What it takes to bring the handlers to an end.
pub(crate) struct Drain {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) deadlines: tokio_mpsc::UnboundedSender<Duration>,
    pub(crate) report: watch::Receiver<Option<ShutdownReport>>,
    /// Whether a drain has begun.
    pub(crate) begun: AtomicBool,
}

impl Receiver {
    pub(crate) fn new(
        service: ReceiverService,
        secrets: Secrets,
        handlers: Vec<RegisteredHandler>,
        drain: Drain,
    ) -> Self {
        Self {
            service,
            secrets,
            handlers: handlers.into(),
            drain: Arc::new(drain),
        }
    }

    /// Has something see what happens from here on; false when somebody does already.
    #[cfg(feature = "inspector")]
    pub(crate) fn watch(&self, observer: Arc<dyn Observer>) -> bool {
        let added = self.drain.dispatch.hooks.add_late(observer);
        if added {
            self.service.edge.pipeline.gate.verifier.explain_refusals();
        }
        added
    }

    #[cfg(feature = "inspector")]
    pub(crate) fn emit(&self, transition: Transition<'_>) {
        self.drain.dispatch.hooks.emit(|| transition);
    }

    /// Whether a shutdown or a drain has begun.
    #[cfg(feature = "inspector")]
    pub(crate) fn is_ending(&self) -> bool {
        self.drain.dispatch.is_draining() || self.drain.begun.load(Ordering::Relaxed)
    }

    #[cfg(feature = "inspector")]
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.drain.dispatch.clock)
    }

    #[cfg(any(feature = "history", feature = "inspector", feature = "testing"))]
    pub(crate) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.drain.dispatch
    }

    #[cfg(feature = "history")]
    pub(crate) fn built_at(&self) -> std::time::SystemTime {
        self.drain.dispatch.built_at
    }

    /// What a body that is handed to [`accept`](Self::accept) is told by.
    #[cfg(feature = "history")]
    pub(crate) fn identity_of(&self, body: &[u8]) -> Identity {
        self.service.edge.pipeline.gate.verifier.identity(body)
    }

    /// The receiver as a tower service, to be mounted. It is one itself too, for what takes a
    /// service by value.
    #[must_use]
    pub fn service(&self) -> ReceiverService {
        self.service.clone()
    }

    /// Takes a delivery that did not come as a webhook: out of the platform's stream or history, or
    /// one that was received before.
    ///
    /// It enters behind the gate, so whoever calls this answers for where the body is from. From
    /// there on it goes the way of all others: its envelope is read, copies are told by its
    /// identity, the inbox keeps it for the handlers of its type, in its resource's lane. Handlers
    /// are told its [origin](crate::Delivery::origin), and that it is
    /// [unsigned](crate::event::Proof::Unsigned). Only its age is not judged
    /// ([`max_event_age`](crate::ReceiverBuilder::max_event_age)): what was missed is old.
    ///
    /// The same bytes have the same identity however they come, so what was a webhook before is a
    /// [duplicate](Accepted::Duplicate) here, and the other way round. With several secrets that
    /// holds for the one that signed the latest webhook.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::{Accepted, Context, Origin, Receiver};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(Any, |context: Context| async move {
    ///         assert_eq!(context.origin(), Origin::History);
    ///     })
    ///     .build()?;
    ///
    /// let missed = r#"{"type":"call_hangup","data":{"id":"c7c1e226"}}"#;
    /// assert_eq!(receiver.accept(missed, Origin::History).await?, Accepted::New);
    /// assert_eq!(receiver.accept(missed, Origin::History).await?, Accepted::Duplicate);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// When the body is not JSON, or the inbox cannot keep it; [`AcceptError::is_transient`] tells
    /// whether it is worth another try.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped before it ends has handed the delivery to the inbox or not: accept
    /// it again, and it is kept once.
    pub async fn accept(
        &self,
        body: impl Into<Bytes>,
        origin: Origin,
    ) -> Result<Accepted, AcceptError> {
        let pipeline = &self.service.edge.pipeline;
        let result = pipeline.receive(body.into(), origin).await;
        result.map_err(AcceptError::new)
    }

    /// Counts and logs a request for another path that carries a signature, and so is most likely a
    /// delivery to a `webhook_uri` that was mistyped: for what answers 404 beside the receiver.
    /// VoIPBIN takes that for final and tells nobody. Whether the signature is right is not looked
    /// at.
    ///
    /// It is counted as [`RefusalReason::Path`](crate::observe::RefusalReason::Path), and the log
    /// has a warning a minute. False, and nothing happens, for a request without a signature.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::extract::State;
    /// use axum::http::{HeaderMap, StatusCode};
    /// use voipbin_receiver::Receiver;
    ///
    /// fn app(receiver: Receiver) -> Router {
    ///     Router::new()
    ///         .route_service("/voipbin/webhook", receiver.service())
    ///         .fallback(async |State(receiver): State<Receiver>, headers: HeaderMap| {
    ///             receiver.misdirected(&headers);
    ///             StatusCode::NOT_FOUND
    ///         })
    ///         .with_state(receiver)
    /// }
    /// # let _ = app;
    /// ```
    pub fn misdirected(&self, headers: &HeaderMap) -> bool {
        let pipeline = &self.service.edge.pipeline;
        let signed = pipeline.gate.verifier.is_signed(headers);
        if signed {
            let trace = pipeline.recorder.begin(Origin::Webhook);
            pipeline
                .recorder
                .record(&Err(RefusalReason::Path.into()), &trace);
        }
        signed
    }

    /// The secrets that signatures are checked with: to be changed, read anew, and to see which are
    /// in use.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    /// The handlers and what each is for, in the order in which they were registered. The same is
    /// logged when the receiver is built.
    ///
    /// ```
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = voipbin_receiver::Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(voipbin_receiver::events::CallHangup, || async {})
    ///     .build()?;
    /// assert_eq!(receiver.handlers()[0].events, ["call_hangup"]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn handlers(&self) -> &[RegisteredHandler] {
        &self.handlers
    }

    /// The events of the catalogue that VoIPBIN sends and a handler is registered for, perhaps for
    /// some of them alone.
    ///
    /// ```
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// use voipbin_receiver::catalog::EventType;
    ///
    /// let receiver = voipbin_receiver::Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .on(voipbin_receiver::events::CallHungup, || async {})
    ///     .build()?;
    /// assert_eq!(receiver.handled_events(), [EventType::CallHangup]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn handled_events(&self) -> Vec<EventType> {
        let router = &self.service.edge.pipeline.router;
        let sent = CATALOG.iter().filter(|entry| entry.status == Status::Sent);
        let sent = sent.map(|entry| EventType::parse(entry.name));
        sent.filter(|event_type| router.handles(event_type))
            .collect()
    }

    /// Lets nothing of a handler begin until it is [resumed](Self::resume): while what it calls is
    /// away, or it does harm. False when there is no handler of this name.
    ///
    /// Its events are kept and wait in the inbox, as do further attempts; what runs goes on. Other
    /// handlers go on too, as long as less than 32 MiB of bodies, or 65,536 jobs, of a durable
    /// inbox wait for this one. It holds for this receiver alone, and not for the next process; a
    /// [`shutdown`](Self::shutdown) that would lose what waits ends it. [`Stats::paused`] counts
    /// those that are, and [`health`](Self::health) warns of them.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::{Receiver, Registration};
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .handlers([Registration::new(Any, || async {}).name("crm")])
    ///     .build()?;
    /// assert!(receiver.pause("crm"));
    /// assert_eq!(receiver.paused()[0].as_str(), "crm");
    /// assert!(receiver.resume("crm"));
    /// # Ok(()) }
    /// ```
    #[must_use = "false says that there is no handler of this name"]
    pub fn pause(&self, handler: &str) -> bool {
        self.drain.dispatch.pause(handler, true)
    }

    /// Lets a handler go on that was [paused](Self::pause). False when there is no handler of this
    /// name.
    #[must_use = "false says that there is no handler of this name"]
    pub fn resume(&self, handler: &str) -> bool {
        self.drain.dispatch.pause(handler, false)
    }

    /// The handlers that are [paused](Self::pause).
    #[must_use]
    pub fn paused(&self) -> Vec<HandlerName> {
        self.drain.dispatch.paused()
    }

    /// Waits until every event that was kept is finished: done, or a dead letter, by each of its
    /// handlers. For tests, and before what needs the inbox to be empty.
    ///
    /// Further attempts are waited for too, and what is held or paused keeps it waiting: put it
    /// under a timeout. It takes a tokio runtime with its timer enabled, and looks after 10
    /// milliseconds, then less and less often, and at least once a second.
    ///
    /// ```
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::{Origin, Receiver};
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let receiver = Receiver::builder()
    /// #     .secret("the-webhook-secret-of-a-customer")
    /// #     .on(Any, || async {})
    /// #     .build()?;
    /// receiver.accept(r#"{"type":"call_hangup","data":{"id":"c7c1e226"}}"#, Origin::History).await?;
    /// receiver.idle().await;
    /// assert_eq!(receiver.stats().handled, 1);
    /// # Ok(()) }
    /// ```
    pub async fn idle(&self) {
        const LONGEST: Duration = Duration::from_secs(1);
        let dispatch = &self.drain.dispatch;
        let mut pause = Duration::from_millis(10);
        while dispatch.inbox.stats().events > 0 || dispatch.running() > 0 {
            sleep(pause).await;
            pause = LONGEST.min(pause * 2);
        }
    }

    /// Empties the inbox, for up to `deadline`, and shuts the receiver down: for a machine that is
    /// given up. After a [`shutdown`](Self::shutdown) a durable inbox still holds what the next
    /// process is to handle; here there is none.
    ///
    /// From the call on new events get a 503. Handlers run and are tried again as always, until
    /// every event is finished as for [`idle`](Self::idle); at the deadline what runs is cut short.
    /// The report says what is [left](ShutdownReport::remaining) then.
    ///
    /// So have VoIPBIN send elsewhere first. It takes a tokio runtime with its timer enabled.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let receiver = voipbin_receiver::Receiver::builder()
    /// #     .secret("the-webhook-secret-of-a-customer")
    /// #     .on(voipbin_receiver::catalog::Any, || async {})
    /// #     .build()?;
    /// let report = receiver.drain(Duration::from_secs(3600)).await;
    /// assert!(report.is_drained(), "{} events are left", report.remaining);
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped new events are refused still, and handlers go on; call it again,
    /// or [`shutdown`](Self::shutdown).
    pub async fn drain(&self, deadline: Duration) -> ShutdownReport {
        self.drain.begun.store(true, Ordering::Relaxed);
        let closed = &self.service.edge.pipeline.closed;
        closed.store(true, Ordering::Relaxed);
        self.drain.dispatch.release();
        tokio::select! {
            () = self.idle() => {}
            () = sleep(deadline) => {}
        }
        self.shutdown(Duration::ZERO).await
    }

    /// Takes nothing new, lets what is kept run to its end for up to `deadline`, and tells what was
    /// left then.
    ///
    /// An inbox that outlives the process goes on keeping until its services are dropped. What runs
    /// is let run to its end; what has not begun, or waits for its next attempt, stays there for
    /// the next receiver: the report [counts](ShutdownReport::remaining) it. To empty such an
    /// inbox, [`drain`](Self::drain).
    ///
    /// With the memory inbox everything that is kept is run. Handlers that failed and wait for
    /// their next attempt get it at once. What fails from here on is not tried again: it is in the
    /// report as [`JobState::Failed`](crate::JobState::Failed). From the call on new events get a
    /// 503 with `Connection: close` and copies of kept ones their 200.
    ///
    /// Stop the server after this, and not before: while nobody listens, nothing is kept or
    /// answered 503, and VoIPBIN tries for two seconds alone.
    ///
    /// Async handlers that run at the deadline are dropped at their next await; blocking ones
    /// cannot be stopped, and a runtime that is dropped waits for them: end it with tokio's
    /// `shutdown_background`, or end the process. It returns within about a second of the deadline
    /// whatever handlers do.
    ///
    /// Calling it again is fine, and a shorter deadline then wins: `Duration::ZERO` ends the drain
    /// at once. A handler that calls it waits for itself, until the deadline.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on when the future is dropped; call it again to wait for the same end.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let Drain {
            dispatch,
            deadlines,
            report,
            ..
        } = &*self.drain;
        dispatch.drain();
        // Nobody listens when the drain is over.
        let _ = deadlines.send(deadline);
        let mut report = report.clone();
        let report = async move {
            let report = report.wait_for(Option::is_some).await.ok()?;
            report.clone()
        };
        tokio::select! {
            biased;
            report = report => if let Some(report) = report {
                return report;
            },
            () = overdue(deadline) => {}
        }
        // The runtime of the handlers is gone, and the pump with it; or it is blocked.
        let remaining = dispatch.inbox.stats().events;
        ShutdownReport::new(dispatch.unfinished(), !dispatch.is_durable(), remaining)
    }

    /// The inbox as something to look into, where it is one: to list events, and to have them
    /// handled again.
    #[must_use]
    pub fn records(&self) -> Option<&dyn Records> {
        self.drain.dispatch.inbox.records()
    }

    /// Whether new events are taken and handled, and why not. For a readiness probe; that it
    /// answers at all is the liveness.
    ///
    /// ```
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// # let receiver = voipbin_receiver::Receiver::builder()
    /// #     .secret("the-webhook-secret-of-a-customer")
    /// #     .on(voipbin_receiver::catalog::Any, || async {})
    /// #     .build()?;
    /// let health = receiver.health();
    /// assert!(health.is_ready(), "{:?}", health.problems);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        let dispatch = &self.drain.dispatch;
        let inbox = dispatch.inbox.stats();
        let problems = [
            (inbox.failing, Problem::StorageFailing),
            (inbox.full, Problem::InboxFull),
            (
                dispatch.is_draining() || self.drain.begun.load(Ordering::Relaxed),
                Problem::ShuttingDown,
            ),
            (dispatch.is_abandoned(), Problem::HandlersGone),
        ];
        let problems = problems.into_iter().filter(|(there, _)| *there);
        let warnings = [
            (inbox.dead_nearly_full, Warning::DeadLettersNearlyFull),
            (dispatch.long_running() > 0, Warning::LongRun),
            (!dispatch.paused().is_empty(), Warning::HandlerPaused),
        ];
        let warnings = warnings.into_iter().filter(|(there, _)| *there);
        Health {
            problems: problems.map(|(_, problem)| problem).collect(),
            warnings: warnings.map(|(_, warning)| warning).collect(),
        }
    }

    /// What the receiver has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let dispatch = &self.drain.dispatch;
        let runs = RunCounts {
            running: dispatch.running(),
            long_running: dispatch.long_running(),
            paused: dispatch.paused().len(),
            slots: dispatch.slots,
        };
        dispatch.counters.read(runs, dispatch.inbox.stats())
    }

    /// Has the [observers](crate::observe::Observer) record how the receiver stands: how full the
    /// inbox is, how many handlers run, when each secret was last used, whether it is ready.
    ///
    /// Call it before each scrape of metrics, or every few seconds: nothing else does.
    ///
    /// ```
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::observe::{Gauges, Observer, Transition};
    ///
    /// struct Fill;
    ///
    /// impl Observer for Fill {
    ///     fn observe(&self, _: &Transition<'_>) {}
    ///
    ///     fn record_gauges(&self, gauges: &Gauges<'_>) {
    ///         println!("{} events in the inbox", gauges.stats.inbox.events);
    ///     }
    /// }
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .observe(Fill)
    ///     .on(voipbin_receiver::catalog::Any, || async {})
    ///     .build()?;
    /// receiver.record_gauges();
    /// # Ok(()) }
    /// ```
    pub fn record_gauges(&self) {
        let dispatch = &self.drain.dispatch;
        let handlers: Vec<_> = dispatch.handlers.keys().cloned().collect();
        dispatch.hooks.record_gauges(&Gauges {
            stats: &self.stats(),
            health: &self.health(),
            handlers: &handlers,
            secrets: &self.secrets.usage(),
        });
    }
}

/// As its [`service`](Receiver::service).
impl<B: Body> Service<Request<B>> for Receiver {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.service.call(request)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// Ends when a drain has overrun its deadline, because the handlers' runtime is blocked in all its
/// threads, timers included, or because nobody drives it. So this takes no runtime at all.
async fn overdue(deadline: Duration) {
    const SLACK: Duration = Duration::from_secs(1);
    let (over, told) = oneshot::channel();
    // Dropped with this future, which ends the thread.
    let (_waiting, waited_for) = mpsc::channel::<()>();
    let wait = move || {
        let left = waited_for.recv_timeout(deadline.saturating_add(SLACK));
        if left == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = over.send(());
        }
    };
    let watch = thread::Builder::new()
        .name("voipbin-shutdown".into())
        .spawn(wait);
    if watch.is_err() || told.await.is_err() {
        pending::<()>().await;
    }
}
