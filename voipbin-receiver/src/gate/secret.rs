use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

// zeroize: overwrites memory in a way that the compiler does not leave out.
use zeroize::Zeroizing;

use super::secret_error::{SecretError, SecretErrorKind};
use crate::small_file;

/// A webhook secret. The string's own bytes are the key: it is never decoded, whatever it looks
/// like.
///
/// The customer's secret is the field `webhook_secret` of `GET /v1.0/customer`. `Debug` does not
/// show it, and its memory is overwritten when it is dropped; copies that others made of it are
/// theirs.
///
/// ```
/// use voipbin_receiver::Receiver;
/// use voipbin_receiver::catalog::Any;
/// use voipbin_receiver::gate::Secret;
///
/// # fn main() -> Result<(), voipbin_receiver::BuildError> {
/// let receiver = Receiver::builder()
///     .secret(Secret::from("my-new-webhook-secret-at-VoIPBIN").with_label("2026"))
///     .secret(Secret::from("my-old-webhook-secret-at-VoIPBIN").with_label("2025"))
///     .on(Any, || async {})
///     .build()?;
/// // When this stays `None`, the old one can go.
/// assert_eq!(receiver.secrets().last_used("2025"), None);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Secret {
    label: Option<Arc<str>>,
    value: Zeroizing<Box<str>>,
}

/// The longest secret that is read from a file, in bytes. The platform's have 32 or 64.
const LONGEST: usize = 4096;

/// What is shorter than this is likely to be cut, in bytes.
const SHORTEST: usize = 16;

impl Secret {
    /// Names the secret, for [`Secrets::usage`](super::Secrets::usage) and for logs: the label is
    /// no secret. Without one it is `secret-1`, `secret-2` and so on, by its place.
    #[must_use]
    pub fn with_label(self, label: impl Into<Arc<str>>) -> Self {
        Self {
            label: Some(label.into()),
            ..self
        }
    }

    /// The name it was given.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The secret in an environment variable, labelled with the variable's name.
    ///
    /// # Errors
    ///
    /// When the variable is not set or not UTF-8, or its value is empty, has blanks around it or
    /// control characters in it.
    ///
    /// ```
    /// use voipbin_receiver::gate::{Secret, SecretErrorKind};
    ///
    /// let secret = Secret::from_env("A_VARIABLE_THAT_IS_NOT_SET");
    /// assert_eq!(secret.map_err(|error| error.kind()).err(), Some(SecretErrorKind::NotSet));
    /// ```
    pub fn from_env(variable: &str) -> Result<Self, SecretError> {
        let subject = || format!("the environment variable `{variable}`");
        let value = match std::env::var(variable) {
            Ok(value) => Zeroizing::new(value),
            Err(std::env::VarError::NotPresent) => {
                return Err(SecretError::new(SecretErrorKind::NotSet, subject()));
            }
            // Its cause holds the value.
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(SecretError::new(SecretErrorKind::NotText, subject()));
            }
        };
        let secret = Self::from(value.as_str()).with_label(variable);
        secret.check(subject)?;
        Ok(secret)
    }

    /// The secret in a file, labelled with the file's path. One line end after it is left out, as
    /// editors and `echo` write it; any other blank is an error. Reads the file once: one that
    /// changes is for [`secret_file`](crate::ReceiverBuilder::secret_file).
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no regular file, is over 4096 bytes or not UTF-8, or its
    /// secret is empty, has blanks around it or control characters in it.
    ///
    /// ```
    /// use voipbin_receiver::gate::Secret;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("voipbin-secret");
    /// std::fs::write(&path, "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9\n")?;
    /// let secret = Secret::from_file(&path)?;
    /// assert_eq!(secret.label(), path.to_str());
    /// # Ok(()) }
    /// ```
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let path = path.as_ref();
        let subject = || format!("the file `{}`", path.display());
        const LINE_END: usize = "\r\n".len();
        let bytes =
            small_file::read(path, LONGEST + LINE_END).map_err(|error| match error.kind() {
                ErrorKind::FileTooLarge => SecretError::new(SecretErrorKind::TooLong, subject()),
                _ => SecretError::unreadable(subject(), error),
            })?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| SecretError::new(SecretErrorKind::NotText, subject()))?;
        let value = text
            .strip_suffix('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line))
            .unwrap_or(text);
        if value.len() > LONGEST {
            return Err(SecretError::new(SecretErrorKind::TooLong, subject()));
        }
        let secret = Self::from(value).with_label(path.to_string_lossy());
        secret.check(subject)?;
        Ok(secret)
    }

    /// The secret itself, to be stored somewhere. Keep it out of logs and errors.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Its label, or the one that it has by its place.
    pub(super) fn label_at(&self, number: usize) -> Arc<str> {
        match &self.label {
            Some(label) => Arc::clone(label),
            None => format!("secret-{number}").into(),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.value.as_bytes()
    }

    /// No secret of the platform is empty, has blanks around it or control characters in it: such a
    /// one was cut or copied badly, and would refuse every delivery. HMAC fills keys up with zeros,
    /// so one of NUL characters would be the empty key, which anybody can sign with.
    pub(crate) fn check(&self, subject: impl FnOnce() -> String) -> Result<(), SecretError> {
        const MARK: char = '\u{feff}';
        let value = self.expose();
        let bare = value.trim_matches(|char: char| char.is_whitespace() || char == MARK);
        let kind = if bare.is_empty() {
            SecretErrorKind::Empty
        } else if bare.len() != value.len() {
            SecretErrorKind::Padded
        } else if value.contains(char::is_control) {
            SecretErrorKind::Control
        } else {
            return Ok(());
        };
        Err(SecretError::new(kind, subject()))
    }

    /// Whether it is so short that a part of it may be missing, or that it can be guessed.
    pub(super) fn is_short(&self) -> bool {
        self.as_bytes().len() < SHORTEST
    }
}

impl<S: Into<Box<str>>> From<S> for Secret {
    fn from(secret: S) -> Self {
        Self {
            label: None,
            value: Zeroizing::new(secret.into()),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.label {
            Some(label) => write!(f, "Secret({label}, redacted)"),
            None => f.write_str("Secret(redacted)"),
        }
    }
}
