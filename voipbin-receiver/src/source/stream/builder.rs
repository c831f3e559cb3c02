use std::fmt;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::EventStream;
use super::connection::Connection;
use super::gap::Gap;
use super::topic::topic;
use crate::catalog::EventType;
use crate::platform::{Platform, PlatformError, PlatformErrorKind};

/// How much is held of what is not taken, in KiB.
const ROOM: usize = 64 << 10;

/// What to connect to. Made by [`EventStream::builder`].
#[must_use = "it does nothing until it connects"]
pub struct EventStreamBuilder {
    platform: Platform,
    events: Vec<EventType>,
    on_gap: Option<OnGap>,
}

pub(super) type OnGap = Arc<dyn Fn(Gap) + Send + Sync>;

impl EventStreamBuilder {
    pub(super) fn new(platform: Platform) -> Self {
        Self {
            platform,
            events: Vec::new(),
            on_gap: None,
        }
    }

    /// The types of events, each of which takes a connection. An older name is read as the one that
    /// is sent. Default: none. [`Receiver::handled_events`](crate::Receiver::handled_events) has
    /// those of a receiver.
    pub fn events(mut self, events: impl IntoIterator<Item = EventType>) -> Self {
        for event_type in events {
            let event_type = event_type.canonical();
            if !self.events.contains(&event_type) {
                self.events.push(event_type);
            }
        }
        self
    }

    /// What is called with each gap, beside the warning in the log. It must not block.
    pub fn on_gap(mut self, on_gap: impl Fn(Gap) + Send + Sync + 'static) -> Self {
        self.on_gap = Some(Arc::new(on_gap));
        self
    }

    /// Connects, as fast as the requests of the [`Platform`] are allowed to be: five types a second
    /// by default. What happens from its end on comes.
    ///
    /// It needs the credential of an admin or a manager of the account, and a tokio runtime, on
    /// which the connections are read.
    ///
    /// # Errors
    ///
    /// When one of the connections cannot be opened, and with [`PlatformErrorKind::Request`]
    /// without events.
    ///
    /// # Cancel safety
    ///
    /// All connections end when the future is dropped.
    pub async fn connect(self) -> Result<EventStream, PlatformError> {
        if self.events.is_empty() {
            let subject = "a stream of no events";
            return Err(PlatformError::new(PlatformErrorKind::Request, subject));
        }
        let customer = self.platform.customer().await?.id;
        let (sender, received) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(ROOM));
        let mut connections = JoinSet::new();
        let mut ready = Vec::new();
        for event_type in self.events {
            let connection = Connection {
                platform: self.platform.clone(),
                topic: topic(&customer, &event_type),
                event_type,
                received: sender.clone(),
                room: Arc::clone(&room),
                on_gap: self.on_gap.clone(),
            };
            let (opened, is_ready) = oneshot::channel();
            connections.spawn(connection.run(opened));
            ready.push(async { is_ready.await.unwrap_or(Ok(())) });
        }
        try_join_all(ready).await?;
        Ok(EventStream {
            received,
            _connections: connections,
        })
    }
}

impl fmt::Debug for EventStreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStreamBuilder")
            .field("platform", &self.platform)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
