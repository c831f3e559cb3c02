//! Settings of who may come in, and with how much.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::ReceiverBuilder;
use crate::build_error::{BuildError, BuildErrorKind};
use crate::clock::Clock;
use crate::gate::{
    Gate, InFlight, Keyring, Limits, Networks, RateSettings, SIGNATURE_HEADER, Secret,
    SecretOrigin, SecretSource, SourceFilter, Verifier,
};
use crate::inbox::Guarantees;

#[derive(Debug)]
pub(super) struct GateSettings {
    secrets: Vec<Secret>,
    origins: Vec<SecretOrigin>,
    allow_unsigned: bool,
    signature_header: HeaderName,
    /// `None` is everybody.
    allowed: Option<Vec<String>>,
    proxies: Vec<String>,
    limits: Limits,
    pub(super) rates: RateSettings,
    pub(super) max_event_age: Option<Duration>,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            secrets: Vec::new(),
            origins: Vec::new(),
            allow_unsigned: false,
            signature_header: SIGNATURE_HEADER,
            allowed: None,
            proxies: Vec::new(),
            limits: Limits::new(),
            rates: RateSettings::default(),
            max_event_age: None,
        }
    }
}

impl ReceiverBuilder {
    /// Adds a secret that signatures are checked with. Several may be given, for a rotation: a
    /// delivery is accepted when any of them matches.
    ///
    /// It is the customer's `webhook_secret` as it stands, never decoded. One that is empty, or has
    /// blanks around it or control characters in it, is an error of `build`; one of less than 16
    /// bytes is logged as a warning.
    pub fn secret(mut self, secret: impl Into<Secret>) -> Self {
        self.gate.secrets.push(secret.into());
        self
    }

    /// Adds the secret in a file, as [`Secret::from_file`] reads it: once now, and again at each
    /// [`refresh`](crate::gate::Secrets::refresh). Its label is the path.
    ///
    /// A file that cannot be read, or holds no secret, is an error of `build`. While one replaces
    /// the other, give the old and the new secret in a file each.
    ///
    /// ```
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::catalog::Any;
    ///
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("voipbin-secret");
    /// # std::fs::write(&path, "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9\n")?;
    /// let receiver = Receiver::builder()
    ///     .secret_file(&path)
    ///     .on(Any, || async {})
    ///     .build()?;
    ///
    /// // Later, on SIGHUP or once a minute:
    /// receiver.secrets().refresh().await?;
    /// # Ok(()) }
    /// ```
    pub fn secret_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.gate.origins.push(SecretOrigin::File(path.into()));
        self
    }

    /// Adds secrets that something else knows; see [`SecretSource`]. It is asked at each
    /// [`refresh`](crate::gate::Secrets::refresh) and not by `build`: call that before the server
    /// starts.
    ///
    /// As long as it has not answered, or when it failed the last time, a signature that no known
    /// secret makes is answered 503, and the sender tries again.
    pub fn secret_source(mut self, source: impl SecretSource) -> Self {
        self.gate
            .origins
            .push(SecretOrigin::Source(Box::new(source)));
        self
    }

    /// Accepts deliveries without a signature header; off by default.
    ///
    /// For local trials, and for customers whose secret is empty. Where secrets are given as well,
    /// a signature that is there must still match.
    pub fn allow_unsigned(mut self) -> Self {
        self.gate.allow_unsigned = true;
        self
    }

    /// The header that carries the signature; [`SIGNATURE_HEADER`] by default.
    pub fn signature_header(mut self, name: HeaderName) -> Self {
        self.gate.signature_header = name;
        self
    }

    /// Accepts requests from these addresses and networks alone; from everywhere by default. Called
    /// again, it adds to them.
    ///
    /// Every other public address is answered 403 before the body is read. The sender takes that as
    /// final: when the platform moves to another address, events are lost until it is here. The
    /// signature is what tells the platform from others; this keeps strangers from having theirs
    /// checked.
    ///
    /// Who sends is told by [`PeerAddr`](crate::gate::PeerAddr), an extension of the request;
    /// without it every request is refused, with a 503. Behind a proxy the peer is the proxy: see
    /// [`trust_proxies`](Self::trust_proxies). So a private address that is not here gets a 503 as
    /// well: it is no platform's, and likely a proxy that is not named there. An IPv4 address in
    /// IPv6 form, `::ffff:192.0.2.1`, is the IPv4 one.
    ///
    /// A text that is no network is an error of `build`, and so is an empty list.
    ///
    /// ```
    /// use voipbin_receiver::{BuildErrorKind, Receiver};
    /// use voipbin_receiver::catalog::Any;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .allow_sources(["198.51.100.7", "203.0.113.0/24", "2001:db8::/32"])
    ///     .on(Any, || async {})
    ///     .build()?;
    ///
    /// let misspelt = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .allow_sources(["203.0.113.0/33"])
    ///     .on(Any, || async {})
    ///     .build();
    /// assert_eq!(misspelt.err().map(|error| error.kind()), Some(BuildErrorKind::BadSetting));
    /// # Ok(()) }
    /// ```
    pub fn allow_sources<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let allowed = self.gate.allowed.get_or_insert_default();
        allowed.extend(networks.into_iter().map(Into::into));
        self
    }

    /// Takes the word of these proxies for where a request comes from; of none by default. Called
    /// again, it adds to them.
    ///
    /// When the peer is one of them, `Forwarded` (RFC 7239) and `X-Forwarded-For` are read from
    /// their end, and the first address that is no trusted proxy's is the client: what comes before
    /// was written by the client itself. An element that is missing, malformed, `unknown` or hidden
    /// (`_name`) ends the search without one, and so do two headers that differ. An allow-list then
    /// refuses the request with a 503, for the proxy can be mended.
    ///
    /// Each of these proxies must append the address of its caller to one of the two headers, and
    /// nobody else may be able to call from their addresses.
    ///
    /// ```
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::catalog::Any;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .allow_sources(["203.0.113.0/24"])
    ///     // The load balancer and the ingress behind it.
    ///     .trust_proxies(["10.1.0.0/16", "10.2.0.4"])
    ///     .on(Any, || async {})
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    pub fn trust_proxies<I>(mut self, networks: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let proxies = networks.into_iter().map(Into::into);
        self.gate.proxies.extend(proxies);
        self
    }

    /// How old an event may be; any age by default. Older ones get a 403, which the sender takes as
    /// final: they would only get older.
    ///
    /// The signature covers no time: whoever has seen a request, as a proxy with a log has, can
    /// send it again for ever. Within the inbox's `identity_ttl` it is a copy and dropped; this
    /// refuses it after. So it may be no longer than that, nor shorter than the 100 seconds in
    /// which the sender's tries come; `build` checks both. Where the clocks of platform and
    /// receiver may differ, make it shorter by as much.
    ///
    /// The age is counted from [`Delivery::last_change`], which is signed. Events without one pass,
    /// and so does everything that is no event of the catalogue. An event of a resource whose own
    /// time did not move with it, as of a reaction to an old message, is refused as well: watch
    /// `stats().refused(RefusalReason::TooOld)` when you set it, and prefer hours to minutes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use voipbin_receiver::Receiver;
    /// use voipbin_receiver::catalog::Any;
    /// use voipbin_receiver::inbox::MemoryInbox;
    ///
    /// # fn main() -> Result<(), voipbin_receiver::BuildError> {
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let receiver = Receiver::builder()
    ///     .secret("the-webhook-secret-of-a-customer")
    ///     .inbox(MemoryInbox::builder().identity_ttl(day).build())
    ///     .max_event_age(day - Duration::from_secs(60))
    ///     .on(Any, || async {})
    ///     .build()?;
    /// # Ok(()) }
    /// ```
    ///
    /// [`Delivery::last_change`]: crate::Delivery::last_change
    pub fn max_event_age(mut self, age: Duration) -> Self {
        self.gate.max_event_age = Some(age);
        self
    }

    /// How much a request may be, and how many there may be; see [`Limits`] for each and its
    /// default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.gate.limits = limits;
        self
    }
}

/// What is older is refused, and what is younger must be remembered.
pub(super) fn check_event_age(age: Duration, guarantees: Guarantees) -> Result<(), BuildError> {
    /// Three tries of up to 15 s with pauses of 1 s, and room for a slow network.
    const SHORTEST: Duration = Duration::from_secs(100);
    let range = match guarantees.identity_ttl {
        None => "left out with this inbox, which does not say how long it remembers identities: see Guarantees::knowing_copies_for".into(),
        Some(ttl) if age > ttl => format!(
            "at most the identity_ttl of the inbox, {ttl:?}: an event that is forgotten and not too old could be sent again"
        ),
        Some(_) if age < SHORTEST => {
            format!("at least {SHORTEST:?}: the sender's further tries would be refused")
        }
        Some(_) => return Ok(()),
    };
    Err(BuildError::setting("max_event_age", &range))
}

impl GateSettings {
    /// A worker takes nothing in, signed or not.
    pub(super) fn of_worker(mut self) -> Self {
        self.allow_unsigned = true;
        self
    }

    pub(super) fn build(self, clock: &Arc<dyn Clock>) -> Result<Gate, BuildError> {
        if self.secrets.is_empty() && self.origins.is_empty() && !self.allow_unsigned {
            return Err(BuildError::new(
                BuildErrorKind::NoSecret,
                "no secret was given, so nobody could be told from the platform: add `.secret(…)` with the customer's webhook_secret, or say `.allow_unsigned()` to accept anybody's deliveries".into(),
            ));
        }
        let checked = self.limits.check();
        checked.map_err(|(setting, range)| BuildError::setting(setting, range))?;
        let sources = self.sources()?;
        let rates = self.rates.build(clock).map_err(|setting| {
            BuildError::setting(setting, "1 to 1,000,000 requests, at once too")
        })?;
        let keyring = Keyring::new(self.secrets, self.origins, self.allow_unsigned)
            .map_err(BuildError::secret)?;
        Ok(Gate {
            sources,
            rates,
            in_flight: InFlight::new(self.limits.in_flight),
            limits: self.limits,
            verifier: Arc::new(Verifier::new(self.signature_header, keyring)),
        })
    }

    fn sources(&self) -> Result<SourceFilter, BuildError> {
        let networks = |setting: &str, texts: &[String]| {
            Networks::parse(texts).map_err(|error| BuildError::network(setting, &error))
        };
        let allowed = match &self.allowed {
            Some(texts) if texts.is_empty() => {
                return Err(BuildError::setting(
                    "allow_sources",
                    "at least one network: an empty list would refuse everybody",
                ));
            }
            Some(texts) => Some(networks("allow_sources", texts)?),
            None => None,
        };
        Ok(SourceFilter {
            allowed,
            proxies: networks("trust_proxies", &self.proxies)?,
        })
    }
}
