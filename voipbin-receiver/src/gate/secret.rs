use std::fmt;

/// A webhook secret. The string's own bytes are the key: it is never decoded, whatever it looks
/// like.
///
/// The customer's secret is the field `webhook_secret` of `GET /v1.0/customer`. `Debug` does not
/// show it.
#[derive(Clone)]
pub struct Secret(Box<str>);

/// Why a secret cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretFault {
    Empty,
    Padded,
}

impl Secret {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// No secret of the platform is empty or has blanks around it: such a one was cut or copied
    /// badly, and would refuse every delivery.
    pub(crate) fn fault(&self) -> Option<SecretFault> {
        if self.0.trim().is_empty() {
            Some(SecretFault::Empty)
        } else if self.0.trim().len() != self.0.len() {
            Some(SecretFault::Padded)
        } else {
            None
        }
    }
}

impl<S: Into<Box<str>>> From<S> for Secret {
    fn from(secret: S) -> Self {
        Self(secret.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}
