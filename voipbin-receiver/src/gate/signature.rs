use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName};
use sha2::Sha256;

use super::secret::Secret;
use crate::event::{EventKey, Proof, VerifiedBody};

/// The header that the platform signs with. Header names are compared without regard to case; on
/// the wire the platform spells it `X-Voipbin-Signature`.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-voipbin-signature");

const PREFIX: &[u8] = b"sha256=";
const DIGEST: usize = 32;

/// Why a delivery's signature was not accepted. Answered 401, which the sender takes as final.
///
/// The text names likely causes; it never holds the signature, the expected value or a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureError(SignatureErrorKind);

/// What is wrong with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureErrorKind {
    /// There is no signature header.
    Missing,
    /// There is more than one.
    Repeated,
    /// The value does not begin with `sha256=`.
    Prefix,
    /// What follows the prefix is not 64 characters long.
    Length,
    /// The 64 characters are not all lower-case hexadecimal digits.
    Hex,
    /// It is well formed and no configured secret makes it.
    Mismatch,
    /// It is well formed, and there is no body that it could be of.
    NoBody,
}

impl SignatureError {
    /// What is wrong, to match on.
    #[must_use]
    pub fn kind(&self) -> SignatureErrorKind {
        self.0
    }
}

impl From<SignatureErrorKind> for SignatureError {
    fn from(kind: SignatureErrorKind) -> Self {
        Self(kind)
    }
}

impl SignatureErrorKind {
    /// The stable code of the answer.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Mismatch => "signature_mismatch",
            Self::NoBody => "signature_without_body",
            Self::Repeated | Self::Prefix | Self::Length | Self::Hex => "signature_malformed",
        }
    }

    /// What is wrong and what to look at.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Missing => {
                "the signature header is missing: the customer has no webhook secret, a proxy dropped the header, or the request is not from VoIPBIN; unsigned requests are accepted only after allow_unsigned"
            }
            Self::Repeated => {
                "the signature header came more than once: a proxy added its own, or the request was put together by hand"
            }
            Self::Prefix => "the signature must begin with sha256= in lower case",
            Self::Length => {
                "the signature must have exactly 64 hexadecimal digits after sha256=: it was cut, or is not a SHA-256"
            }
            Self::Hex => "the signature must be lower-case hexadecimal digits after sha256=",
            Self::NoBody => {
                "there is a signature and no body: a redirect from http to https or to another path drops the body, so give VoIPBIN the final URL"
            }
            Self::Mismatch => {
                "no configured secret makes this signature: the secret is another customer's, was decoded or trimmed, or a proxy or framework changed the body before it got here (only the raw bytes verify)"
            }
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.sentence())
    }
}

impl std::error::Error for SignatureError {}

/// Checks signatures against all configured secrets.
pub(crate) struct Verifier {
    pub(crate) header: HeaderName,
    /// The keyed states, so that a request pays for its body alone.
    keys: Vec<Hmac<Sha256>>,
    allow_unsigned: bool,
}

impl Verifier {
    pub(crate) fn new(header: HeaderName, secrets: &[Secret], allow_unsigned: bool) -> Self {
        let keys = secrets
            .iter()
            // HMAC takes a key of any length, so none is dropped here.
            .filter_map(|secret| Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok())
            .collect();
        Self {
            header,
            keys,
            allow_unsigned,
        }
    }

    /// Checks the raw bytes. With secrets, a wrong signature is refused even where a missing one is
    /// allowed; without any there is nothing to check a signature against.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        bytes: Bytes,
        owned: bool,
    ) -> Result<VerifiedBody, SignatureError> {
        let unsigned = |bytes: Bytes| {
            let key = EventKey::of_unsigned(&bytes);
            VerifiedBody {
                bytes,
                owned,
                proof: Proof::Unsigned,
                key,
            }
        };
        if self.keys.is_empty() {
            return Ok(unsigned(bytes));
        }

        let mut values = headers.get_all(&self.header).iter();
        let signature = match (values.next(), values.next()) {
            (None, _) if self.allow_unsigned => return Ok(unsigned(bytes)),
            (None, _) => return Err(SignatureErrorKind::Missing.into()),
            (Some(_), Some(_)) => return Err(SignatureErrorKind::Repeated.into()),
            (Some(value), None) => decode(value)?,
        };

        let matches = |key: &Hmac<Sha256>| {
            // Compares in constant time.
            key.clone()
                .chain_update(&bytes)
                .verify_slice(&signature)
                .is_ok()
        };
        if self.keys.iter().any(matches) {
            let key = EventKey::of_signed(&signature);
            Ok(VerifiedBody {
                bytes,
                owned,
                proof: Proof::Signed,
                key,
            })
        } else {
            // A redirect leaves the old signature on a request that has lost its body.
            let kind = if bytes.is_empty() {
                SignatureErrorKind::NoBody
            } else {
                SignatureErrorKind::Mismatch
            };
            Err(kind.into())
        }
    }
}

/// Exactly `sha256=` and 64 lower-case digits: one spelling, so that a signature cannot be written
/// in two ways.
fn decode(value: &HeaderValue) -> Result<[u8; DIGEST], SignatureErrorKind> {
    let digits = value
        .as_bytes()
        .strip_prefix(PREFIX)
        .ok_or(SignatureErrorKind::Prefix)?;
    if digits.len() != 2 * DIGEST {
        return Err(SignatureErrorKind::Length);
    }
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(SignatureErrorKind::Hex),
    };
    let mut digest = [0; DIGEST];
    let (pairs, _) = digits.as_chunks::<2>();
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests;
