//! A stand-in for the platform's sender, to test handlers and whole applications with.
//!
//! Behind the feature `testing`. [`Signer`] signs bodies as the platform does. [`Sender`] delivers
//! them as the platform does: with its headers, its three attempts and its limits. It posts to any
//! tower service in the same process, or with [`connect`] to a real server over TCP.
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
//! let sender = Sender::new(endpoint, Signer::new("s3cret"));
//! let report = sender.send(r#"{"type":"call_hangup","data":{"id":"x"}}"#).await;
//!
//! assert_eq!(report.status(), Some(StatusCode::OK));
//! assert_eq!(report.attempts().len(), 1);
//! assert_eq!(report.body(), "thanks");
//! # }
//! ```

mod clock;
mod delivery;
mod receiver;
mod recorder;
mod report;
mod request;
mod sample;
mod sender;
mod signer;
mod transport;

pub use self::clock::TokioClock;
pub use self::delivery::{context, delivery};
pub use self::receiver::{Step, StepEnd, TestReceiver};
pub use self::recorder::{Act, Recorder, Run};
pub use self::report::{Answer, AttemptError, AttemptErrorKind, Report};
pub use self::sample::{SampleEvent, event};
pub use self::sender::Sender;
pub use self::signer::Signer;
pub use self::transport::{Transport, TransportBody, TransportError, TransportErrorKind, connect};
