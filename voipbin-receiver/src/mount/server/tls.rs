#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{self, CertificateError, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::connection::{Conn, ConnectionLimits, ConnectionService};
use super::tls_error::{TlsError, TlsErrorKind};
use super::transport::Transport;
use super::{Server, http1};
use crate::small_file;

/// The certificate of a [`Server`] and its key, which can change while the server runs.
///
/// TLS 1.2 and 1.3 by rustls. Clients prove nothing: the signature of a delivery does. A client
/// need not offer application protocols (ALPN), as VoIPBIN's sender does not; one that does must
/// offer `http/1.1`.
///
/// VoIPBIN checks the certificate: its name must be that of the URL, its issuer one that systems
/// know, and the file must hold the issuer's intermediate certificates too, behind its own. A
/// self-signed certificate is refused, and each event is lost after three tries.
///
/// A clone is the same certificate: keep one, and [`reload`](Self::reload) it when the files have
/// changed.
///
/// ```
/// use voipbin_receiver::mount::{Server, Tls, TlsError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let made = rcgen::generate_simple_self_signed(["hooks.example.com".to_owned()])?;
/// # let certificates = directory.path().join("fullchain.pem");
/// # let key = directory.path().join("privkey.pem");
/// # std::fs::write(&certificates, made.cert.pem())?;
/// # std::fs::write(&key, made.signing_key.serialize_pem())?;
/// let tls = Tls::from_pem_files(certificates, key)?;
/// let server = Server::new().tls(tls.clone());
///
/// // When the certificate was renewed, such as on SIGHUP. Open connections keep the old one.
/// if let Err(error) = tls.reload() {
///     eprintln!("the old certificate stays in use: {error}");
/// }
/// # drop(server);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    certificates: PathBuf,
    key: PathBuf,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    config: Arc<ServerConfig>,
    expires: Option<SystemTime>,
}

impl Tls {
    /// Reads the server's certificate, followed by those of its issuers, and its private key (PKCS
    /// #8, PKCS #1 or SEC 1; RSA, ECDSA or Ed25519) from files in the format PEM. They may be one
    /// file.
    ///
    /// It blocks while it reads them.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or does not hold what it should, or when the key is not the
    /// certificate's. Whether the certificate is valid today ([`expires`](Self::expires)), and for
    /// which name, is not checked.
    pub fn from_pem_files(
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let (certificates, key) = (certificates.into(), key.into());
        let current = ArcSwap::from_pointee(load(&certificates, &key)?);
        Ok(Self(Arc::new(Shared {
            certificates,
            key,
            current,
        })))
    }

    /// When the first of the certificates ends: the server's own or one of its issuers' that is
    /// sent with it. From then on VoIPBIN refuses the connection, tries three limits, and drops the
    /// event. `None` where a certificate does not say.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.0.current.load().expires
    }

    /// Reads the files again. Connections that come from now on get the new certificate; those that
    /// are there go on as they are.
    ///
    /// It blocks while it reads them.
    ///
    /// # Errors
    ///
    /// Those of [`from_pem_files`](Self::from_pem_files). The certificate that was in use stays in
    /// use then, also when only one of the two files had been replaced so far: try again when both
    /// are.
    pub fn reload(&self) -> Result<(), TlsError> {
        let Shared {
            certificates,
            key,
            current,
        } = &*self.0;
        current.store(Arc::new(load(certificates, key)?));
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("certificates", &self.0.certificates)
            .field("key", &self.0.key)
            .finish_non_exhaustive()
    }
}

/// When a certificate expires. rustls shows no dates, but its verifier looks at them first, and
/// names the one that a certificate is refused for: at the end of time, `notAfter`.
fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let certificate = ParsedCertificate::try_from(certificate).ok()?;
    let end_of_time = UnixTime::since_unix_epoch(Duration::MAX);
    let nobody = RootCertStore::empty();
    match verify_server_cert_signed_by_trust_anchor(&certificate, &nobody, &[], end_of_time, &[]) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
            not_after,
            ..
        })) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after.as_secs())),
        _ => None,
    }
}

fn load(certificates: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let (chain, private) = (read_chain(certificates)?, read_key(key)?);
    let expires = chain.iter().filter_map(not_after).min();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let made = builder.and_then(|builder| {
        let builder = builder.with_no_client_auth();
        builder.with_single_cert(chain, private)
    });
    let mut config = made.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::new(TlsErrorKind::Mismatch, key),
        rustls::Error::InvalidCertificate(_) => {
            TlsError::new(TlsErrorKind::UnusableCertificate, certificates).because(error)
        }
        // Without the cause, which is about a key.
        _ => TlsError::new(TlsErrorKind::UnusableKey, key),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded {
        config: Arc::new(config),
        expires,
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    /// Chains of a public authority have some 10 KiB.
    const LONGEST: usize = 1 << 20;
    small_file::read(path, LONGEST)
        .map_err(|error| TlsError::new(TlsErrorKind::Unreadable, path).because(error))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&read).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| TlsError::new(TlsErrorKind::NotPem, path))?;
    if chain.is_empty() {
        return Err(TlsError::new(TlsErrorKind::NoCertificate, path));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| {
        let kind = match error {
            pem::Error::NoItemsFound => TlsErrorKind::NoKey,
            _ => TlsErrorKind::NotPem,
        };
        TlsError::new(kind, path)
    })
}

impl Server {
    /// Speaks TLS with this certificate, and nothing else on that listener: what comes without is
    /// closed. The default is none, for a proxy in front that speaks TLS, or for tests.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.transport = Transport::Tls(tls);
        self
    }

    /// The default of [`handshake_timeout`](Self::handshake_timeout): 10 seconds.
    pub const DEFAULT_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

    /// How long the handshake of TLS may take, from the connection on. The default is 10 seconds,
    /// which is for how long VoIPBIN waits for it.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handshake = timeout;
        self
    }
}

/// Shakes hands, which is idleness to the server, and serves the connection to its end.
pub(super) async fn serve(
    tls: Tls,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    service: impl ConnectionService,
    limits: ConnectionLimits,
    conn: Arc<Conn>,
) {
    let mut handshake =
        pin!(TlsAcceptor::from(Arc::clone(&tls.0.current.load().config)).accept(stream));
    let handshake = poll_fn(|cx| {
        conn.reset_idle();
        handshake.as_mut().poll(cx)
    });
    let accepted = tokio::select! {
        accepted = timeout(limits.handshake, handshake) => accepted,
        () = conn.closing() => return,
    };
    match accepted {
        Ok(Ok(stream)) => http1::serve(stream, service, limits, conn).await,
        Ok(Err(error)) => conn.warnings.handshake_failed(&error),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}
