//! The platform's stream of events: one WebSocket for each type, as a frame does not tell its own.

mod builder;
mod connection;
mod gap;
mod topic;

use std::fmt;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

pub use self::builder::EventStreamBuilder;
use self::connection::Received;
pub use self::gap::{Gap, GapReason};
use crate::Receiver;
use crate::catalog::EventType;
use crate::event::Origin;
use crate::observe::RefusalReason;
use crate::platform::{Platform, PlatformError};

/// The platform's stream of events, as it happens.
///
/// It carries what webhooks carry, byte for byte, over connections that this side opens: events on
/// a machine that nothing reaches from outside. **It is for development.** It is not signed, and
/// what a flow's author sends may be put into the stream of another account. It has no history:
/// what happens while a connection is down is a [`Gap`]. The account's webhook goes on being sent
/// meanwhile.
///
/// Connections that end are opened again, after 1, 4, 16 s and so on up to 30 s, less up to a half
/// of that by chance. Dropping the stream ends all of them.
///
/// ```no_run
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::platform::{Credential, Platform};
/// use voipbin_receiver::source::EventStream;
/// use voipbin_receiver::{Context, Receiver};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let platform = Platform::builder()
///     .credential(Credential::from_file("/etc/voipbin/access-key")?)
///     .build()?;
/// let secret = platform.customer().await?.webhook_secret.ok_or("the account has no secret")?;
/// let receiver = Receiver::builder()
///     .secret(secret)
///     .on(Any, |context: Context| async move { println!("{:?}", context.event_type()) })
///     .build()?;
///
/// let stream = EventStream::builder(&platform)
///     .events(receiver.handled_events())
///     .connect()
///     .await?;
/// receiver.listen(stream).await?;
/// # Ok(()) }
/// ```
pub struct EventStream {
    received: mpsc::UnboundedReceiver<Received>,
    /// Aborted with it.
    _connections: JoinSet<()>,
}

/// An event out of the stream. `Debug` does not show its body.
#[derive(Clone)]
#[non_exhaustive]
pub struct StreamedEvent {
    /// Its type, as the topic told it.
    pub event_type: EventType,
    /// The body that its webhook has, byte for byte.
    pub body: Bytes,
}

impl EventStream {
    /// What to connect to.
    pub fn builder(platform: &Platform) -> EventStreamBuilder {
        EventStreamBuilder::new(platform.clone())
    }

    /// Waits for the next event.
    ///
    /// Connections are read whether or not anybody waits here; what does not fit into 64 MiB is
    /// dropped, as a [gap](GapReason::Overflow).
    ///
    /// # Errors
    ///
    /// When the platform does not take the credential any more. There is nothing to wait for then.
    ///
    /// # Cancel safety
    ///
    /// No event is lost.
    pub async fn next(&mut self) -> Result<StreamedEvent, PlatformError> {
        match self.received.recv().await {
            Some(Received::Event(event, _room)) => Ok(event),
            Some(Received::Refused(error)) => Err(error),
            // No connection ends without a word, unless the runtime ends.
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl fmt::Debug for StreamedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedEvent")
            .field("event_type", &self.event_type.loggable())
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// The wait before an event is offered again that could not be kept.
const AGAIN: Duration = Duration::from_millis(200);

impl Receiver {
    /// Takes the events of a stream, until the receiver [shuts down](Self::shutdown).
    ///
    /// Each goes the way of [`accept`](Self::accept) with [`Origin::Stream`], so what has come as a
    /// webhook as well is handled once. What the inbox cannot keep at present is offered again, and
    /// the stream waits.
    ///
    /// # Errors
    ///
    /// Those of [`EventStream::next`].
    ///
    /// # Cancel safety
    ///
    /// The event that was last taken out of the stream may not be kept.
    pub async fn listen(&self, mut stream: EventStream) -> Result<(), PlatformError> {
        loop {
            let event = stream.next().await?;
            loop {
                match self.accept(event.body.clone(), Origin::Stream).await {
                    Err(error) if error.reason() == RefusalReason::ShuttingDown => return Ok(()),
                    Err(error) if error.is_transient() => sleep(AGAIN).await,
                    // Counted and logged by the receiver.
                    _ => break,
                }
            }
        }
    }
}
