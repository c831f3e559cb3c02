//! What users write: async functions, closures, or types that implement [`EventHandler`].

mod annotated;
mod argument;
mod call;
mod context;
mod error;
mod kind;
mod options;
mod parts;
mod registered;
mod registration;
mod retry;
mod service;

#[cfg(all(test, feature = "macros"))]
mod tests;

pub(crate) use self::argument::States;
pub use self::argument::{Argument, Event, Needs, State};
pub use self::call::{Blocking, EventHandler, HandlerResult, IntoHandler, blocking};
pub use self::context::Context;
pub(crate) use self::context::RunPermit;
pub use self::error::HandlerError;
pub(crate) use self::error::RetryHint;
pub use self::options::HandlerOptions;
pub use self::parts::RunParts;
pub use self::registered::RegisteredHandler;
pub(crate) use self::registered::warn_of_silence;
pub(crate) use self::registration::SourceLocation;
pub use self::registration::{IntoRegistration, Registration};
pub use self::retry::RetryPolicy;
pub use self::service::HandlerService;
pub(crate) use self::service::{BoxLayer, box_layer};
pub use crate::event::HandlerName;

/// What the macros expand to.
pub(crate) mod expanded {
    pub use super::annotated::{NotAnnotated, RegistrationBuilder, argument_of, outcome_of};
    pub use super::registration::{Annotated, Registration, SourceLocation};
    pub use super::service::run_blocking;
}
