use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use tokio_rustls::rustls;

/// Why the platform could not be asked, or did not do what it was asked.
///
/// What the platform says in words is not kept, as it may name people; its `reason` and
/// `request_id` are.
#[derive(Debug)]
pub struct PlatformError {
    kind: PlatformErrorKind,
    /// What was asked: a method and a path, or a setting.
    subject: String,
    status: Option<StatusCode>,
    reason: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The ways in which asking the platform fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PlatformErrorKind {
    /// The base URL cannot be one, or would carry the credential in plain text to another machine.
    Url,
    /// The credential cannot be one: it is empty, or holds what no key and no token does.
    Credential,
    /// The certificates to trust cannot be read.
    Certificate,
    /// An id that cannot be one.
    Id,
    /// A request that makes no sense, such as a key that expires within a day. It was not sent.
    Request,
    /// No connection: the name does not resolve, or nobody listens.
    Connect,
    /// No handshake of TLS: most often a certificate that is not trusted.
    Tls,
    /// No answer in time. A change may have been made.
    Timeout,
    /// The connection broke. A change may have been made.
    Broken,
    /// The answer is a redirect, which is not followed: the credential is for one host.
    Redirect,
    /// The credential is not accepted, or a login is wrong.
    Authentication,
    /// The credential may not do this, or the account is frozen.
    Permission,
    /// There is no such thing.
    NotFound,
    /// The platform has no such route.
    NoRoute,
    /// The state of the thing does not allow it.
    Conflict,
    /// Too many requests, of this customer or this address, and waiting did not help.
    RateLimited,
    /// The platform failed, or is overloaded.
    Unavailable,
    /// The platform does not accept the request.
    Rejected,
    /// The answer is more than 16 MiB.
    TooLarge,
    /// The answer is not what the platform sends: something else may be there.
    Unreadable,
}

/// The longest `reason` or `request_id` that is kept.
const LONGEST: usize = 64;

impl PlatformError {
    pub(crate) fn new(kind: PlatformErrorKind, subject: impl Into<String>) -> Self {
        Self {
            kind,
            subject: subject.into(),
            status: None,
            reason: None,
            request_id: None,
            retry_after: None,
            source: None,
        }
    }

    pub(super) fn because(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// An exchange that had no answer.
    pub(super) fn transport(subject: String, source: hyper_util::client::legacy::Error) -> Self {
        let kind = match source.is_connect() {
            true if is_tls(&source) => PlatformErrorKind::Tls,
            true => PlatformErrorKind::Connect,
            false => PlatformErrorKind::Broken,
        };
        Self::new(kind, subject).because(source)
    }

    /// An answer that is none of success.
    pub(super) fn answered(subject: String, status: StatusCode, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(default)]
            error: Said,
        }
        #[derive(Default, Deserialize)]
        struct Said {
            reason: Option<String>,
            request_id: Option<String>,
        }

        let said = serde_json::from_slice::<Body>(body)
            .unwrap_or_default()
            .error;
        let reason = said.reason.and_then(word);
        let kind = match status.as_u16() {
            300..=399 => PlatformErrorKind::Redirect,
            401 => PlatformErrorKind::Authentication,
            403 => PlatformErrorKind::Permission,
            404 if reason.as_deref() == Some("ROUTE_NOT_FOUND") => PlatformErrorKind::NoRoute,
            404 => PlatformErrorKind::NotFound,
            409 => PlatformErrorKind::Conflict,
            429 => PlatformErrorKind::RateLimited,
            500.. => PlatformErrorKind::Unavailable,
            _ => PlatformErrorKind::Rejected,
        };
        Self {
            status: Some(status),
            reason,
            request_id: said.request_id.and_then(word),
            ..Self::new(kind, subject)
        }
    }

    pub(super) fn after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    pub(super) fn with_kind(self, kind: PlatformErrorKind) -> Self {
        Self { kind, ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> PlatformErrorKind {
        self.kind
    }

    /// The status, when there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The platform's word for it, such as `PERMISSION_DENIED`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What the platform's support finds the request by.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// How long the platform asked to wait, when it said.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// What looks like one word: others wrote it.
fn word(text: String) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (text.len() <= LONGEST && !text.is_empty() && text.bytes().all(plain)).then_some(text)
}

fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An io::Error gives as its source not what it holds, but the source of that.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|held| held as _),
            None => error.source(),
        };
    }
    false
}

impl fmt::Display for PlatformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use PlatformErrorKind as Kind;

        let what = match self.kind {
            Kind::Url => {
                "the base URL must be https://, or http:// to this machine, without user, query or fragment"
            }
            Kind::Credential => {
                "it cannot be an access key or a token: it is empty, or was cut or copied badly"
            }
            Kind::Certificate => "there is no certificate that can be used",
            Kind::Id => "this cannot be an id",
            Kind::Request => "the platform would not accept it, and it was not sent",
            Kind::Connect => "no connection: check the base URL and the network",
            Kind::Tls => {
                "no handshake of TLS: is its certificate one of your own? give its authority"
            }
            Kind::Timeout => "no answer in time; a change may have been made",
            Kind::Broken => "the connection broke; a change may have been made",
            Kind::Redirect => {
                "it answers with a redirect, which is not followed: check the base URL"
            }
            Kind::Authentication => {
                "the credential or login is not accepted: it may be wrong, expired, or of another installation"
            }
            Kind::Permission => {
                "not permitted: this takes an access key or an admin's token, of an account that is not frozen"
            }
            Kind::NotFound => "there is no such thing",
            Kind::NoRoute => "this platform has no such route",
            Kind::Conflict => "its state does not allow this",
            Kind::RateLimited => {
                "too many requests, for all keys and agents of the account together: try again later"
            }
            Kind::Unavailable => "the platform failed or is overloaded: try again later",
            Kind::Rejected => "the platform does not accept the request",
            Kind::TooLarge => "the answer is more than 16 MiB",
            Kind::Unreadable => "the answer is none of the platform's: check the base URL",
        };
        write!(f, "{}: {what}", self.subject)?;
        let status = self.status.map(|status| status.as_u16().to_string());
        let request_id = self
            .request_id
            .as_ref()
            .map(|id| format!("request id {id}"));
        let told = [status, self.reason.clone(), request_id];
        let told: Vec<String> = told.into_iter().flatten().collect();
        match told.is_empty() {
            true => Ok(()),
            false => write!(f, " ({})", told.join(", ")),
        }
    }
}

impl StdError for PlatformError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_says_is_kept_as_far_as_it_is_one_word() {
        let body = br#"{"error":{"status":"x","reason":"PERMISSION_DENIED","message":"jo@example.com","request_id":"r-1"}}"#;
        let error = PlatformError::answered("GET /".into(), StatusCode::FORBIDDEN, body);
        assert_eq!(error.kind(), PlatformErrorKind::Permission);
        assert_eq!(error.reason(), Some("PERMISSION_DENIED"));
        assert_eq!(error.request_id(), Some("r-1"));
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("PERMISSION_DENIED") && shown.contains("r-1"));
        assert!(!shown.contains("example.com"));

        for reason in ["two words", "\\u001b[2J", &"x".repeat(65)] {
            let body = format!(r#"{{"error":{{"reason":"{reason}"}}}}"#);
            let error =
                PlatformError::answered(String::new(), StatusCode::NOT_FOUND, body.as_bytes());
            assert_eq!(
                (error.reason(), error.kind()),
                (None, PlatformErrorKind::NotFound)
            );
        }
    }
}
