use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use super::client::{Platform, Shared};
use super::connector::Https;
use super::credential::Credential;
use super::error::{PlatformError, PlatformErrorKind};
use super::rate_limiter::RateLimiter;
use super::unfit::is_this_machine;

/// The public installation.
const PUBLIC: &str = "https://api.voipbin.net";
const TIMEOUT: Duration = Duration::from_secs(30);
const REQUESTS_PER_SECOND: u32 = 5;

/// What to connect to. Made by [`Platform::builder`].
#[must_use = "it does nothing until it is built"]
pub struct PlatformBuilder {
    base_url: String,
    credential: Option<Credential>,
    certificates: Vec<CertificateDer<'static>>,
    timeout: Duration,
    requests_per_second: u32,
    plain_http: bool,
}

impl PlatformBuilder {
    pub(super) fn new() -> Self {
        Self {
            base_url: PUBLIC.to_owned(),
            credential: None,
            certificates: Vec::new(),
            timeout: TIMEOUT,
            requests_per_second: REQUESTS_PER_SECOND,
            plain_http: false,
        }
    }

    /// Where the platform is. Default: `https://api.voipbin.net`. A `/v1.0` at its end is left out.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Who asks. Without one, only [`Platform::login`] works.
    pub fn credential(mut self, credential: Credential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Trusts the certificates of this PEM file too, beside those that the machine trusts: for an
    /// installation of your own.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::Certificate`] when the file cannot be read or holds none.
    pub fn ca_file(mut self, file: impl AsRef<Path>) -> Result<Self, PlatformError> {
        let file = file.as_ref();
        let unusable =
            || PlatformError::new(PlatformErrorKind::Certificate, file.display().to_string());
        let read = CertificateDer::pem_file_iter(file)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .map_err(|error| unusable().because(error))?;
        if read.is_empty() {
            return Err(unusable());
        }
        self.certificates.extend(read);
        Ok(self)
    }

    /// How long an answer may take, to its last byte. Default: 30 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many requests are sent in a second at most. Default: 5, as the platform's 17 are shared
    /// by all programs of the account. Zero counts as one.
    pub fn requests_per_second(mut self, requests: u32) -> Self {
        self.requests_per_second = requests;
        self
    }

    /// Allows `http://` to another machine: whoever is between reads the credential. Default: only
    /// to this one.
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// With [`PlatformErrorKind::Url`], [`PlatformErrorKind::Credential`] or
    /// [`PlatformErrorKind::Certificate`].
    pub fn build(self) -> Result<Platform, PlatformError> {
        let base = base(&self.base_url, self.plain_http)
            .ok_or_else(|| PlatformError::new(PlatformErrorKind::Url, "the platform"))?;
        let https = |trusted: &[CertificateDer<'static>]| {
            Https::new(trusted).map_err(|error| {
                PlatformError::new(PlatformErrorKind::Certificate, "the platform").because(error)
            })
        };
        let cookie = self.credential.map(|credential| credential.cookie());
        Ok(Platform {
            shared: Arc::new(Shared {
                https: https(&self.certificates)?,
                probe_client: https(&[])?,
                base,
                timeout: self.timeout,
                rate_limiter: RateLimiter::per_second(self.requests_per_second),
            }),
            cookie: cookie.transpose()?,
        })
    }
}

/// Shows nothing of the URL, in which a password may stand that is refused later.
impl fmt::Debug for PlatformBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformBuilder")
            .field("credential", &self.credential)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn base(url: &str, plain_http: bool) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme()?, uri.authority()?);
    let secure = *scheme == Scheme::HTTPS
        || *scheme == Scheme::HTTP && (plain_http || is_this_machine(authority.host()));
    let alone = !url.contains(['#', '?']) && !authority.as_str().contains('@');
    let path = uri.path().trim_end_matches('/');
    let path = path
        .strip_suffix("/v1.0")
        .unwrap_or(path)
        .trim_end_matches('/');
    (secure && alone).then(|| format!("{scheme}://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_taken_with_and_without_its_version() {
        for (url, expected) in [
            ("https://api.voipbin.net", "https://api.voipbin.net"),
            ("https://api.voipbin.net/", "https://api.voipbin.net"),
            ("https://api.voipbin.net/v1.0", "https://api.voipbin.net"),
            (
                "https://pbx.example.com:8443/api/v1.0/",
                "https://pbx.example.com:8443/api",
            ),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:8080/v1.0", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(base(url, false).as_deref(), Some(expected), "{url}");
        }
        for url in [
            "",
            "api.voipbin.net",
            "/v1.0",
            "ftp://api.voipbin.net",
            "http://api.voipbin.net",
            "http://127.0.0.1.example.com",
            "https://a:b@api.voipbin.net",
            "https://api.voipbin.net/?a",
            "https://api.voipbin.net/#a",
        ] {
            assert_eq!(base(url, false), None, "{url}");
        }
        assert!(base("http://pbx.example.com", true).is_some());
    }
}
