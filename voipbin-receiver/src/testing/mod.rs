//! The test kit: handlers and whole applications are tested without a port and without a sleep.
//!
//! Behind the feature `testing`; give it to the crate in `[dev-dependencies]`.
//!
//! | to test | there is |
//! | --- | --- |
//! | a handler alone | [`event`], [`delivery`] and [`context`]: what it is called with |
//! | an app or a service | [`Signer::request`]: a signed request with any body |
//! | what follows an answer | [`TestReceiver`]: lets handlers run one at a time, and moves a paused clock |
//! | what a handler is given | [`Recorder`]: records its runs, and misbehaves as it is told |
//! | copies, disorder and losses | [`Chaos`]: delivers as badly as the platform may, by a seed |
//! | an inbox of your own | [`inbox_contract::check`]: what a receiver relies on, and what the inbox claims |
//! | a server | [`Sender`]: delivers as the platform does, through any HTTP client that is a tower service |
//!
//! A test of what follows a failure, from one end to the other:
//!
//! ```
//! use voipbin_receiver::events::CallHangup;
//! use voipbin_receiver::testing::{Act, Recorder, TestReceiver, event};
//!
//! // In a test: #[tokio::test(start_paused = true)]
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let crm = Recorder::acting(|_| Act::fail());
//! let mut receiver = TestReceiver::build(|builder| builder.on(CallHangup, crm.clone()))?;
//! assert_eq!(receiver.deliver(event(CallHangup).id("c-1")).await?.status(), 200);
//!
//! let failed = receiver.step().await.ok_or("nothing is due")?;
//! assert!(failed.retry_after().is_some());
//!
//! // It works again, and hours later everything is handled.
//! crm.act(|_| Act::succeed());
//! let steps = receiver.run_until_done().await;
//! assert!(steps.len() == 1 && steps[0].is_done());
//! # Ok(()) }
//! ```
//!
//! A stand-in for the platform posts to any tower service:
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use voipbin_receiver::testing::{Sender, Signer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let endpoint = tower::service_fn(|request: Request<Full<Bytes>>| async move {
//!     assert!(request.headers().contains_key("x-voipbin-signature"));
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from("thanks"))))
//! });
//!
//! let sender = Sender::new(endpoint, Signer::new("the-webhook-secret-of-a-customer"));
//! let report = sender.send(r#"{"type":"call_hangup","data":{"id":"x"}}"#).await;
//!
//! assert_eq!(report.status(), Some(StatusCode::OK));
//! assert_eq!(report.attempts().len(), 1);
//! assert_eq!(report.body(), "thanks");
//! # }
//! ```

mod chaos;
mod clock;
mod delivery;
pub mod inbox_contract;
mod receiver;
mod recorder;
mod report;
mod request;
mod sample;
mod sender;
mod signer;

pub use self::chaos::{Arrival, Chaos, ChaosDelivery, ChaosReport};
pub use self::clock::TokioClock;
pub use self::delivery::{context, delivery};
pub use self::receiver::{Step, StepEnd, TestReceiver};
pub use self::recorder::{Act, RecordedRun, Recorder};
pub use self::report::{Answer, AttemptError, AttemptErrorKind, Report};
pub use self::sample::{SampleEvent, event};
pub use self::sender::Sender;
pub use self::signer::Signer;
