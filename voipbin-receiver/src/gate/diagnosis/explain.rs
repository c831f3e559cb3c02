use std::fmt;

use super::{BodyChange, Cause, SecretChange};

impl Cause {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Verified { .. } => "verified",
            Self::NoSecret => "no_secret",
            Self::HeaderMissing => "header_missing",
            Self::HeaderRepeated => "header_repeated",
            Self::HeaderMalformed { .. } => "header_malformed",
            Self::BodyMissing => "body_missing",
            Self::BodyChanged { .. } => "body_changed",
            Self::SecretChanged { .. } => "secret_changed",
            Self::BodyRewritten => "body_rewritten",
            Self::OtherSecret => "other_secret",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified { secret } => write!(f, "the signature is that of the secret {secret}"),
            Self::NoSecret => f.write_str("there is no secret to check the signature with: give the customer's webhook_secret"),
            Self::HeaderMissing => f.write_str(
                "there is no signature header: the customer has no webhook secret, a proxy dropped the header, or the request is not from VoIPBIN",
            ),
            Self::HeaderRepeated => f.write_str(
                "there is more than one signature header: a proxy added its own, or the request was put together by hand",
            ),
            Self::HeaderMalformed { kind, secret } => {
                f.write_str(kind.sentence())?;
                match secret {
                    Some(secret) => write!(f, "; read leniently, it is that of the secret {secret}"),
                    None => Ok(()),
                }
            }
            Self::BodyMissing => f.write_str(
                "there is a signature and no body: a redirect (301, 302 or 303, from http to https or to another path) took it, so give VoIPBIN the final URL",
            ),
            Self::BodyChanged { change, secret } => write!(f, "{change}; the original is signed with the secret {secret}"),
            Self::SecretChanged { change, secret } => write!(f, "the secret {secret} {change}"),
            Self::BodyRewritten => f.write_str(
                "the body is not as VoIPBIN writes it: most likely a proxy or framework parsed it and wrote it anew, so hand on the raw bytes; or another secret signed it",
            ),
            Self::OtherSecret => f.write_str(
                "the body looks untouched, so most likely another secret signed it: another customer's, or one that was replaced",
            ),
        }
    }
}

impl fmt::Display for BodyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineEndAdded => "a line end was added to the body",
            Self::LineEndRemoved => {
                "a line end was taken from the body, as `curl -d @file` does: use --data-binary"
            }
            Self::Padded => "blanks or a byte order mark were put around the body",
        })
    }
}

impl fmt::Display for SecretChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Padded => "has blanks or line ends around it: trim it",
            Self::Quoted => "has quotes around it: leave them out",
            Self::Hex => "was encoded as hexadecimal digits: give the webhook_secret as it stands",
            Self::Base64 => "was encoded in Base64: give the webhook_secret as it stands",
        })
    }
}
