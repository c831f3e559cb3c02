use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::access_key::AccessKeys;
use super::builder::PlatformBuilder;
use super::connector::Https;
use super::credential::Credential;
use super::customer::{Customer, WritableFields, secret};
use super::destination::Destination;
use super::error::{PlatformError, PlatformErrorKind};
use super::rate_limiter::RateLimiter;
use super::webhooks::Webhooks;
#[cfg(feature = "stream")]
use super::websocket::{self, WebSocket};
use crate::gate::Secret;

const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// How often a request is sent at most, that is answered 429.
const TRIES: u32 = 3;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A connection to VoIPBIN's API. A cheap clone; clones share connections and the rate limit.
///
/// A request that is answered 429 is sent again, three times in all: after what `Retry-After` says,
/// and without it after 1 and 2 s. Nothing else is sent twice. Redirects are not followed.
///
/// All methods that ask the platform need a tokio runtime with its clock and I/O enabled. Dropping
/// one of their futures gives the request up, and a change may have been made.
#[derive(Clone, Debug)]
pub struct Platform {
    pub(super) shared: Arc<Shared>,
    pub(super) cookie: Option<HeaderValue>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) https: Https,
    /// For what is not the platform: it trusts what this machine trusts and nothing else.
    pub(super) probe_client: Https,
    /// Without a slash at its end.
    pub(super) base: String,
    pub(super) timeout: Duration,
    pub(super) rate_limiter: RateLimiter,
}

impl Platform {
    /// What to connect to, and as whom.
    pub fn builder() -> PlatformBuilder {
        PlatformBuilder::new()
    }

    /// The same connection for somebody else.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::Credential`] when it cannot be one.
    pub fn with_credential(&self, credential: &Credential) -> Result<Self, PlatformError> {
        Ok(Self {
            shared: Arc::clone(&self.shared),
            cookie: Some(credential.cookie()?),
        })
    }

    /// Exchanges a user and password for a token, which is good for 7 days. No credential is sent.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::Authentication`] when the platform does not accept them: it tells
    /// no more.
    pub async fn login(
        &self,
        username: &str,
        password: &Secret,
    ) -> Result<Credential, PlatformError> {
        #[derive(Serialize)]
        struct Login<'a> {
            username: &'a str,
            password: &'a str,
        }
        #[derive(Deserialize)]
        struct Answer {
            #[serde(deserialize_with = "secret")]
            token: Option<Secret>,
        }

        let anybody = Self {
            shared: Arc::clone(&self.shared),
            cookie: None,
        };
        let login = Login {
            username,
            password: password.expose(),
        };
        let answer: Answer = anybody
            .ask(Method::POST, "/auth/login", Some(&login))
            .await
            .map_err(|error| match error.kind() {
                PlatformErrorKind::Rejected => error.with_kind(PlatformErrorKind::Authentication),
                _ => error,
            })?;
        let unreadable = || PlatformError::new(PlatformErrorKind::Unreadable, "POST /auth/login");
        Ok(Credential::token(answer.token.ok_or_else(unreadable)?))
    }

    /// The account, with the secret that its events are signed with.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::Permission`] for who is neither its admin nor its manager.
    pub async fn customer(&self) -> Result<Customer, PlatformError> {
        let path = "/v1.0/customer";
        let customer: Customer = self.ask(Method::GET, path, None::<&()>).await?;
        match customer.id.is_empty() {
            true => Err(PlatformError::new(
                PlatformErrorKind::Unreadable,
                subject(&Method::GET, path),
            )),
            false => Ok(customer),
        }
    }

    pub(super) async fn write_customer(
        &self,
        fields: &WritableFields,
    ) -> Result<(), PlatformError> {
        let path = "/v1.0/customer";
        self.exchange(Method::PUT, path, Some(fields)).await?;
        Ok(())
    }

    /// Where the account's events are sent.
    pub fn destination(&self) -> Destination {
        Destination::new(self.clone())
    }

    /// The account's access keys.
    pub fn access_keys(&self) -> AccessKeys {
        AccessKeys(self.clone())
    }

    /// The webhooks of the tutorial, which no installation is known to serve today.
    pub fn webhooks(&self) -> Webhooks {
        Webhooks(self.clone())
    }

    pub(super) fn probe_client(&self) -> &Https {
        &self.shared.probe_client
    }

    /// Asks, and reads the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, PlatformError> {
        let subject = subject(&method, path);
        let answer = self.exchange(method, path, body).await?;
        // The reader's own error may show what it read.
        serde_json::from_slice(&answer)
            .map_err(|_| PlatformError::new(PlatformErrorKind::Unreadable, subject))
    }

    /// Asks, until the answer is not 429.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
        let subject = subject(&method, path);
        let unusable = |kind| PlatformError::new(kind, subject.clone());
        let body = match body.map(serde_json::to_vec).transpose() {
            Ok(body) => body.map(|body| Bytes::from_owner(Zeroizing::new(body))),
            Err(_) => return Err(unusable(PlatformErrorKind::Request)),
        };
        let uri = self
            .uri(path)
            .ok_or_else(|| unusable(PlatformErrorKind::Url))?;
        let mut tried = 0;
        loop {
            self.shared.rate_limiter.acquire().await;
            let request = self.request(method.clone(), uri.clone(), body.clone());
            let once = timeout(self.shared.timeout, self.once(&subject, request));
            let (status, headers, answer) = once
                .await
                .map_err(|_| unusable(PlatformErrorKind::Timeout))??;
            if status.is_success() {
                return Ok(answer);
            }
            let error = PlatformError::answered(subject.clone(), status, &answer);
            if status != StatusCode::TOO_MANY_REQUESTS {
                return Err(error);
            }
            tried += 1;
            let asked = retry_after(&headers);
            match wait(tried, asked) {
                Some(wait) => sleep(wait).await,
                None => return Err(error.after(asked)),
            }
        }
    }

    fn uri(&self, path: &str) -> Option<Uri> {
        format!("{}{path}", self.shared.base).parse().ok()
    }

    fn request(&self, method: Method, uri: Uri, body: Option<Bytes>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("voipbin-receiver/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(cookie) = &self.cookie {
            headers.insert(COOKIE, cookie.clone());
        }
        if let Some(body) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Full::new(body);
        }
        request
    }

    async fn once(
        &self,
        subject: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Zeroizing<Vec<u8>>), PlatformError> {
        let (head, body) = self.send(subject, request).await?.into_parts();
        Ok((head.status, head.headers, read(subject, body).await?))
    }

    async fn send(
        &self,
        subject: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, PlatformError> {
        let response = self.shared.https.0.request(request).await;
        response.map_err(|error| PlatformError::transport(subject.to_owned(), error))
    }
}

/// An answer to its end.
async fn read(subject: &str, body: Incoming) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
    let mut body = Limited::new(body, LARGEST_ANSWER);
    let mut read = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let kind = match error.is::<LengthLimitError>() {
                true => PlatformErrorKind::TooLarge,
                false => PlatformErrorKind::Broken,
            };
            PlatformError::new(kind, subject).because(error)
        })?;
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

#[cfg(feature = "stream")]
impl Platform {
    /// Opens the platform's WebSocket. What refuses it is answered before the upgrade.
    pub(crate) async fn websocket(&self) -> Result<WebSocket, PlatformError> {
        const PATH: &str = "/v1.0/ws";
        let subject = subject(&Method::GET, PATH);
        let error = |kind| PlatformError::new(kind, subject.clone());
        let uri = self
            .uri(PATH)
            .ok_or_else(|| error(PlatformErrorKind::Url))?;
        let (request, key) = websocket::handshake(self.request(Method::GET, uri, None))
            .ok_or_else(|| error(PlatformErrorKind::Request))?;
        self.shared.rate_limiter.acquire().await;
        let upgrade = async {
            let response = self.send(&subject, request).await?;
            let status = response.status();
            if status == StatusCode::SWITCHING_PROTOCOLS {
                return websocket::upgrade(response, &key)
                    .await
                    .map_err(|why| error(PlatformErrorKind::Broken).because(why));
            }
            let retry_after = retry_after(response.headers());
            let answer = read(&subject, response.into_body()).await?;
            let refused = PlatformError::answered(subject.clone(), status, &answer);
            Err(match status.is_success() {
                // What it does with the token of somebody who is no user of the account.
                true => refused.with_kind(PlatformErrorKind::Permission),
                false => refused.after(retry_after),
            })
        };
        let upgrade = timeout(self.shared.timeout, upgrade).await;
        upgrade.map_err(|_| error(PlatformErrorKind::Timeout))?
    }
}

fn subject(method: &Method, path: &str) -> String {
    // The query may hold what somebody looks for.
    let path = path.split('?').next().unwrap_or_default();
    format!("{method} {path}")
}

/// `Retry-After` in seconds, as the platform writes it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// How long to wait after so many tries, if another one makes sense.
fn wait(tried: u32, asked: Option<Duration>) -> Option<Duration> {
    let wait = asked.unwrap_or(Duration::from_secs(1 << tried.saturating_sub(1).min(6)));
    (tried < TRIES && wait <= LONGEST_WAIT).then_some(wait)
}

/// An id as it stands in a path. What is not of an id's characters would be another path.
pub(crate) fn in_path(id: &str) -> Result<&str, PlatformError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match !id.is_empty() && id.len() <= 64 && id.bytes().all(plain) {
        true => Ok(id),
        false => Err(PlatformError::new(PlatformErrorKind::Id, "an id")),
    }
}

/// A token of a page as it stands in a query, where it can be one.
pub(crate) fn in_query(token: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-:._".contains(&byte);
    Some(token).filter(|token| !token.is_empty() && token.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_what_the_platform_asks_or_grows_and_ends() {
        let seconds = Duration::from_secs;
        assert_eq!(wait(1, None), Some(seconds(1)));
        assert_eq!(wait(2, None), Some(seconds(2)));
        assert_eq!(wait(3, None), None);
        assert_eq!(wait(1, Some(seconds(7))), Some(seconds(7)));
        assert_eq!(wait(1, Some(seconds(61))), None);
    }

    #[test]
    fn an_id_is_no_path() {
        assert!(in_path("c7c1e226-8c86-4b43-9606-2d5bb2059a09").is_ok());
        for id in ["", "..", "a/b", "a?b", "a b", &"a".repeat(65)] {
            assert_eq!(in_path(id).unwrap_err().kind(), PlatformErrorKind::Id);
        }
    }
}
