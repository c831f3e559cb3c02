use std::time::SystemTime;

use bytes::Bytes;

use crate::event::{BodyError, Delivery};
use crate::handler::{Context, HandlerName};

/// A delivery with this body, as a receiver that allows unsigned ones would make it: to call a
/// handler with, or to try an inbox.
///
/// ```
/// use voipbin_receiver::resource::Call;
/// use voipbin_receiver::testing::delivery;
/// use voipbin_receiver::{Event, HandlerError, on};
///
/// #[on(CallHangup)]
/// async fn count(call: Event<Call>) -> Result<(), HandlerError> {
///     assert_eq!(call.delivery().resource_id(), Some("c7c1e226"));
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ended = delivery(r#"{"type":"call_hangup","data":{"id":"c7c1e226"}}"#)?;
/// assert!(count(Event::read(&ended)?).await.is_ok());
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// When the body is not JSON.
pub fn delivery(body: impl Into<Bytes>) -> Result<Delivery, BodyError> {
    Delivery::unsigned(body.into(), SystemTime::now())
}

/// The context of a first run for a delivery, by a handler with this name: to call a handler that
/// asks for one.
#[must_use]
pub fn context(delivery: &Delivery, handler: &str) -> Context {
    Context::new(delivery.clone(), HandlerName::new(handler))
}
