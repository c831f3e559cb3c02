//! A handler as a tower service, so that layers fit around it.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::task::{self, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

use super::argument::States;
use super::call::{HandlerFn, RunResult};
use super::context::Context;
use super::error::HandlerError;
use super::parts::RunParts;
use crate::event::HandlerName;

/// A handler, as a service of one run: what a layer that is given to
/// [`Registration::layer`](crate::Registration::layer) wraps.
///
/// Its errors are boxed, as those of tower's own layers are: a [`HandlerError`] that is made of one
/// says the same of further attempts as the handler's did. It is always ready; how many runs there
/// are at once is the receiver's concern. Cheap to clone.
#[derive(Clone)]
pub struct HandlerService(Arc<dyn Fn(Context) -> BoxFuture<'static, RunResult> + Send + Sync>);

type BoxError = Box<dyn StdError + Send + Sync>;

/// What wraps a handler.
pub(crate) type BoxLayer = Box<dyn Fn(HandlerService) -> HandlerService + Send + Sync>;

impl HandlerService {
    pub(crate) fn new(call: HandlerFn, states: Arc<States>) -> Self {
        Self(Arc::new(move |context| call(context, Arc::clone(&states))))
    }

    /// Runs the handler once.
    pub(crate) fn run(&self, context: Context) -> BoxFuture<'static, RunResult> {
        (self.0)(context)
    }

    fn of<S>(service: S) -> Self
    where
        S: Service<Context, Response = (), Error: Into<HandlerError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self(Arc::new(move |context| {
            let mut service = service.clone();
            Box::pin(async move {
                let ready = poll_fn(|cx| service.poll_ready(cx)).await;
                ready.map_err(Into::into)?;
                service.call(context).await.map_err(Into::into)
            })
        }))
    }
}

/// Runs a function that may block its thread on the runtime's pool for blocking work. The thread
/// holds what the run holds, its slot and its lane, for as long as it goes on, also when the run is
/// over.
pub fn run_blocking<F>(parts: &RunParts, call: F) -> impl Future<Output = RunResult> + Send + use<F>
where
    F: FnOnce() -> RunResult + Send + 'static,
{
    let permit = parts.context().permit();
    let handler = parts.context().handler().clone();
    let span = Span::current();
    let begun = Arc::new(AtomicBool::new(false));
    let has_begun = Arc::clone(&begun);
    let run = move || {
        begun.store(true, Ordering::Relaxed);
        let outcome = span.in_scope(call);
        drop(permit);
        outcome
    };
    async move {
        let mut running = spawn_blocking(run);
        let ended = match timeout(NO_THREAD, &mut running).await {
            Ok(ended) => ended,
            Err(_) => {
                if !has_begun.load(Ordering::Relaxed) {
                    warn_of_no_thread(&handler);
                }
                running.await
            }
        };
        match ended {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                // The runtime is going away, and this future with it.
                Err(_) => pending().await,
            },
        }
    }
}

/// How long a blocking run may wait for a thread before that is told.
const NO_THREAD: Duration = Duration::from_secs(5);

fn warn_of_no_thread(handler: &HandlerName) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::warn!(
            %handler,
            "a blocking handler waits for a thread: all threads of the runtime for what blocks are taken. Raise its max_blocking_threads, or lower the concurrency of what hangs; told once"
        );
    });
}

/// A layer, as it wraps whatever handler.
pub(crate) fn box_layer<L>(layer: L) -> BoxLayer
where
    L: Layer<HandlerService> + Send + Sync + 'static,
    L::Service: Service<Context, Response = (), Error: Into<HandlerError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    Box::new(move |handler| HandlerService::of(layer.layer(handler)))
}

impl Service<Context> for HandlerService {
    type Response = ();
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, context: Context) -> Self::Future {
        let run = self.run(context);
        Box::pin(async { run.await.map_err(HandlerError::into_boxed) })
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}
