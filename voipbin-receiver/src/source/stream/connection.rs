//! The connection of one type: it is read whatever becomes of the events, and opened again when it
//! ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::StreamedEvent;
use super::builder::OnGap;
use super::gap::{Gap, GapReason};
use crate::catalog::EventType;
use crate::handler::RetryPolicy;
use crate::platform::{Platform, PlatformError, PlatformErrorKind, WebSocket};

/// How often it asks whether the other side is there.
const PING: Duration = Duration::from_secs(10);
/// How long the other side may say nothing at all.
const SILENCE: Duration = Duration::from_secs(30);
/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long an event may be on its way from when it happened to the connection: 0.2 to 0.4 s, as
/// the platform's team has measured, and some more.
const DELAY: Duration = Duration::from_secs(2);

/// What connections have received.
pub(super) enum Received {
    Event(StreamedEvent, OwnedSemaphorePermit),
    /// One of them is refused, and so is each attempt after it.
    Refused(PlatformError),
}

pub(super) struct Connection {
    pub(super) platform: Platform,
    pub(super) event_type: EventType,
    pub(super) topic: String,
    pub(super) received: mpsc::UnboundedSender<Received>,
    /// In KiB.
    pub(super) room: Arc<Semaphore>,
    pub(super) on_gap: Option<OnGap>,
}

impl Connection {
    /// Runs until the platform refuses the credential. The first attempt must succeed.
    pub(super) async fn run(self, opened: oneshot::Sender<Result<(), PlatformError>>) {
        let backoff = RetryPolicy::default().max(LONGEST_WAIT);
        let mut session = match self.platform.websocket().await {
            Ok(socket) => Session::new(&self, socket, Ready::First(opened)),
            Err(error) => return drop(opened.send(Err(error))),
        };
        let mut failed = 0;
        loop {
            let (confirmed, ready) = session.read().await;
            match ready {
                Ready::First(opened) => return drop(opened.send(Err(closed()))),
                Ready::Again(_) => {}
                Ready::Told => failed = 0,
            }
            let socket = loop {
                failed += 1;
                sleep(backoff.wait(failed, fastrand::f64())).await;
                match self.platform.websocket().await {
                    Ok(socket) => break socket,
                    Err(error) if is_final(&error) => {
                        return drop(self.received.send(Received::Refused(error)));
                    }
                    Err(error) => {
                        let event = self.event_type.loggable();
                        tracing::warn!(event, %error, "the stream is down, and tried again");
                    }
                }
            };
            session = Session::new(&self, socket, Ready::Again(confirmed));
        }
    }

    fn gap(&self, from: SystemTime, reason: GapReason) {
        let gap = Gap {
            event_type: self.event_type.clone(),
            from: from.checked_sub(DELAY).unwrap_or(from),
            until: SystemTime::now(),
            reason,
        };
        gap.log();
        if let Some(on_gap) = &self.on_gap {
            on_gap(gap);
        }
    }

    /// Hands a frame over, unless there is no room for it. False then.
    fn receive(&self, frame: &str) -> bool {
        // It is put into an envelope as it stands: one value and nothing behind it.
        if serde_json::from_str::<&RawValue>(frame).is_err() {
            let event = self.event_type.loggable();
            tracing::warn!(event, "a frame of the stream is not JSON");
            return true;
        }
        let kib = u32::try_from(frame.len() / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(kib) else {
            return false;
        };
        let event = StreamedEvent {
            event_type: self.event_type.clone(),
            body: body(&self.event_type, frame),
        };
        // Nobody takes it when the stream is dropped, and this task is aborted then.
        let _ = self.received.send(Received::Event(event, room));
        true
    }
}

/// The body of the webhook: the frame is its `data`, byte for byte.
fn body(event_type: &EventType, frame: &str) -> Bytes {
    let name = json!(event_type.as_str());
    format!(r#"{{"type":{name},"data":{frame}}}"#).into()
}

fn closed() -> PlatformError {
    let subject = "the stream, before the subscription held";
    PlatformError::new(PlatformErrorKind::Broken, subject)
}

/// What no further attempt changes.
fn is_final(error: &PlatformError) -> bool {
    matches!(
        error.kind(),
        PlatformErrorKind::Authentication | PlatformErrorKind::Permission
    )
}

/// What is told once the subscription holds.
enum Ready {
    First(oneshot::Sender<Result<(), PlatformError>>),
    /// What happened before this has come by an earlier connection.
    Again(SystemTime),
    Told,
}

/// A connection that is open.
struct Session<'a> {
    connection: &'a Connection,
    socket: WebSocket,
    ready: Ready,
    /// What happened before this has come.
    confirmed: SystemTime,
    /// The ping that has no answer yet, and when it was sent.
    ping: (u64, SystemTime),
    /// Frames that were dropped, since when.
    dropped: Option<(u64, SystemTime)>,
}

impl<'a> Session<'a> {
    fn new(connection: &'a Connection, socket: WebSocket, ready: Ready) -> Self {
        let now = SystemTime::now();
        let confirmed = match ready {
            Ready::Again(confirmed) => confirmed,
            _ => now,
        };
        Self {
            connection,
            socket,
            ready,
            confirmed,
            ping: (0, now),
            dropped: None,
        }
    }

    /// Subscribes and reads to its end. Gives the time before which nothing is missing, and whether
    /// the subscription ever held.
    ///
    /// The server reads in order: it answers the ping after a subscription when that holds, and a
    /// later one when all that was before it is written.
    async fn read(mut self) -> (SystemTime, Ready) {
        let subscribe = json!({"type": "subscribe", "topics": [self.connection.topic]});
        let subscribe = Message::text(subscribe.to_string());
        if self.socket.feed(subscribe).await.is_err() {
            return (self.confirmed, self.ready);
        }
        // The first tick is at once.
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                _ = pings.tick() => {
                    // An older one that has no answer yet is given up.
                    self.ping = (self.ping.0 + 1, SystemTime::now());
                    let payload = Bytes::copy_from_slice(&self.ping.0.to_be_bytes());
                    if self.socket.send(Message::Ping(payload)).await.is_err() {
                        break;
                    }
                }
                message = timeout_at(heard + SILENCE, self.socket.next()) => {
                    let Ok(Some(Ok(message))) = message else { break };
                    heard = Instant::now();
                    match message {
                        Message::Text(frame) => self.receive(&frame),
                        Message::Pong(payload) => self.answered(&payload),
                        Message::Close(_) => break,
                        _ => {}
                    }
                }
            }
        }
        self.overflow();
        (self.confirmed, self.ready)
    }

    fn receive(&mut self, frame: &str) {
        if self.connection.receive(frame) {
            self.overflow();
        } else {
            let since = self.confirmed;
            self.dropped.get_or_insert((0, since)).0 += 1;
        }
    }

    fn overflow(&mut self) {
        if let Some((events, since)) = self.dropped.take() {
            self.connection.gap(since, GapReason::Overflow { events });
        }
    }

    fn answered(&mut self, payload: &[u8]) {
        let (number, sent) = self.ping;
        if payload != number.to_be_bytes() {
            return;
        }
        self.confirmed = sent;
        match std::mem::replace(&mut self.ready, Ready::Told) {
            Ready::First(opened) => drop(opened.send(Ok(()))),
            Ready::Again(before) => self.connection.gap(before, GapReason::Disconnected),
            Ready::Told => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_and_the_name_of_its_topic_make_the_body_of_the_webhook() {
        let frame = r#"{"id":"x", "note":"\u00e9"}"#;
        assert_eq!(
            body(&EventType::CallHangup, frame),
            r#"{"type":"call_hangup","data":{"id":"x", "note":"\u00e9"}}"#
        );
    }
}
