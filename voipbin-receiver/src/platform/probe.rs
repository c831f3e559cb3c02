//! What answers at a destination, as far as this machine can see.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::connector::Https;
use super::destination::Warning;
use super::unfit::is_refused;

const PATIENCE: Duration = Duration::from_secs(15);
const LARGEST: usize = 64 * 1024;
/// An event that no handler is for. Without a signature: this crate's receiver refuses it.
const EVENT: &[u8] = br#"{"type":"voipbin_receiver_probe","data":{}}"#;

/// Sends an unsigned event, and tells what does not look like a receiver that the platform reaches.
pub(super) async fn probe(client: &Https, uri: &Uri, private_hosts: bool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !private_hosts {
        warnings.extend(resolve(uri).await);
    }
    warnings.extend(ask(client, uri).await);
    warnings
}

async fn resolve(uri: &Uri) -> Option<Warning> {
    let host = uri.host()?.trim_matches(['[', ']']);
    // The port is for the resolver alone.
    let found = timeout(PATIENCE, lookup_host((host, 0))).await;
    let Ok(Ok(addresses)) = found else {
        return Some(Warning::Unresolved);
    };
    let refused = addresses
        .into_iter()
        .any(|address| is_refused(address.ip()));
    refused.then_some(Warning::PrivateAddress)
}

async fn ask(client: &Https, uri: &Uri) -> Option<Warning> {
    let mut request = Request::new(Full::new(Bytes::from_static(EVENT)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);
    let answer = async {
        let (head, body) = client.0.request(request).await.ok()?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.ok()?.to_bytes();
        Some((head.status, body))
    };
    let Ok(Some((status, body))) = timeout(PATIENCE, answer).await else {
        return Some(Warning::NoAnswer);
    };
    if status.is_redirection() {
        return Some(Warning::Redirects(status));
    }
    (status.as_u16() != 401 || !is_ours(&body)).then_some(Warning::NotThisReceiver(status))
}

/// Whether this is how the receiver refuses what has no signature.
fn is_ours(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refused<'a> {
        status: &'a str,
        code: &'a str,
    }
    serde_json::from_slice::<Refused<'_>>(body)
        .is_ok_and(|answer| answer.status == "refused" && answer.code.starts_with("signature_"))
}

/// What a URI tells by itself.
pub(super) fn look(uri: &Uri) -> Option<Warning> {
    (uri.scheme() == Some(&Scheme::HTTP)).then_some(Warning::PlainHttp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Receiver;
    use crate::catalog::Any;
    use tower::ServiceExt;

    #[tokio::test]
    async fn the_refusal_of_a_receiver_is_known_as_ours() {
        let builder = Receiver::builder().secret("AbCdEfGhIjKlMnOpQrStUvWxYz012-_9");
        let receiver = builder.on(Any, || async {}).build().unwrap();
        let request = Request::post("/")
            .body(Full::new(Bytes::from_static(EVENT)))
            .unwrap();
        let answer = receiver.service().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(is_ours(
            &answer.into_body().collect().await.unwrap().to_bytes()
        ));
        for other in [
            "",
            "{}",
            r#"{"status":"refused","code":"body_empty"}"#,
            "<html>",
        ] {
            assert!(!is_ours(other.as_bytes()));
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_warned_of() {
        let uri = Uri::from_static("https://localhost/");
        assert_eq!(resolve(&uri).await, Some(Warning::PrivateAddress));
    }
}
