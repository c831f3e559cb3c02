//! The stream: topics are prefixes, frames are bare, and connections end without a word.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Response};
use http_body_util::Full;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::{Platform, Seen, answer, refuse};

/// As many frames as wait for a slow reader. More are dropped without a word.
const BUFFERED: usize = 2000;
const PING: Duration = Duration::from_secs(10);
/// Who has sent no pong for so long is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a connection ends, without a close frame in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All that was written arrives.
    Fin,
    /// What the other side has not read yet is discarded.
    Reset,
}

/// What became of an event in the stream.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// The id of its resource.
    pub id: String,
    /// When it happened.
    pub at: SystemTime,
    /// Whether it was written to a connection that was not reset.
    pub delivered: bool,
}

#[derive(Default)]
pub(crate) struct Stream {
    connections: Vec<Connection>,
    events: Vec<Event>,
    /// One frame in so many is the last one of its connection.
    chaos: Option<(fastrand::Rng, u32)>,
    refuses_topics: bool,
}

struct Connection {
    topics: Vec<String>,
    frames: mpsc::Sender<Frame>,
    reset: bool,
}

enum Frame {
    /// An event, by its number.
    Event(usize, String),
    End(Ending),
}

struct Event {
    name: String,
    id: String,
    at: SystemTime,
    /// The connections that it was written to.
    written: Vec<usize>,
}

impl Stream {
    pub(crate) fn publish(&mut self, at: SystemTime, customer: &str, name: &str, data: &str) {
        let object: Value = serde_json::from_str(data).unwrap();
        let id = object["id"].as_str().unwrap_or_default();
        let segment = name.split('_').next().unwrap();
        let topics = [
            format!("customer_id:{customer}:{segment}:{id}"),
            format!("customer_id:{customer}:{segment}:{name}:{id}"),
        ];
        let number = self.events.len();
        self.events.push(Event {
            name: name.to_owned(),
            id: id.to_owned(),
            at,
            written: Vec::new(),
        });
        for connection in &self.connections {
            let is_subscribed = |topic: &&String| {
                let mut prefixes = connection.topics.iter();
                prefixes.any(|prefix| topic.starts_with(prefix))
            };
            for _ in topics.iter().filter(is_subscribed) {
                let _ = connection
                    .frames
                    .try_send(Frame::Event(number, data.to_owned()));
            }
        }
    }

    /// False for a topic that is refused.
    fn subscribe(&mut self, connection: usize, customer: &str, text: &str) -> bool {
        #[derive(Deserialize)]
        struct Request {
            #[serde(rename = "type")]
            kind: String,
            topics: Vec<String>,
        }
        let Ok(Request { kind, topics }) = serde_json::from_str(text) else {
            return true;
        };
        let own = format!("customer_id:{customer}");
        if self.refuses_topics || !topics.iter().all(|topic| topic.starts_with(&own)) {
            return false;
        }
        let subscribed = &mut self.connections[connection].topics;
        match &*kind {
            "subscribe" => subscribed.extend(topics),
            "unsubscribe" => subscribed.retain(|topic| !topics.contains(topic)),
            _ => {}
        }
        true
    }

    fn is_last(&mut self) -> Option<Ending> {
        let (rng, one_in) = self.chaos.as_mut()?;
        (rng.u32(..*one_in) == 0).then(|| match rng.bool() {
            true => Ending::Fin,
            false => Ending::Reset,
        })
    }
}

impl Platform {
    /// Has one in so many frames of the stream be the last one of its connection, from now on.
    pub fn drop_streams_at_random(&self, seed: u64, one_in: u32) {
        self.state().stream.chaos = Some((fastrand::Rng::with_seed(seed), one_in));
    }

    /// Refuses all topics from now on, as those of another account.
    pub fn refuse_topics(&self) {
        self.state().stream.refuses_topics = true;
    }

    /// Ends each connection of the stream that there is.
    pub fn drop_streams(&self, ending: Ending) {
        for connection in &self.state().stream.connections {
            let _ = connection.frames.try_send(Frame::End(ending));
        }
    }

    /// The topics of the connections that there are.
    pub fn topics(&self) -> Vec<String> {
        let state = self.state();
        let open = state.stream.connections.iter();
        let open = open.filter(|connection| !connection.frames.is_closed());
        open.flat_map(|connection| connection.topics.clone())
            .collect()
    }

    /// What became of the events that were published, in that order.
    pub fn published(&self) -> Vec<Published> {
        let state = self.state();
        let stream = &state.stream;
        let published = stream.events.iter().map(|event| Published {
            name: event.name.clone(),
            id: event.id.clone(),
            at: event.at,
            delivered: event
                .written
                .iter()
                .any(|connection| !stream.connections[*connection].reset),
        });
        published.collect()
    }

    pub(crate) fn upgrade(&self, seen: &Seen, upgrade: OnUpgrade) -> Response<Full<Bytes>> {
        if let Err(reason) = self.state().role(seen) {
            return refuse(401, reason);
        }
        let Some(key) = seen.headers.get(SEC_WEBSOCKET_KEY) else {
            return refuse(400, "INVALID_ARGUMENT");
        };
        let mut response = answer(101, Bytes::new());
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).unwrap();
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        let platform = self.clone();
        tokio::spawn(async move {
            let Ok(upgraded) = upgrade.await else { return };
            match upgraded.downcast::<TokioIo<TcpStream>>() {
                Ok(parts) => {
                    let read = parts.read_buf.to_vec();
                    platform.stream(parts.io.into_inner(), read).await;
                }
                Err(upgraded) => platform.stream(TokioIo::new(upgraded), Vec::new()).await,
            }
        });
        response
    }

    async fn stream<S: Socket>(self, socket: S, read: Vec<u8>) {
        let mut socket =
            WebSocketStream::from_partially_read(socket, read, Role::Server, None).await;
        let (sender, mut frames) = mpsc::channel(BUFFERED);
        let connection = {
            let mut state = self.state();
            state.stream.connections.push(Connection {
                topics: Vec::new(),
                frames: sender,
                reset: false,
            });
            state.stream.connections.len() - 1
        };
        let mut pings = interval(PING);
        let mut heard = Instant::now();
        let ending = loop {
            tokio::select! {
                frame = frames.recv() => match frame {
                    Some(Frame::Event(number, data)) => {
                        if socket.send(Message::text(data)).await.is_err() {
                            break Ending::Reset;
                        }
                        let mut state = self.state();
                        state.stream.events[number].written.push(connection);
                        if let Some(ending) = state.stream.is_last() {
                            break ending;
                        }
                    }
                    Some(Frame::End(ending)) => break ending,
                    None => break Ending::Fin,
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let mut state = self.state();
                        let customer = state.customer["id"].as_str().unwrap().to_owned();
                        if !state.stream.subscribe(connection, &customer, &text) {
                            break Ending::Fin;
                        }
                    }
                    Some(Ok(Message::Ping(_))) => {}
                    Some(Ok(Message::Pong(_))) => heard = Instant::now(),
                    _ => break Ending::Fin,
                },
                _ = pings.tick() => {
                    let ping = socket.send(Message::Ping(Bytes::new())).await;
                    if ping.is_err() || heard.elapsed() > PATIENCE {
                        break Ending::Fin;
                    }
                }
            }
        };
        self.state().stream.connections[connection].reset = ending == Ending::Reset;
        drop(frames);
        match ending {
            Ending::Reset => socket.get_ref().reset(),
            Ending::Fin => {
                let socket = socket.get_mut();
                let _ = socket.shutdown().await;
                // A socket that is closed with something to read is reset.
                let mut rest = Vec::new();
                let _ = timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
            }
        }
    }
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Has it reset when it is dropped, where that can be told.
    fn reset(&self);
}

impl Socket for TcpStream {
    fn reset(&self) {
        self.set_zero_linger().unwrap();
    }
}

impl Socket for TokioIo<Upgraded> {
    fn reset(&self) {}
}
