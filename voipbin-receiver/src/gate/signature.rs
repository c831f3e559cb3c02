use std::fmt;

use hmac::{Hmac, Mac};
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName};
use sha2::Sha256;

/// The header that the platform signs with. Header names are compared without regard to case; on
/// the wire the platform spells it `X-Voipbin-Signature`.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-voipbin-signature");

const PREFIX: &[u8] = b"sha256=";
const DIGEST: usize = 32;

/// The HMAC-SHA256 of a body, as a request tells it or as a key makes it. It has no `Debug`: an
/// expected one is a secret.
pub(super) struct Signature(pub(super) [u8; DIGEST]);

/// Why a delivery's signature was not accepted. Answered 401, which the sender takes as final;
/// without a body 503, for a redirect took it.
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

impl Signature {
    /// The one of a request.
    pub(super) fn of_request(
        header: &HeaderName,
        headers: &HeaderMap,
    ) -> Result<Self, SignatureErrorKind> {
        let mut values = headers.get_all(header).iter();
        match (values.next(), values.next()) {
            (None, _) => Err(SignatureErrorKind::Missing),
            (Some(_), Some(_)) => Err(SignatureErrorKind::Repeated),
            (Some(value), None) => Self::decode(value),
        }
    }

    /// The one that a key, as its keyed state, makes of a body.
    pub(super) fn sign(mac: &Hmac<Sha256>, body: &[u8]) -> Self {
        let mac = mac.clone().chain_update(body);
        Self(mac.finalize().into_bytes().into())
    }

    /// Whether a key makes it of a body. Compares in constant time.
    pub(super) fn verify(&self, mac: &Hmac<Sha256>, body: &[u8]) -> bool {
        let mac = mac.clone().chain_update(body);
        mac.verify_slice(&self.0).is_ok()
    }

    /// Exactly `sha256=` and 64 lower-case digits: one spelling, so that a signature cannot be
    /// written in two ways.
    fn decode(value: &HeaderValue) -> Result<Self, SignatureErrorKind> {
        let digits = value
            .as_bytes()
            .strip_prefix(PREFIX)
            .ok_or(SignatureErrorKind::Prefix)?;
        if digits.len() != 2 * DIGEST {
            return Err(SignatureErrorKind::Length);
        }
        // Without a branch for each digit, so that many are looked at in one step.
        let is_digit = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        if !digits.iter().fold(true, |all, digit| all & is_digit(digit)) {
            return Err(SignatureErrorKind::Hex);
        }
        // Letters have bit 6, and count from 1.
        let nibble = |digit: u8| (digit & 0xf) + 9 * (digit >> 6);
        let mut digest = [0; DIGEST];
        let (pairs, _) = digits.as_chunks::<2>();
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high) << 4 | nibble(*low);
        }
        Ok(Self(digest))
    }
}
