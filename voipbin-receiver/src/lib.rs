//! Receive the webhooks of VoIPBIN: verified, kept once, answered at once, handled in the
//! background.
//!
//! VoIPBIN sends each event, `{"type": "call_hangup", "data": {…}}`, over HTTP to its customer's
//! endpoint. It tries up to three times within seconds, only after a 5xx or a broken connection,
//! and never again. [`Receiver::service`] is that endpoint as a tower service; what comes in is
//! verified, answered 200 and handed to your async handlers.
//!
//! ```
//! use voipbin_receiver::resource::Call;
//! use voipbin_receiver::{Event, HandlerError, Receiver, State, handlers, on};
//!
//! #[derive(Clone)]
//! struct Crm;
//!
//! #[on(CallHangup)]
//! async fn update_crm(call: Event<Call>, State(crm): State<Crm>) -> Result<(), HandlerError> {
//!     let _crm: &Crm = &crm;
//!     println!("{:?} ended: {:?}", call.id, call.hangup_reason);
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = Receiver::builder()
//!     .secret("the-webhook-secret-of-a-customer")
//!     .state(Crm)
//!     .handlers(handlers![update_crm])
//!     .build()?;
//!
//! let app: axum::Router =
//!     axum::Router::new().route_service("/voipbin/webhook", receiver.service());
//! # drop(app);
//! # Ok(()) }
//! ```
//!
//! # The way of a delivery
//!
//! ```text
//! HTTP request
//!   -> service     method, head and declared length                  405 / 503 / 413
//!   -> gate        source address, rate, requests in flight          403 / 503
//!   -> service     the raw bytes, within size and time               413 / 503
//!   -> gate        signature                                         401
//!   -> event       the envelope: type, data, age, identity           400 / 403
//!   -> inbox       keep it once: new, or seen before                 503 when it cannot keep it
//!   -> 200         the answer leaves here, before any handler runs
//!   -> dispatch    a lane for each resource, a bounded number of handlers at once, attempts
//!   -> handler     your code; again, after a wait, when it fails
//! ```
//!
//! What comes otherwise than over HTTP enters behind the gate: [`Receiver::accept`].
//!
//! The sender takes every status below 500 for final, 429 included. So 4xx is for what must not
//! come again, and 503 for everything that may: also for what this side's operator can mend, in the
//! settings or in a proxy.
//!
//! # What it promises
//!
//! 1. **200 means kept.** With an inbox on disk (feature `disk`) it is sent after the event
//!    survives `kill -9` and a power cut. With the memory inbox it means queued in this process: a
//!    clean [`shutdown`](Receiver::shutdown) drains it.
//! 2. **Nothing is burned.** When anything between the signature and the inbox fails, no identity
//!    is remembered, and the sender's next try is taken as new.
//! 3. **At least once to each handler, once as far as the receiver can know.** A copy of a kept
//!    event is answered 200 and dropped, and not before the first is kept. Deliveries that carry no
//!    identity of their own are never dropped, only marked ([`Context::possible_repeat`]). With the
//!    inbox on PostgreSQL, what a handler writes by `Tx` is there exactly once.
//! 4. **Handlers never slow the answer.** Not by sleeping, panicking, failing or hanging; one that
//!    must block its thread says [`blocking`].
//! 5. **One resource, one lane.** For each handler, events of the same resource are started in the
//!    order in which they were kept and never overlap; different resources and different handlers
//!    run side by side. A further attempt may run after later events.
//!    [`lane_key`](ReceiverBuilder::lane_key) and [`without_lanes`](ReceiverBuilder::without_lanes)
//!    change that.
//! 6. **Only signed bytes are trusted.** Identity, routing and payload come from the signed body.
//!    Without a secret the builder refuses, unless
//!    [`allow_unsigned`](ReceiverBuilder::allow_unsigned) says so.
//! 7. **Statuses speak the sender's language.** Overload, storage trouble, shutdown: 503. Forged:
//!    401. Not JSON: 400. Unknown type with a valid signature: 200, and counted.
//! 8. **A failure is not the end.** A handler that fails or panics is tried again, alone, as
//!    [`RetryPolicy`] says, and after its last attempt the event is a dead letter for it: logged,
//!    counted, told to [`on_dead_letter`](ReceiverBuilder::on_dead_letter), and kept to be looked
//!    at and handled again. A shutdown waits for none of it.
//! 9. **Secrets, signatures and personal data stay out of errors, logs and `Debug`.**
//!
//! # Writing handlers
//!
//! `#[on(…)]` on an async function, [`ReceiverBuilder::on`] with a closure, or a type that
//! implements [`EventHandler`]. Arguments are [`Event<T>`], [`State<S>`], [`Context`], [`Delivery`]
//! and what implements [`Argument`](handler::Argument), in any order; that the payload fits the
//! events is checked by the compiler. Which events there are is in [`events`].
//!
//! A handler can run several times for one event: after a failure, and with a durable inbox after a
//! crash. Make its work idempotent with [`Context::identity`]. [`HandlerError`] says whether and
//! when another attempt makes sense.
//!
//! # Guide
//!
//! [`guide`] has a page for each of: the way from an account to a handled event, mounting,
//! handlers, inboxes, PostgreSQL, effects exactly once, operations, security, testing, the way from
//! Flask and Express, and what else there is.
//!
//! # In the repository
//!
//! The folder `examples` has whole programs, and a README that tells what each shows: `standalone`
//! is a server with an inbox on disk, metrics and tools; `axum-app` and `actix-app` mount a
//! receiver in an app; `crm`, `auto-reply` and `recordings` are use cases; `deploy` has a unit for
//! systemd, an image and manifests for Kubernetes.
//! `voipbin-receiver/docs/performance.md` has figures, beside those of other servers.
//!
//! # Features
//!
#![doc = include_str!("../docs/features.md")]
//!
//! # Rooms
//!
//! [`service`](ReceiverService) is the HTTP edge and [`gate`] who may come in. [`event`] is what a
//! delivery is, [`catalog`] and [`resource`] which ones exist. An [`inbox`] keeps events between
//! the answer and the end of their [handlers](handler). `pipeline.rs` shows the whole order on one
//! screen.

// docs.rs shows which feature an item takes.
#![cfg_attr(docsrs, feature(doc_cfg))]

// What the macros expand to names the crate like everyone else does, here too.
#[allow(unused_extern_crates, reason = "used in tests and doctests alone")]
extern crate self as voipbin_receiver;

pub mod catalog;
pub mod clock;
pub mod event;
pub mod gate;
// For readers alone. Its examples take all features.
#[cfg(any(
    all(doc, not(doctest)),
    all(
        doctest,
        feature = "actix",
        feature = "disk-system",
        feature = "history",
        feature = "inspector",
        feature = "macros",
        feature = "metrics",
        feature = "platform",
        feature = "postgres",
        feature = "rate-limit",
        feature = "stream",
        feature = "testing",
        feature = "tls",
    )
))]
pub mod guide;
pub mod handler;
pub mod inbox;
#[cfg(feature = "inspector")]
pub mod inspector;
#[cfg(any(feature = "actix", feature = "server"))]
pub mod mount;
pub mod observe;
#[cfg(feature = "platform")]
pub mod platform;
pub mod resource;
#[cfg(any(feature = "history", feature = "stream"))]
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;

mod accept_error;
mod build_error;
mod builder;
#[cfg(any(feature = "platform", feature = "postgres"))]
mod client_tls;
mod dispatch;
mod json;
mod pipeline;
mod receiver;
mod router;
mod service;
mod small_file;
mod sync;
#[cfg(feature = "postgres")]
mod transaction;

pub use accept_error::AcceptError;
pub use build_error::{BuildError, BuildErrorKind};
pub use builder::{ReceiverBuilder, Role};
#[doc(inline)]
pub use catalog::events;
#[doc(inline)]
pub use event::{Delivery, Identity, Origin};
#[doc(inline)]
pub use handler::{
    Context, Event, EventHandler, HandlerError, HandlerOptions, HandlerService, Registration,
    RetryPolicy, State, blocking,
};
#[doc(inline)]
pub use inbox::Repeats;
#[doc(inline)]
pub use observe::{
    Accepted, DeadLetter, Health, JobState, Problem, ShutdownReport, Stats, Unfinished, Warning,
};
pub use receiver::Receiver;
pub use service::{ReceiverService, ResponseBody, ResponseFuture};
#[cfg(feature = "postgres")]
pub use transaction::{Completion, Tx, TxError, TxErrorKind};

#[doc(no_inline)]
pub use async_trait::async_trait;

/// What the macros expand to: no part of the API, and changed without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::handler::expanded::*;
}

/// Says which events a function handles.
///
/// ```
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, HandlerError, on};
///
/// #[on(CallHangup)]
/// async fn update_crm(call: Event<Call>) -> Result<(), HandlerError> {
///     println!("{:?} ended: {:?}", call.id, call.hangup_reason);
///     Ok(())
/// }
/// ```
///
/// The function takes up to eight arguments in any order: [`Event<T>`](Event), [`State<S>`](State),
/// [`Context`], [`Delivery`] and what implements [`Argument`](handler::Argument). It returns
/// nothing, or a `Result` whose error converts into a [`HandlerError`]. It stays an ordinary
/// function that tests can call. [`handlers!`] hands it to the builder.
///
/// # Events
///
/// One or several, separated by commas. A handler runs once per delivery, however many of them
/// match, and its payload type must fit all of them.
///
/// | written | means |
/// | --- | --- |
/// | `CallHangup` | an event of [the catalogue](events), which need not be imported |
/// | `any(Call)` | every event that carries a `Call` |
/// | `any` | every event, known or not |
/// | `"number_renewed"` | an event by its name, with a payload type of your own |
/// | `custom` | every signed body that is not an event: [`catalog::Custom`] |
/// | `fallback` | every event that no other handler takes |
/// | `my::EVENTS` | a path to an [`EventSet`](catalog::EventSet) of your own |
///
/// # Options
///
/// | written | means | default |
/// | --- | --- | --- |
/// | `name = "crm"` | the name of the [`Registration`] | the function's |
/// | `blocking` | the function is a plain `fn` that may block, see [`blocking`] | async |
/// | `attempts = 5` | [`HandlerOptions::attempts`]: how many attempts there are in all | as [`ReceiverBuilder::handler_options`] says |
/// | `backoff = "1s..10m"` | [`HandlerOptions::backoff`]: the wait before the second attempt, and the longest one | the same |
/// | `timeout = "30s"` | [`HandlerOptions::timeout`]: how long one run may take, in `ms`, `s`, `m` or `h` | the same |
/// | `concurrency = 4` | [`HandlerOptions::concurrency`]: how many runs there may be at once | the same |
/// | `strict` | [`HandlerOptions::strict`]: later events of a lane wait for its further attempts | the same |
/// | `skip_stale` | [`HandlerOptions::skip_stale`]: leaves out [stale](Context::is_stale) events | the same |
///
/// ```
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, on};
///
/// #[on(CallHangup, CallProgressing, name = "journal", blocking)]
/// fn write_journal(call: Event<Call>) -> std::io::Result<()> {
///     std::fs::write("journal", call.id.as_deref().unwrap_or_default())
/// }
/// ```
///
/// ```
/// use voipbin_receiver::{Context, HandlerError, on};
///
/// // The archive is slow, and takes two at a time.
/// #[on(any, attempts = 5, timeout = "30s", concurrency = 2)]
/// async fn archive(context: Context) -> Result<(), HandlerError> {
///     println!("attempt {} at {}", context.attempt(), context.identity());
///     Ok(())
/// }
/// ```
///
/// # Where it can stand
///
/// On free functions, also inside of other functions, but not in an `impl`: the attribute adds a
/// hidden type of the function's name, which `use` imports together with it. A module of the same
/// name cannot stand beside it, nor where it is imported: list it by its path there,
/// `handlers![update_crm::update_crm]`.
#[cfg(feature = "macros")]
pub use voipbin_receiver_macros::on;

/// Lists functions with [`#[on(…)]`](on), for the builder: a `Vec` of [`Registration`]s.
///
/// ```
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::{Event, handlers, on};
///
/// mod billing {
///     use voipbin_receiver::resource::Call;
///     use voipbin_receiver::{Event, on};
///
///     #[on(CallHangup)]
///     pub async fn bill(call: Event<Call>) {
///         drop(call);
///     }
/// }
///
/// #[on(CallHangup)]
/// async fn update_crm(call: Event<Call>) {
///     drop(call);
/// }
///
/// let registrations = handlers![update_crm, billing::bill];
/// assert_eq!(registrations.len(), 2);
/// ```
///
/// A function that is in no list is for no event, also when it is given to [`ReceiverBuilder::on`],
/// which knows nothing of its attribute: the compiler warns of it with the words
/// `NOT_IN_ANY_HANDLERS_LIST`, unless it is public in a library. One that has the name of a crate
/// is listed as `self::name`.
#[cfg(feature = "macros")]
pub use voipbin_receiver_macros::handlers;
