use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{HeaderMap, HeaderName};

use super::diagnosis::{Candidate, Diagnosis, diagnose_with};
use super::keyring::Keyring;
use crate::event::{Identity, Proof, VerifiedBody};

/// The header that the platform signs with. Header names are compared without regard to case; on
/// the wire the platform spells it `X-Voipbin-Signature`.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-voipbin-signature");

const PREFIX: &[u8] = b"sha256=";
pub(super) const DIGEST: usize = 32;

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

/// Why a body is not taken for the platform's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum VerifyError {
    /// With the likely cause, where somebody wants to know it.
    Signature(SignatureError, Option<Box<Diagnosis>>),
    /// It is signed, and not all secrets are known at present.
    SecretsIncomplete,
}

impl From<SignatureErrorKind> for VerifyError {
    fn from(kind: SignatureErrorKind) -> Self {
        Self::Signature(kind.into(), None)
    }
}

/// Checks signatures against all secrets of a keyring.
pub(crate) struct Verifier {
    header: HeaderName,
    pub(super) keyring: Keyring,
    /// Whether refusals are explained also where no log wants it.
    explains: AtomicBool,
    /// The second of Unix time in which a refusal was last explained.
    explained: AtomicU64,
}

/// The longest body that is looked into for a log line, in bytes.
const EXPLAINED: usize = 64 << 10;

impl Verifier {
    /// Whether there is a signature, right or wrong.
    pub(crate) fn is_signed(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.header)
    }

    pub(crate) fn new(header: HeaderName, keyring: Keyring) -> Self {
        Self {
            header,
            keyring,
            explains: AtomicBool::new(false),
            explained: AtomicU64::new(0),
        }
    }

    /// Why the signature of a request does not fit.
    pub(super) fn diagnose(&self, headers: &HeaderMap, body: &[u8]) -> Diagnosis {
        let set = self.keyset.keys();
        let secrets = set.keys.iter().map(|key| Candidate {
            label: Arc::clone(&key.label),
            secret: &key.secret,
        });
        diagnose_with(&secrets.collect::<Vec<_>>(), &self.header, headers, body)
    }

    /// Explains refusals from here on.
    #[cfg(feature = "inspector")]
    pub(crate) fn explain_refusals(&self) {
        self.explains.store(true, Ordering::Relaxed);
    }

    /// Finds out why a signature was refused, and tells a log at `debug`: once a second at most,
    /// for anybody can cause it and it takes many times the work of a check.
    fn explain(&self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Option<Box<Diagnosis>> {
        let wanted =
            self.explains.load(Ordering::Relaxed) || tracing::enabled!(tracing::Level::DEBUG);
        if !wanted || body.len() > EXPLAINED {
            return None;
        }
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            + 1;
        if self.explained.swap(second, Ordering::Relaxed) == second {
            return None;
        }
        let diagnosis = self.diagnose(headers, body);
        tracing::debug!(cause = diagnosis.code(), %diagnosis, "why a signature was refused");
        Some(Box::new(diagnosis))
    }

    /// Checks the raw bytes. With secrets, a wrong signature is refused even where a missing one is
    /// allowed; without any there is nothing to check a signature against.
    ///
    /// Takes no lock, and no memory unless the log wants an explanation.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        bytes: Bytes,
        owned: bool,
        now: SystemTime,
    ) -> Result<VerifiedBody, VerifyError> {
        let unsigned = |bytes: Bytes| {
            let identity = Identity::of_unsigned(&bytes);
            VerifiedBody {
                bytes,
                owned,
                proof: Proof::Unsigned,
                identity,
            }
        };
        let set = self.keyset.keys();
        let allow_unsigned = self.keyring.allow_unsigned;
        if set.keys.is_empty() && set.complete && allow_unsigned {
            return Ok(unsigned(bytes));
        }

        let signature = match single(&self.header, headers) {
            Err(SignatureErrorKind::Missing) if allow_unsigned => return Ok(unsigned(bytes)),
            Err(SignatureErrorKind::Missing) => return Err(SignatureErrorKind::Missing.into()),
            read => read.map_err(|kind| {
                VerifyError::Signature(kind.into(), self.explain(headers, &bytes, now))
            })?,
        };

        if let Some(key) = set.keys.iter().find(|key| key.verifies(&signature, &bytes)) {
            key.note_use(now);
            return Ok(VerifiedBody {
                bytes,
                owned,
                proof: Proof::Signed,
                identity: Identity::of_signed(&signature),
            });
        }
        let diagnosis = self.explain(headers, &bytes, now);
        Err(if bytes.is_empty() {
            // A redirect leaves the old signature on a request that has lost its body.
            VerifyError::Signature(SignatureErrorKind::NoBody.into(), diagnosis)
        } else if set.complete {
            VerifyError::Signature(SignatureErrorKind::Mismatch.into(), diagnosis)
        } else {
            VerifyError::SecretsIncomplete
        })
    }
}

impl Verifier {
    /// The identity that a body has when it comes as a webhook, for one that comes otherwise: by
    /// the secret that signed the latest webhook, or the first one while there was none.
    pub(crate) fn identity(&self, body: &[u8]) -> Identity {
        let set = self.keyset.keys();
        let newest = set.keys.iter().rev().max_by_key(|key| key.last_used());
        match newest {
            Some(key) => Identity::of_signed(&key.sign(body)),
            None => Identity::of_unsigned(body),
        }
    }
}

/// The signature of a request: the only one.
pub(super) fn single(
    header: &HeaderName,
    headers: &HeaderMap,
) -> Result<[u8; DIGEST], SignatureErrorKind> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(SignatureErrorKind::Missing),
        (Some(_), Some(_)) => Err(SignatureErrorKind::Repeated),
        (Some(value), None) => decode(value),
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
    Ok(digest)
}

#[cfg(test)]
mod tests;
