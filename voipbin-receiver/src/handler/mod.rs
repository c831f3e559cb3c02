//! What users write: async functions, closures, or types that implement [`EventHandler`].

mod argument;
mod call;
mod context;
mod error;
mod registration;
mod retry;
mod service;
mod signature;
mod wiring;

#[cfg(all(test, feature = "macros"))]
mod tests;

#[doc(hidden)]
pub use self::argument::StateNeed;
pub(crate) use self::argument::States;
pub use self::argument::{Argument, Event, State};
#[cfg(all(test, any(feature = "macros", shuttle)))]
pub(crate) use self::call::Call;
pub use self::call::{Blocking, EventHandler, HandlerResult, IntoHandler, blocking};
pub use self::context::{Context, HandlerName};
pub use self::error::HandlerError;
pub(crate) use self::error::Next;
pub use self::registration::{Annotated, Registration, SourceLocation};
pub use self::retry::RetryPolicy;
pub use self::service::HandlerService;
pub(crate) use self::service::{Kept, Wrap, in_seat, wrap};
#[doc(hidden)]
pub use self::wiring::{NotAnnotated, Wiring, argument_of, outcome_of};
