//! A client of VoIPBIN's API: where the webhook goes, and what it takes to set that up.
//!
//! Behind the feature `platform`. [`Platform`] is the connection, a [`Credential`] who asks,
//! [`Destination`] the account's one webhook.
//!
//! ```no_run
//! use voipbin_receiver::catalog::Any;
//! use voipbin_receiver::platform::{Credential, Platform};
//! use voipbin_receiver::Receiver;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let platform = Platform::builder()
//!     .credential(Credential::from_file("/etc/voipbin/access-key")?)
//!     .build()?;
//!
//! // The secret that VoIPBIN signs with.
//! let secret = platform.customer().await?.webhook_secret.ok_or("the account has no secret")?;
//! let receiver = Receiver::builder().secret(secret).on(Any, || async {}).build()?;
//!
//! // Once the receiver is mounted and can be reached.
//! let change = platform
//!     .destination()
//!     .set("https://hooks.example.com/voipbin/webhook", "POST")
//!     .await?;
//! for warning in change.warnings() {
//!     eprintln!("{warning}");
//! }
//! # drop(receiver);
//! # Ok(()) }
//! ```

mod access_key;
mod builder;
mod client;
mod connector;
mod credential;
mod customer;
mod destination;
mod error;
mod probe;
mod rate_limiter;
mod unfit;
mod webhooks;
#[cfg(feature = "stream")]
mod websocket;

pub use self::access_key::{AccessKey, AccessKeys, NewAccessKey};
pub use self::builder::PlatformBuilder;
pub use self::client::Platform;
#[cfg(feature = "history")]
pub(crate) use self::client::{in_path, in_query};
pub use self::credential::Credential;
pub use self::customer::Customer;
pub use self::destination::{
    Change, Destination, DestinationError, DestinationErrorKind, Target, Warning,
};
pub use self::error::{PlatformError, PlatformErrorKind};
pub use self::unfit::UnfitDestination;
pub use self::webhooks::{Webhook, WebhookFields, Webhooks};
#[cfg(feature = "stream")]
pub(crate) use self::websocket::WebSocket;
