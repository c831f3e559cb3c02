use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT,
};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;

use crate::gate::PeerAddr;

const SIGNATURE: HeaderName = HeaderName::from_static("x-voipbin-signature");
const LOCALHOST: HeaderValue = HeaderValue::from_static("localhost");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What one delivery sends: the same for each of its attempts.
#[derive(Clone)]
pub(super) struct RequestTemplate {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) signature: Option<HeaderValue>,
    /// Who the service is told that it comes from.
    pub(super) peer: Option<PeerAddr>,
}

impl RequestTemplate {
    /// As a client takes it: with the whole address as its target, as far as it was given.
    pub(super) fn addressed(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = self.request(body);
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = self.uri.scheme().cloned();
        parts.authority = host(&self.uri).and_then(|host| host.parse().ok());
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| origin_form(&self.uri));
        request
    }

    /// As a server sees it. The headers are put in in the order in which the platform's sender
    /// writes them.
    pub(super) fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let length = body.len();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = origin_form(&self.uri);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        let headers = request.headers_mut();
        let host = host(&self.uri).and_then(|host| HeaderValue::from_str(host).ok());
        headers.insert(HOST, host.unwrap_or(LOCALHOST));
        headers.insert(USER_AGENT, HeaderValue::from_static("Go-http-client/1.1"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(content_type) = &self.content_type {
            headers.insert(CONTENT_TYPE, content_type.clone());
        }
        if let Some(signature) = &self.signature {
            headers.insert(SIGNATURE, signature.clone());
        }
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        request
    }
}

fn origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
        .into()
}

/// The host with its port, without the user before it.
fn host(uri: &Uri) -> Option<&str> {
    uri.authority()?.as_str().rsplit('@').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(uri: &'static str) -> RequestTemplate {
        RequestTemplate {
            method: Method::POST,
            uri: Uri::from_static(uri),
            content_type: Some(JSON),
            signature: Some(HeaderValue::from_static("sha256=00")),
            peer: None,
        }
    }

    #[test]
    fn the_headers_come_in_the_order_of_the_platform() {
        let request = message("/hook").request(Bytes::from_static(b"{}"));
        let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            [
                "host",
                "user-agent",
                "content-length",
                "content-type",
                "x-voipbin-signature",
                "accept-encoding"
            ]
        );
        assert_eq!(request.headers()["content-length"], "2");
    }

    #[test]
    fn the_target_is_path_and_query_and_the_rest_goes_into_host() {
        let request =
            message("http://user:password@example.org:8080/hook?a=b").request(Bytes::new());
        assert_eq!(request.uri(), "/hook?a=b");
        assert_eq!(request.headers()["host"], "example.org:8080");
    }

    #[test]
    fn a_client_is_told_the_whole_address_without_its_user() {
        let target = |uri| message(uri).addressed(Bytes::new()).uri().to_string();
        assert_eq!(
            target("http://user:password@example.org:8080/hook?a=b"),
            "http://example.org:8080/hook?a=b"
        );
        assert_eq!(target("http://example.org"), "http://example.org/");
        assert_eq!(target("/hook"), "/hook");
    }

    #[test]
    fn an_address_without_path_or_without_host_is_completed() {
        let request = message("http://example.org").request(Bytes::new());
        assert_eq!(request.uri(), "/");
        let request = message("/hook").request(Bytes::new());
        assert_eq!(request.headers()["host"], "localhost");
    }
}
