use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::diagnosis::{Candidate, Diagnosis, diagnose_with};
use super::keyring::Keyring;
use super::signature::{Signature, SignatureError, SignatureErrorKind};
use crate::event::{Identity, Proof, VerifiedBody};

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
    always_explain: AtomicBool,
    /// The second of Unix time in which a refusal was last explained.
    last_explained: AtomicU64,
}

/// The longest body that is looked into for a log line, in bytes.
const LONGEST_EXPLAINED: usize = 64 << 10;

impl Verifier {
    /// Whether there is a signature, right or wrong.
    pub(crate) fn is_signed(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.header)
    }

    pub(crate) fn new(header: HeaderName, keyring: Keyring) -> Self {
        Self {
            header,
            keyring,
            always_explain: AtomicBool::new(false),
            last_explained: AtomicU64::new(0),
        }
    }

    /// Why the signature of a request does not fit.
    pub(super) fn diagnose(&self, headers: &HeaderMap, body: &[u8]) -> Diagnosis {
        let set = self.keyring.keys();
        let secrets = set.keys.iter().map(|key| Candidate {
            label: Arc::clone(&key.label),
            secret: &key.secret,
        });
        diagnose_with(&secrets.collect::<Vec<_>>(), &self.header, headers, body)
    }

    /// Explains refusals from here on.
    #[cfg(feature = "inspector")]
    pub(crate) fn explain_refusals(&self) {
        self.always_explain.store(true, Ordering::Relaxed);
    }

    /// Finds out why a signature was refused, and tells a log at `debug`: once a second at most,
    /// for anybody can cause it and it takes many times the work of a check.
    fn explain(&self, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Option<Box<Diagnosis>> {
        let wanted =
            self.always_explain.load(Ordering::Relaxed) || tracing::enabled!(tracing::Level::DEBUG);
        if !wanted || body.len() > LONGEST_EXPLAINED {
            return None;
        }
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs()
            + 1;
        if self.last_explained.swap(second, Ordering::Relaxed) == second {
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
        let set = self.keyring.keys();
        let allow_unsigned = self.keyring.allow_unsigned;
        if set.keys.is_empty() && set.complete && allow_unsigned {
            return Ok(unsigned(bytes));
        }

        let signature = match Signature::of_request(&self.header, headers) {
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
                identity: Identity::of_signed(&signature.0),
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

    /// The identity that a body has when it comes as a webhook, for one that comes otherwise: by
    /// the secret that signed the latest webhook, or the first one while there was none.
    pub(crate) fn identity(&self, body: &[u8]) -> Identity {
        let set = self.keyring.keys();
        let newest = set.keys.iter().rev().max_by_key(|key| key.last_used());
        match newest {
            Some(key) => Identity::of_signed(&key.sign(body).0),
            None => Identity::of_unsigned(body),
        }
    }
}

#[cfg(test)]
mod tests;
