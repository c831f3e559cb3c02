use std::error::Error;
use std::fmt;
use std::io;

/// Why a secret cannot be used or had. It never shows one.
///
/// `Debug` has the message as well: it is what a `main` shows that returns this error.
pub struct SecretError {
    kind: SecretErrorKind,
    /// Which secret it is about.
    subject: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What is wrong with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretErrorKind {
    /// There is none, and unsigned deliveries are not allowed.
    NoSecret,
    /// It is empty, or nothing but blanks.
    Empty,
    /// It has blanks, line ends or a byte order mark around it.
    Padded,
    /// It has control characters in it, such as the zeros that a file can hold after a power cut.
    Control,
    /// The file is too long to hold one.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// The environment variable is not set.
    NotSet,
    /// The file cannot be read.
    Unreadable,
    /// Its label is empty, another's as well, or the secret itself.
    Label,
    /// A [`SecretSource`](super::SecretSource) failed or gave none.
    Source,
}

impl SecretError {
    pub(crate) fn new(kind: SecretErrorKind, subject: String) -> Self {
        Self {
            kind,
            subject,
            source: None,
        }
    }

    pub(super) fn unreadable(subject: String, error: io::Error) -> Self {
        Self {
            kind: SecretErrorKind::Unreadable,
            subject,
            source: Some(error.into()),
        }
    }

    pub(super) fn provider(number: usize, error: Option<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind: SecretErrorKind::Source,
            subject: format!("secret source number {number}"),
            source: error,
        }
    }

    /// What is wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> SecretErrorKind {
        self.kind
    }
}

impl fmt::Debug for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretError")
            .field("kind", &self.kind)
            .field("message", &format_args!("{self}"))
            .field("source", &self.source)
            .finish()
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            subject,
            source,
        } = self;
        match kind {
            SecretErrorKind::NoSecret => f.write_str(
                "no secret would be left, and nobody could be told from the platform: give at least one",
            ),
            SecretErrorKind::Empty => write!(f, "{subject} is empty: put the customer's webhook_secret there"),
            SecretErrorKind::Padded => write!(
                f,
                "{subject} has blanks, line ends or a byte order mark around it, as a copied line does: trim it"
            ),
            SecretErrorKind::Control => write!(
                f,
                "{subject} has control characters in it, as a damaged file has: write the customer's webhook_secret there anew"
            ),
            SecretErrorKind::TooLong => write!(
                f,
                "{subject} is too long for a secret: give the file that holds the customer's webhook_secret and nothing else"
            ),
            SecretErrorKind::NotText => write!(f, "{subject} is not UTF-8: it holds no secret of VoIPBIN"),
            SecretErrorKind::NotSet => write!(f, "{subject} is not set: put the customer's webhook_secret there"),
            SecretErrorKind::Unreadable => write!(f, "{subject} cannot be read"),
            SecretErrorKind::Label => write!(
                f,
                "{subject} has a label that is empty, another's as well, or the secret itself: choose another"
            ),
            SecretErrorKind::Source if source.is_some() => write!(f, "{subject} failed"),
            SecretErrorKind::Source => write!(f, "{subject} gave no secret"),
        }
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_ref();
        source.map(|source| &**source as &(dyn Error + 'static))
    }
}
