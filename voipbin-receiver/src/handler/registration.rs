use std::fmt;
use std::future::pending;
use std::panic::Location;

use tower_layer::Layer;
use tower_service::Service;

use super::argument::Needs;
use super::call::{HandlerFn, IntoHandler};
use super::context::Context;
use super::error::HandlerError;
use super::options::HandlerOptions;
use super::service::{BoxLayer, HandlerService, box_layer};
use crate::catalog::{EventSet, Selector};

/// Where a handler was registered or written, for errors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SourceLocation {
    file: &'static str,
    line: u32,
}

impl SourceLocation {
    /// Used by the code that `#[on(…)]` expands to.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(file: &'static str, line: u32) -> Self {
        Self { file, line }
    }
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Debug for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One handler, the events it is for, and its name.
///
/// `.on(events, handler)` on the builder makes one with the default name; write it out to choose a
/// name, and give it to [`handlers`](crate::ReceiverBuilder::handlers):
///
/// ```
/// use voipbin_receiver::events::CallHangup;
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, Receiver, Registration};
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .handlers([
///         Registration::new(CallHangup, |call: Event<Call>| async move { drop(call) }).name("crm"),
///         Registration::new(CallHangup, |call: Event<Call>| async move { drop(call) }).name("bill"),
///     ])
///     .build()?;
/// # Ok(()) }
/// ```
#[must_use = "a registration does nothing until it is given to the builder"]
pub struct Registration {
    pub(crate) name: String,
    pub(crate) selectors: Vec<Selector>,
    pub(crate) needs: Needs,
    pub(crate) call: HandlerFn,
    pub(crate) options: HandlerOptions,
    pub(crate) layers: Vec<BoxLayer>,
    pub(crate) location: SourceLocation,
    /// Whether it runs in another process.
    pub(crate) elsewhere: bool,
}

impl Registration {
    /// A handler for a set of events, named after the events.
    #[track_caller]
    pub fn new<E, M, H>(events: E, handler: H) -> Self
    where
        E: EventSet,
        H: IntoHandler<E, M>,
    {
        let caller = Location::caller();
        let selectors = events.selectors();
        let (call, needs) = handler.into_handler();
        let names: Vec<String> = selectors.iter().map(ToString::to_string).collect();
        let location = SourceLocation::new(caller.file(), caller.line());
        Self::of(names.join(", "), selectors, needs, call, location)
    }

    pub(super) fn of(
        name: String,
        selectors: Vec<Selector>,
        needs: Needs,
        call: HandlerFn,
        location: SourceLocation,
    ) -> Self {
        Self {
            name,
            selectors,
            needs,
            call,
            options: HandlerOptions::new(),
            layers: Vec::new(),
            location,
            elsewhere: false,
        }
    }

    /// A handler of this name for a set of events that runs in another process: all that a receiver
    /// has to know of it that only [takes in](crate::Role::Ingress).
    #[track_caller]
    pub fn elsewhere<E: EventSet>(events: E, name: impl Into<String>) -> Self {
        let never = |_: Context| pending::<()>();
        let caller = Location::caller();
        Self {
            location: SourceLocation::new(caller.file(), caller.line()),
            elsewhere: true,
            ..Self::new(events, never).name(name)
        }
    }

    /// Gives the registration a name of its own. Names are unique in a receiver and should be
    /// stable over releases: work that was begun is taken up again by its handler's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// What this handler is held to. What is not said here stays as it was, and else is as
    /// [`ReceiverBuilder::handler_options`](crate::ReceiverBuilder::handler_options) says.
    pub fn options(mut self, options: HandlerOptions) -> Self {
        self.options = options.or(&self.options);
        self
    }

    /// Wraps this handler in a layer of tower's, around those that it was given before and inside
    /// of the ones that [`ReceiverBuilder::layer`](crate::ReceiverBuilder::layer) gives to all
    /// handlers. The layer sees each attempt, within its [`timeout`](HandlerOptions::timeout).
    /// Errors come to it boxed, as tower's own layers have them.
    ///
    /// ```
    /// use tower::BoxError;
    /// use tower::util::MapErrLayer;
    /// use voipbin_receiver::events::CallHangup;
    /// use voipbin_receiver::{HandlerError, Registration};
    ///
    /// // The vendor's errors show phone numbers.
    /// let quiet = MapErrLayer::new(|_: BoxError| HandlerError::new("the CRM failed"));
    /// let registration = Registration::new(CallHangup, || async {}).layer(quiet);
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<Context, Response = (), Error: Into<HandlerError>, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.layers.push(box_layer(layer));
        self
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("name", &self.name)
            .field("selectors", &self.selectors)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// What a list of handlers is made of: [`Registration`]s.
#[diagnostic::on_unimplemented(
    message = "this is no list of registrations",
    label = "its items are `{Self}`",
    note = "functions with `#[on(…)]` are listed by `handlers![update_crm, bill]`",
    note = "anything else is given to `.on(CallHangup, …)`, or to `Registration::new(CallHangup, …)`"
)]
pub trait IntoRegistration {
    /// The registration.
    fn into_registration(self) -> Registration;
}

impl IntoRegistration for Registration {
    fn into_registration(self) -> Registration {
        self
    }
}

/// An item that `#[on(…)]` was put on: what `handlers![…]` collects.
#[diagnostic::on_unimplemented(
    message = "this handler has no `#[on(…)]`",
    label = "not an annotated function",
    note = "say which events it is for, `#[on(CallHangup)]`, or give it to `.on(CallHangup, …)` instead of `handlers![…]`"
)]
pub trait Annotated {
    /// The registration that the attribute describes.
    #[doc(hidden)]
    fn registration() -> Registration;
}
