//! A page to look into a running receiver with: what came, why it was refused, what failed.
//!
//! [`Receiver::inspector`](crate::Receiver::inspector) makes it, behind the feature `inspector`: a
//! tower service that is mounted under any path, and with the feature `actix` a part of an app of
//! actix-web. It needs no JavaScript and loads nothing from elsewhere.
//!
//! ```
//! use voipbin_receiver::{Receiver, catalog};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = Receiver::builder()
//!     .secret("the-webhook-secret-of-a-customer")
//!     .on(catalog::Any, || async {})
//!     .build()?;
//! let inspector = receiver
//!     .inspector()
//!     .token("a-token-for-those-who-may-see-it")
//!     .build()?;
//!
//! let app: axum::Router = axum::Router::new()
//!     .route_service("/voipbin/webhook", receiver.service())
//!     .nest_service("/inspector/", inspector);
//! # drop(app);
//! # Ok(()) }
//! ```
//!
//! # Access
//!
//! There is none unless the builder is told of one, and each of these says who has which
//! [`Access`]:
//!
//! | setting | who | has |
//! | --- | --- | --- |
//! | [`token`](InspectorBuilder::token) | whoever signs in with it, or sends it as `Authorization: Bearer` | [`Act`](Access::Act) |
//! | [`authorize`](InspectorBuilder::authorize) | whom the app knows | what it says |
//! | [`loopback_only`](InspectorBuilder::loopback_only) | whoever is on this machine | [`Read`](Access::Read) |
//!
//! Bodies, phone numbers and the texts of errors are hidden from those who may only read. Whoever
//! may see more asks for it on each page, and the receiver's observers are told
//! ([`Transition::Inspected`](crate::observe::Transition::Inspected)).
//!
//! # What it costs
//!
//! Nothing until it is built. From then on each answer and each run is counted, and refused
//! signatures are looked into, once a second at most. It remembers the figures of a day and the
//! last thousand refusals, without bodies: up to a megabyte.

mod access;
#[cfg(feature = "actix")]
mod actix;
mod authority;
mod builder;
mod bulk;
mod filter;
mod guard;
mod journal;
mod live;
mod mask;
mod request;
mod response;
mod route;
mod screens;
mod service;
mod site;

pub use self::access::Access;
#[cfg(feature = "actix")]
pub use self::actix::ActixInspector;
pub use self::builder::InspectorBuilder;
pub use self::response::InspectorBody;
pub use self::service::{InspectorFuture, InspectorService};
