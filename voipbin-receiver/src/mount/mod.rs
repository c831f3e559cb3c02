//! Mounts in web frameworks that have no place for a tower service, each behind its feature.
//!
//! axum, hyper and whatever else takes a tower service need none: they mount
//! [`Receiver::service`](crate::Receiver::service) itself.

#[cfg(feature = "actix")]
mod actix;

#[cfg(feature = "actix")]
pub use self::actix::{ActixFuture, ActixResource};
