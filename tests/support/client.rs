use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// A client over TCP.
pub type HttpClient = Client<HttpConnector, Full<Bytes>>;

/// An HTTP client that behaves as the platform's: headers spelled as Go spells them, at most five
/// idle connections for at most 30 s, and no request repeated on another connection.
///
/// It needs tokio's real clock: a paused one jumps ahead while bytes are on their way.
pub fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(10)));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(5)
        .retry_canceled_requests(false)
        .http1_title_case_headers(true)
        .build(connector)
}
