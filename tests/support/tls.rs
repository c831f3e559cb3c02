use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, CertifiedKey, date_time_ymd, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use voipbin_receiver::mount::Tls;

const NAME: &str = "hooks.example.com";

/// A certificate of the tests' own and its key, in files.
pub struct Certificate {
    name: &'static str,
    directory: TempDir,
    made: CertifiedKey<rcgen::KeyPair>,
}

impl Certificate {
    /// A new one.
    pub fn new() -> Self {
        Self::for_name(NAME)
    }

    /// A new one for this host.
    pub fn for_name(name: &'static str) -> Self {
        let certificate = Self {
            name,
            directory: tempfile::tempdir().unwrap(),
            made: generate(name),
        };
        certificate.write();
        certificate
    }

    /// Makes another one, in the same files.
    pub fn renew(&mut self) {
        self.made = generate(self.name);
        self.write();
    }

    /// Has it end at the beginning of 2020.
    pub fn end(&mut self) {
        let mut parameters = CertificateParams::new([NAME.to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(2019, 10, 1);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        self.made.cert = parameters.self_signed(&self.made.signing_key).unwrap();
        self.write();
    }

    fn write(&self) {
        std::fs::write(self.chain(), self.made.cert.pem()).unwrap();
        std::fs::write(self.key(), self.made.signing_key.serialize_pem()).unwrap();
    }

    /// The file of the certificate.
    pub fn chain(&self) -> PathBuf {
        self.directory.path().join("fullchain.pem")
    }

    /// The file of the key.
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("privkey.pem")
    }

    /// The same for a server.
    pub fn tls(&self) -> Tls {
        Tls::from_pem_files(self.chain(), self.key()).unwrap()
    }

    /// As it is in a handshake.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.made.cert.der()
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

fn generate(name: &str) -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed([name.to_owned()]).unwrap()
}

/// A client that trusts these certificates alone and offers these protocols; VoIPBIN's sender
/// offers none.
pub fn offering<'a>(
    protocols: &[&str],
    trusted: impl IntoIterator<Item = &'a Certificate>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.der().clone()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    config
}

/// Connects, and shakes hands.
pub async fn tls_connect(
    address: SocketAddr,
    client: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
}
