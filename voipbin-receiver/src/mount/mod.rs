//! A server for the receiver alone, and mounts in web frameworks that have no place for a tower
//! service: each behind its feature.
//!
//! axum, hyper and whatever else takes a tower service need none: they mount
//! [`Receiver::service`](crate::Receiver::service) itself.

#[cfg(feature = "actix")]
mod actix;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "actix")]
pub use self::actix::{ActixFuture, ActixResource};
#[cfg(all(feature = "actix", feature = "inspector"))]
pub(crate) use self::actix::{convert, respond_with};
#[cfg(feature = "server")]
pub use self::server::{Server, descriptor_limit};
#[cfg(feature = "tls")]
pub use self::server::{Tls, TlsError, TlsErrorKind};
