//! Who may come in: sources, and what is told of those who may not.

mod age;
mod diagnosis;
mod limits;
mod reasons;
mod secrets;
mod sources;

use http::{HeaderMap, Request};
use support::Frames;
use voipbin_receiver::gate::PeerAddr;

/// A request from a peer whose body never comes: whatever it is answered was decided before.
fn from(peer: &str, headers: HeaderMap) -> Request<Frames> {
    let mut request = Request::post("/").body(Frames::hanging([""; 0])).unwrap();
    *request.headers_mut() = headers;
    let peer = PeerAddr((peer.parse::<std::net::IpAddr>().unwrap(), 4711).into());
    request.extensions_mut().insert(peer);
    request
}

/// A signed event from a peer.
fn event_from(
    peer: &str,
    id: impl std::fmt::Display,
) -> Request<http_body_util::Full<bytes::Bytes>> {
    let mut request = support::signed(support::call_hangup(id));
    let peer = PeerAddr((peer.parse::<std::net::IpAddr>().unwrap(), 4711).into());
    request.extensions_mut().insert(peer);
    request
}
