//! RFC 6455 over the connections of the HTTP client: its TLS, its proxy of errors, its cookie.

use std::error::Error;

use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
// tokio-tungstenite: frames, masks, pings and limits of WebSockets over any stream.
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

pub(crate) type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// As large as a frame may be.
const LARGEST: usize = 16 << 20;
/// There is a connection for each type of event, and most of them are idle.
const BUFFER: usize = 8 << 10;

/// Makes a request one for an upgrade, and gives its key.
pub(super) fn handshake(
    mut request: Request<Full<Bytes>>,
) -> Option<(Request<Full<Bytes>>, String)> {
    let key = generate_key();
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).ok()?);
    Some((request, key))
}

/// Takes the connection over, if the answer is one to this key.
pub(super) async fn upgrade(
    response: Response<Incoming>,
    key: &str,
) -> Result<WebSocket, Box<dyn Error + Send + Sync>> {
    let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accepted| accepted != &derive_accept_key(key.as_bytes())) {
        return Err("the answer is none to this handshake".into());
    }
    let upgraded = TokioIo::new(hyper::upgrade::on(response).await?);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
}
