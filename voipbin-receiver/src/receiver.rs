use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::dispatch::{Dispatch, ShutdownReport};
use crate::observe::Stats;
use crate::service::ReceiverService;

/// Receives webhooks: verifies, keeps once, answers, and hands to handlers.
///
/// Cheap to clone; all clones and all services are the same receiver. When the last of them is
/// dropped without a [`shutdown`](Self::shutdown), nothing new is taken and what was kept still
/// runs, for as long as the runtime lives. Dropping it never blocks and never panics, in async code
/// or out of it.
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
///     .secret("the customer's webhook secret")
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
    drain: Arc<Drain>,
}

/// What it takes to bring the handlers to an end.
pub(crate) struct Drain {
    pub(crate) dispatch: Arc<Dispatch>,
    pub(crate) deadlines: mpsc::UnboundedSender<Duration>,
    pub(crate) report: watch::Receiver<Option<ShutdownReport>>,
}

impl Receiver {
    pub(crate) fn new(service: ReceiverService, drain: Drain) -> Self {
        Self {
            service,
            drain: Arc::new(drain),
        }
    }

    /// The receiver as a tower service, to be mounted.
    #[must_use]
    pub fn service(&self) -> ReceiverService {
        self.service.clone()
    }

    /// Takes nothing new, lets what is kept run to its end for up to `deadline`, and tells what was
    /// left then.
    ///
    /// From the call on, new events get a 503 with `Connection: close` and copies of kept ones
    /// their 200. Async handlers that run at the deadline are dropped at their next await; blocking
    /// ones cannot be stopped. Stop the server as well; the order does not matter.
    ///
    /// Calling it again is fine, and a shorter deadline then wins: `Duration::ZERO` ends the drain
    /// at once.
    ///
    /// # Cancel safety
    ///
    /// The shutdown goes on when the future is dropped; call it again to wait for the same end.
    pub async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let Drain {
            dispatch,
            deadlines,
            report,
        } = &*self.drain;
        dispatch.inbox.close();
        // Nobody listens when the drain is over.
        let _ = deadlines.send(deadline);
        let mut report = report.clone();
        if let Ok(report) = report.wait_for(Option::is_some).await
            && let Some(report) = report.clone()
        {
            return report;
        }
        // The runtime of the handlers is gone, and the pump with it.
        let mut unfinished = dispatch.still_running();
        unfinished.extend(dispatch.left_behind().await);
        ShutdownReport::new(unfinished)
    }

    /// What the receiver has counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let dispatch = &self.drain.dispatch;
        dispatch
            .counters
            .read(dispatch.running(), dispatch.inbox.stats())
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
