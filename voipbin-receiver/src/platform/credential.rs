use std::fmt;
use std::path::Path;

use http::HeaderValue;
use zeroize::Zeroizing;

use super::error::{PlatformError, PlatformErrorKind};
use crate::gate::{Secret, SecretError};

/// Who asks the platform: an access key, or a token of a login.
///
/// It is sent as a cookie, which the platform reads first and no access log holds, and never in a
/// URL. `Debug` does not show it, and its memory is overwritten when it is dropped; copies that the
/// HTTP client makes of a request are that client's.
#[derive(Clone)]
pub struct Credential {
    kind: Kind,
    secret: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AccessKey,
    Token,
}

/// What every access key begins with.
const KEY_PREFIX: &str = "vb_";

impl Credential {
    /// An access key, `vb_…`. It can do all that an admin of the account can, and cannot be
    /// narrowed.
    #[must_use]
    pub fn access_key(key: impl Into<Secret>) -> Self {
        Self {
            kind: Kind::AccessKey,
            secret: key.into(),
        }
    }

    /// The token of a login, a JWT. It is good for 7 days.
    #[must_use]
    pub fn token(token: impl Into<Secret>) -> Self {
        Self {
            kind: Kind::Token,
            secret: token.into(),
        }
    }

    /// The access key or token in a file that holds nothing else, told apart by the key's `vb_`.
    ///
    /// # Errors
    ///
    /// Those of [`Secret::from_file`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        let secret = Secret::from_file(path)?;
        let kind = match secret.expose().starts_with(KEY_PREFIX) {
            true => Kind::AccessKey,
            false => Kind::Token,
        };
        Ok(Self { kind, secret })
    }

    /// The header `Cookie`.
    pub(super) fn cookie(&self) -> Result<HeaderValue, PlatformError> {
        let unusable = || PlatformError::new(PlatformErrorKind::Credential, "the credential");
        // RFC 6265, cookie-octet: all else would end the cookie, or begin another one.
        let plain =
            |byte: u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        let secret = self.secret.expose();
        if secret.is_empty() || !secret.bytes().all(plain) {
            return Err(unusable());
        }
        let name = match self.kind {
            Kind::AccessKey => "accesskey",
            Kind::Token => "token",
        };
        let cookie = Zeroizing::new(format!("{name}={secret}"));
        let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| unusable())?;
        cookie.set_sensitive(true);
        Ok(cookie)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?}, redacted)", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_cookie_and_shown_by_nothing() {
        let key = Credential::access_key("vb_Abc-123");
        let cookie = key.cookie().unwrap();
        assert_eq!(cookie, "accesskey=vb_Abc-123");
        assert_eq!(Credential::token("a.b.c").cookie().unwrap(), "token=a.b.c");
        assert!(!format!("{key:?} {cookie:?}").contains("Abc"));
    }

    #[test]
    fn what_would_be_another_cookie_is_refused() {
        for value in ["", "a b", "a;token=b", "a,b", "a\r\nb", "a\"b", "\u{e9}"] {
            let error = Credential::access_key(value).cookie().unwrap_err();
            assert_eq!(error.kind(), PlatformErrorKind::Credential, "{value:?}");
        }
    }
}
