use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::argument::{Needs, States};
use super::context::Context;
use super::error::HandlerError;
use super::kind::{HandlerFor, Handles};

pub(crate) type RunResult = Result<(), HandlerError>;

/// A handler as the dispatcher runs it, once for each call.
pub(crate) type HandlerFn =
    Arc<dyn Fn(Context, Arc<States>) -> BoxFuture<'static, RunResult> + Send + Sync>;

/// A handler with a type of its own: for what a function cannot be, such as one that is configured
/// or generic.
///
/// ```
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Context, Event, EventHandler, HandlerError, Receiver, async_trait};
///
/// struct Audit {
///     prefix: &'static str,
/// }
///
/// #[async_trait]
/// impl EventHandler for Audit {
///     async fn handle(&self, context: Context) -> Result<(), HandlerError> {
///         let call = Event::<Call>::read(context.delivery())?;
///         println!("{} {:?}", self.prefix, call.hangup_reason);
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .on(CallHangup, Audit { prefix: "ended:" })
///     .build()?;
/// # Ok(()) }
/// ```
#[async_trait]
pub trait EventHandler: Send + Sync + 'static {
    /// Handles one delivery. It may be called again for the same one: after a failure, or after a
    /// crash when the inbox survives it.
    ///
    /// Runs on the handlers' runtime, after the sender has its answer. It may be dropped at an
    /// await when the receiver is shut down and the deadline has passed.
    ///
    /// # Errors
    ///
    /// An error, like a panic, ends the attempt as failed; it is logged and counted. Whether and
    /// when there is another one is up to the error and the [`RetryPolicy`](crate::RetryPolicy).
    async fn handle(&self, context: Context) -> Result<(), HandlerError>;
}

/// What a handler function may return: nothing, or a `Result` whose error converts into a
/// [`HandlerError`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "expected `()` or `Result<(), E>`",
    note = "return `Result<(), HandlerError>`; error types, boxed errors, anyhow's and texts convert into `HandlerError` with `?`"
)]
pub trait HandlerResult: Send + 'static {
    /// The result in its one form.
    #[doc(hidden)]
    fn into_outcome(self) -> Result<(), HandlerError>;
}

impl HandlerResult for () {
    fn into_outcome(self) -> RunResult {
        Ok(())
    }
}

impl<E: Into<HandlerError> + Send + 'static> HandlerResult for Result<(), E> {
    fn into_outcome(self) -> RunResult {
        self.map_err(Into::into)
    }
}

/// Anything that can handle the events `E`: an async function or closure with typed arguments, one
/// that may block wrapped in [`blocking`], or an [`EventHandler`].
///
/// `Marker` only tells the kinds apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "this is not a handler",
    label = "not a handler",
    note = "a handler is an `async` function or closure of up to eight arguments, each an `Event<T>`, `State<S>`, `Context` or `Delivery`, or a type that implements `EventHandler`",
    note = "one that blocks its thread is wrapped: `blocking(|call: Event<Call>| …)`"
)]
pub trait IntoHandler<E, Marker>: Send + Sync + 'static {
    /// The handler and the states it needs.
    #[doc(hidden)]
    fn into_handler(self) -> (HandlerFn, Needs);
}

// The only implementation, so that the compiler does not stop at "not implemented" but goes on to
// the argument or the return type that does not fit. The tuple leads it over `CarriedBy`.
impl<E, M, H> IntoHandler<E, M> for H
where
    H: Handles<M>,
    M: HandlerFor<(E,)>,
{
    fn into_handler(self) -> (HandlerFn, Needs) {
        M::call(self)
    }
}

/// A handler that may block its thread. Made by [`blocking`].
#[derive(Clone, Copy, Debug)]
pub struct Blocking<F>(pub(super) F);

/// Wraps a plain function or closure that blocks: it runs on the runtime's pool for blocking work,
/// where it holds up neither the answer nor other handlers.
///
/// That pool has 512 threads by default, for whatever blocks in the runtime: in one of yours, raise
/// its `max_blocking_threads` where more of them may run at once
/// ([`concurrency`](crate::ReceiverBuilder::concurrency)). A runtime of the receiver's own has
/// enough.
///
/// ```
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, Receiver, blocking};
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .on(CallHangup, blocking(|call: Event<Call>| {
///         std::fs::write("last-call", call.id.as_deref().unwrap_or_default())
///     }))
///     .build()?;
/// # Ok(()) }
/// ```
pub fn blocking<F>(function: F) -> Blocking<F> {
    Blocking(function)
}
