use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::request::Parts;

use super::forwarded;
use super::network::Networks;

/// The address at the other end of the connection, as an extension of the request: whoever mounts
/// the receiver says with it who its peer is.
///
/// [`allow_sources`](crate::ReceiverBuilder::allow_sources) and the limits for each source need it.
/// Put in the address that the connection was accepted from, and nothing out of a header: that is
/// for [`trust_proxies`](crate::ReceiverBuilder::trust_proxies).
///
/// axum tells the address to extractors, and passes it on so:
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::extract::{ConnectInfo, Request};
/// use axum::middleware::map_request;
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::gate::PeerAddr;
///
/// async fn tell_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
///     request.extensions_mut().insert(PeerAddr(peer));
///     request
/// }
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret("the-webhook-secret-of-a-customer")
///     .allow_sources(["198.51.100.0/24"])
///     .on(voipbin_receiver::catalog::Any, || async {})
///     .build()?;
/// let app: axum::Router = axum::Router::new()
///     .route_service("/voipbin/webhook", receiver.service())
///     .layer(map_request(tell_peer));
/// let service = app.into_make_service_with_connect_info::<SocketAddr>();
/// # drop(service);
/// // axum::serve(listener, service).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAddr {
    /// This client: the peer, or what trusted proxies tell of it.
    Known(IpAddr),
    /// A trusted proxy does not tell, or not clearly.
    Ambiguous {
        /// The proxy.
        proxy: IpAddr,
    },
    /// Nobody says who the peer is.
    Unknown,
}

/// A request that the allow-list keeps out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceError {
    /// A public address that is not on the list.
    NotAllowed(IpAddr),
    /// An address of a private network, which cannot be the platform's.
    Private(IpAddr),
    /// A trusted proxy that names no client.
    Ambiguous { proxy: IpAddr },
    /// The server does not say who the peer is.
    NoPeer,
}

/// Which sources are allowed, and whose word is taken for them.
#[derive(Debug, Default)]
pub(crate) struct SourceFilter {
    /// `None` is everybody.
    pub(crate) allowed: Option<Networks>,
    pub(crate) proxies: Networks,
}

impl SourceFilter {
    /// Where the request comes from, unless it may not come from there.
    pub(crate) fn check(&self, head: &Parts) -> Result<ClientAddr, SourceError> {
        let source = self.source(head);
        let Some(allowed) = &self.allowed else {
            return Ok(source);
        };
        Err(match source {
            ClientAddr::Known(client) if allowed.contain(client) => return Ok(source),
            ClientAddr::Known(proxy) if self.proxies.contain(proxy) => {
                SourceError::Ambiguous { proxy }
            }
            ClientAddr::Known(client) if is_private(client) => SourceError::Private(client),
            ClientAddr::Known(client) => SourceError::NotAllowed(client),
            ClientAddr::Ambiguous { proxy } => SourceError::Ambiguous { proxy },
            ClientAddr::Unknown => SourceError::NoPeer,
        })
    }

    /// The client's address, as far as it is known; else that of the proxy that does not tell it.
    pub(crate) fn client(&self, head: &Parts) -> Option<IpAddr> {
        match self.source(head) {
            ClientAddr::Known(client) => Some(client),
            ClientAddr::Ambiguous { proxy } => Some(proxy),
            ClientAddr::Unknown => None,
        }
    }

    /// Whether a trusted proxy handed the request over.
    pub(crate) fn is_from_proxy(&self, head: &Parts) -> bool {
        peer(head).is_some_and(|peer| self.proxies.contain(peer))
    }

    fn source(&self, head: &Parts) -> ClientAddr {
        let Some(peer) = peer(head) else {
            return ClientAddr::Unknown;
        };
        if !self.proxies.contain(peer) {
            return ClientAddr::Known(peer);
        }
        match forwarded::client(&head.headers, &self.proxies) {
            Some(client) => ClientAddr::Known(client),
            None => ClientAddr::Ambiguous { proxy: peer },
        }
    }
}

fn peer(head: &Parts) -> Option<IpAddr> {
    let PeerAddr(peer) = head.extensions.get()?;
    Some(peer.ip().to_canonical())
}

/// Whether a request from this address was handed over inside of a network, as by a proxy.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            // RFC 6598: what carriers and clouds use between them and their customers.
            let is_shared = first == 100 && second & 0xc0 == 64;
            address.is_private() || address.is_loopback() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed(client) => write!(
                f,
                "{client} is not in allow_sources; if it is a proxy of yours, name it in trust_proxies"
            ),
            Self::Private(client) => write!(
                f,
                "{client} is a private address and not in allow_sources: if it is a proxy of yours, name it in trust_proxies"
            ),
            Self::Ambiguous { proxy } => write!(
                f,
                "the trusted proxy {proxy} tells no client, or not clearly: it must set one of Forwarded and X-Forwarded-For, and where both come they must agree"
            ),
            Self::NoPeer => f.write_str(
                "allow_sources is set and the server does not say who its peer is: have it add a gate::PeerAddr to the request's extensions",
            ),
        }
    }
}
