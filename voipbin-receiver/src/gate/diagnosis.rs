//! Why a signature does not fit: for logs, tests and tools, never for an answer.

mod explain;
mod rewrite;

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit};
use http::HeaderMap;
use http::header::HeaderName;
use zeroize::Zeroizing;

use self::rewrite::{base64, hex};
use super::secret::Secret;
use super::signature::{SIGNATURE_HEADER, Signature, SignatureErrorKind};

/// Finds out why the signature of a request does not fit, as far as that can be known.
///
/// It tries what commonly goes wrong: a body that a proxy or framework wrote anew, a secret that
/// was decoded, trimmed or quoted, a signature in another form. It works on as many copies of the
/// body as there are mistakes to try, for each secret: use it in tests and tools, not for every
/// request. Nothing in a [`Diagnosis`] is secret, but it tells a forger what is missing: do not
/// send it as an answer.
///
/// The signature is that in [`SIGNATURE_HEADER`]; a receiver diagnoses with its own secrets and
/// header by [`Secrets::diagnose`](super::Secrets::diagnose).
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use voipbin_receiver::gate::{Secret, diagnose};
///
/// let mut headers = HeaderMap::new();
/// headers.insert(
///     "x-voipbin-signature",
///     HeaderValue::from_static(
///         "sha256=631da0105826fea3b01d941eb2fd99df8b9a26de6b49b2f925dc3528f28e45a2",
///     ),
/// );
/// let secrets = [Secret::from("the-webhook-secret-of-a-customer").with_label("production")];
///
/// let parsed_and_printed = br#"{ "type": "call_hangup", "data": { "id": "x" } }"#;
/// let diagnosis = diagnose(&secrets, &headers, parsed_and_printed);
/// assert_eq!(diagnosis.code(), "body_rewritten");
/// println!("{diagnosis}");
/// ```
#[must_use]
pub fn diagnose(secrets: &[Secret], headers: &HeaderMap, body: &[u8]) -> Diagnosis {
    let secrets = (1..).zip(secrets).map(|(number, secret)| Candidate {
        label: secret.label_at(number),
        secret,
    });
    diagnose_with(
        &secrets.collect::<Vec<_>>(),
        &SIGNATURE_HEADER,
        headers,
        body,
    )
}

/// A secret to try, and what it is called.
pub(super) struct Candidate<'a> {
    pub(super) label: Arc<str>,
    pub(super) secret: &'a Secret,
}

/// Why a signature does not fit, from [`diagnose`]. It prints as a sentence for people, and has a
/// [code](Self::code) for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    cause: Cause,
    tried: Vec<Arc<str>>,
}

/// What is wrong with a signed request. Where there is a `secret`, it is the label of the one that
/// makes the signature once the mistake is undone: then the cause is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// Nothing.
    Verified {
        /// The label of the secret that makes the signature.
        secret: Arc<str>,
    },
    /// There is no secret to try.
    NoSecret,
    /// There is no signature header.
    HeaderMissing,
    /// There is more than one.
    HeaderRepeated,
    /// The header is not `sha256=` and 64 lower-case hexadecimal digits.
    HeaderMalformed {
        /// In which way.
        kind: SignatureErrorKind,
        /// The label of the secret that makes the signature when it is read leniently: without the
        /// prefix, in upper case or in Base64.
        secret: Option<Arc<str>>,
    },
    /// There is a signature and no body: a redirect took it.
    BodyMissing,
    /// Somebody changed the body, and the original can be told.
    BodyChanged {
        /// How.
        change: BodyChange,
        /// The label of the secret that signed the original.
        secret: Arc<str>,
    },
    /// A secret was changed on its way into the configuration.
    SecretChanged {
        /// How.
        change: SecretChange,
        /// Its label.
        secret: Arc<str>,
    },
    /// The body is not as the platform writes: most likely it was parsed and written anew. (What a
    /// flow sends with `webhook_send` can have any form.)
    BodyRewritten,
    /// The body is as the platform writes, so most likely another secret signed it: another
    /// customer's, or one that was replaced.
    OtherSecret,
}

/// What happened to a body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyChange {
    /// A line end was added.
    LineEndAdded,
    /// A line end was taken away, as `curl -d @file` does.
    LineEndRemoved,
    /// Blanks or a byte order mark were put around it.
    Padded,
}

/// What happened to a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SecretChange {
    /// It has blanks or line ends around it.
    Padded,
    /// It has quotes around it.
    Quoted,
    /// It was encoded as hexadecimal digits.
    Hex,
    /// It was encoded in Base64.
    Base64,
}

impl Diagnosis {
    /// What is wrong, in a word to match on. New ones may come.
    ///
    /// | code | |
    /// | --- | --- |
    /// | `verified` | nothing is |
    /// | `no_secret` | there is no secret to try |
    /// | `header_missing` | there is no signature header |
    /// | `header_repeated` | there is more than one |
    /// | `header_malformed` | it is not `sha256=` and 64 lower-case hexadecimal digits |
    /// | `body_missing` | there is a signature and no body: a redirect took it |
    /// | `body_changed` | a line end was put to the body or taken away, or blanks were put around it |
    /// | `secret_changed` | a secret was quoted, padded or encoded on its way into the configuration |
    /// | `body_rewritten` | the body is not as the platform writes: most likely it was parsed and written anew |
    /// | `other_secret` | the body is as the platform writes: most likely another secret signed it |
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.cause.code()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self.cause, Cause::Verified { .. })
    }

    /// The labels of the secrets that were tried, in their order.
    pub fn tried(&self) -> impl Iterator<Item = &str> {
        self.tried.iter().map(|label| &**label)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)?;
        for (place, label) in self.tried.iter().enumerate() {
            f.write_str(if place == 0 { "; tried: " } else { ", " })?;
            f.write_str(label)?;
        }
        Ok(())
    }
}

pub(super) fn diagnose_with(
    secrets: &[Candidate<'_>],
    header: &HeaderName,
    headers: &HeaderMap,
    body: &[u8],
) -> Diagnosis {
    Diagnosis {
        cause: cause(secrets, header, headers, body),
        tried: secrets
            .iter()
            .map(|candidate| Arc::clone(&candidate.label))
            .collect(),
    }
}

fn cause(
    secrets: &[Candidate<'_>],
    header: &HeaderName,
    headers: &HeaderMap,
    body: &[u8],
) -> Cause {
    let maker = |signature: &Signature, body: &[u8]| {
        let makes_it =
            |candidate: &&Candidate<'_>| is_made_by(candidate.secret.as_bytes(), signature, body);
        secrets
            .iter()
            .find(makes_it)
            .map(|candidate| Arc::clone(&candidate.label))
    };
    let signature = match Signature::of_request(header, headers) {
        Ok(signature) => signature,
        Err(SignatureErrorKind::Missing) => return Cause::HeaderMissing,
        Err(SignatureErrorKind::Repeated) => return Cause::HeaderRepeated,
        Err(kind) => {
            let value = headers.get(header).map(|value| value.as_bytes());
            let secret = value
                .and_then(leniently)
                .and_then(|signature| maker(&signature, body));
            return Cause::HeaderMalformed { kind, secret };
        }
    };
    if let Some(secret) = maker(&signature, body) {
        return Cause::Verified { secret };
    }
    if body.is_empty() {
        return Cause::BodyMissing;
    }
    if secrets.is_empty() {
        return Cause::NoSecret;
    }
    for candidate in secrets {
        let original =
            |(_, key): &(SecretChange, Zeroizing<Vec<u8>>)| is_made_by(key, &signature, body);
        if let Some((change, _)) = secret_changes(candidate.secret.expose())
            .into_iter()
            .find(original)
        {
            let secret = Arc::clone(&candidate.label);
            return Cause::SecretChanged { change, secret };
        }
    }
    // The originals that it may have been, the least change first.
    for (change, original) in rewrite::originals(body) {
        if let Some(secret) = maker(&signature, &original) {
            return Cause::BodyChanged { change, secret };
        }
    }
    if rewrite::is_as_sent(body) {
        Cause::OtherSecret
    } else {
        Cause::BodyRewritten
    }
}

fn is_made_by(key: &[u8], signature: &Signature, body: &[u8]) -> bool {
    Hmac::new_from_slice(key).is_ok_and(|mac| signature.verify(&mac, body))
}

/// A signature as somebody else may have written it.
fn leniently(value: &[u8]) -> Option<Signature> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let digits = match text.split_at_checked(7) {
        Some((prefix, digits)) if prefix.eq_ignore_ascii_case("sha256=") => digits,
        _ => text,
    };
    let digest = hex(digits).or_else(|| base64(digits))?;
    digest.as_slice().try_into().ok().map(Signature)
}

/// The secrets that this one may have been made of.
fn secret_changes(secret: &str) -> Vec<(SecretChange, Zeroizing<Vec<u8>>)> {
    let mut changes = Vec::new();
    let bare = secret.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
    if bare.len() != secret.len() {
        changes.push((SecretChange::Padded, Zeroizing::new(bare.into())));
    }
    for quote in ['"', '\''] {
        let inner = bare
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            changes.push((SecretChange::Quoted, Zeroizing::new(inner.into())));
        }
    }
    changes.extend(hex(bare).map(|key| (SecretChange::Hex, key)));
    if let Some(key) = base64(bare) {
        // What a tool encoded often ends with the line end of `echo`.
        if let Some(line) = key.strip_suffix(b"\n") {
            changes.push((SecretChange::Base64, Zeroizing::new(line.to_vec())));
        }
        changes.push((SecretChange::Base64, key));
    }
    changes
}

#[cfg(test)]
mod tests;
