use std::error::Error;
use std::path::{Path, PathBuf};

use clap::Args;
use voipbin_receiver::mount::{Server, Tls};

use super::values::{default, wait};

/// The certificate.
#[derive(Args)]
pub(crate) struct TlsSettings {
    /// The file of the certificate for TLS and of its issuers' ones, in PEM; plain HTTP without it
    ///
    /// It is read again on SIGHUP and every --reload-interval.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,

    /// The file of the certificate's private key, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// How long the handshake of TLS may take
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(Server::DEFAULT_HANDSHAKE_TIMEOUT),
        value_parser = wait
    )]
    pub(super) handshake_timeout: humantime::Duration,
}

impl TlsSettings {
    pub(super) fn load(&self) -> Result<Option<Tls>, Box<dyn Error>> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(Tls::from_pem_files(certificate, key)?)),
            _ => Err(
                "a certificate and its key belong together: give tls_cert and tls_key, or none of them"
                    .into(),
            ),
        }
    }

    pub(super) fn key(&self) -> Option<&Path> {
        self.tls_key.as_deref()
    }
}
