use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a certificate and its key cannot be used. It never shows a key.
#[derive(Debug)]
pub struct TlsError {
    kind: TlsErrorKind,
    path: PathBuf,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with a certificate or its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// A file cannot be read.
    Unreadable,
    /// A file has a beginning or an end in it that has no other, or something between them that is
    /// not base64.
    NotPem,
    /// There is no certificate in the file.
    NoCertificate,
    /// The certificate is none, or one of a kind that is not known.
    UnusableCertificate,
    /// There is no private key in the file, or one that is encrypted.
    NoKey,
    /// The private key is none, or one of a kind that is not known.
    UnusableKey,
    /// The key is that of another certificate.
    Mismatch,
}

impl TlsError {
    pub(super) fn new(kind: TlsErrorKind, path: &Path) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            source: None,
        }
    }

    pub(super) fn because(self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(error.into()),
            ..self
        }
    }

    /// What is wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> TlsErrorKind {
        self.kind
    }

    /// The file that it is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.kind {
            TlsErrorKind::Unreadable => write!(
                f,
                "{path} cannot be read: give a file in the format PEM that this process may read"
            ),
            TlsErrorKind::NotPem => write!(
                f,
                "{path} is damaged: write it anew, in the format PEM, as a whole"
            ),
            TlsErrorKind::NoCertificate => write!(
                f,
                "{path} has no certificate in the format PEM: give the file that begins with the server's own, such as fullchain.pem"
            ),
            TlsErrorKind::UnusableCertificate => write!(
                f,
                "the first certificate in {path} cannot be used: give an X.509 certificate of version 3"
            ),
            TlsErrorKind::NoKey => write!(
                f,
                "{path} has no private key in the format PEM that is not encrypted: give such a one, such as privkey.pem"
            ),
            TlsErrorKind::UnusableKey => write!(
                f,
                "the private key in {path} cannot be used: give an RSA key of 2048 to 4096 bits, an ECDSA key on P-256 or P-384, or an Ed25519 key"
            ),
            TlsErrorKind::Mismatch => write!(
                f,
                "the private key in {path} is not that of the certificate: give the two that were made together, with the server's own certificate before those of its issuers"
            ),
        }
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_ref();
        source.map(|source| &**source as &(dyn Error + 'static))
    }
}
