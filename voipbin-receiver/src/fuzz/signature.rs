use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::head_and_body;
use crate::event::EventKey;
use crate::gate::{
    BodyChange, Cause, Keyring, SIGNATURE_HEADER, Secret, SecretErrorKind, SignatureErrorKind,
    Unverified, Verifier, diagnose,
};
use crate::testing::Signer;

/// A body is taken for the platform's exactly when its one signature is the only spelling of its HMAC,
/// the diagnosis agrees, and neither an error nor a diagnosis shows a secret.
///
/// The head has lines `secret: …`, `signature: …` and `sign`, which adds the first secret's signature.
pub fn signature(bytes: &[u8]) {
    let (lines, body) = head_and_body(bytes);
    let mut secrets: Vec<&str> = Vec::new();
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Some(secret) = line.strip_prefix(b"secret: ") {
            secrets.extend(std::str::from_utf8(secret).ok());
        } else if let Some(value) = line.strip_prefix(b"signature: ") {
            headers.extend(named(HeaderValue::from_bytes(value).ok()));
        } else if line == b"sign" {
            let secret = secrets.first().copied().unwrap_or_default();
            headers.extend(named(signed(secret, body)));
        }
    }

    let expected = verdict(&secrets, &headers, body);
    let given: Vec<Secret> = secrets.iter().map(|secret| Secret::from(*secret)).collect();
    diagnosis_agrees(&given, &secrets, &headers, body, expected);
    match Keyring::new(given, Vec::new(), false) {
        Ok(keyring) => {
            let verifier = Verifier::new(SIGNATURE_HEADER, keyring);
            assert_eq!(verify(&verifier, &headers, body).map(|_| ()), expected);
            identity_is_that_of_the_bytes(&verifier, secrets[0], body);
        }
        Err(error) => match error.kind() {
            SecretErrorKind::NoSecret => assert!(secrets.is_empty()),
            _ => hides(&error.to_string(), &secrets),
        },
    }
}

fn named(value: Option<HeaderValue>) -> Option<(http::HeaderName, HeaderValue)> {
    value.map(|value| (SIGNATURE_HEADER, value))
}

pub(super) fn signed(secret: &str, body: &[u8]) -> Option<HeaderValue> {
    HeaderValue::try_from(Signer::new(secret).sign(body)).ok()
}

/// What is documented of a signature, without a look at how it is checked.
pub(super) fn verdict(
    secrets: &[&str],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(), SignatureErrorKind> {
    let values: Vec<&[u8]> = headers
        .get_all(SIGNATURE_HEADER)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let value = match *values.as_slice() {
        [] => return Err(SignatureErrorKind::Missing),
        [value] => value,
        [..] => return Err(SignatureErrorKind::Repeated),
    };
    let Some(digits) = value.strip_prefix(b"sha256=") else {
        return Err(SignatureErrorKind::Prefix);
    };
    if digits.len() != 64 {
        return Err(SignatureErrorKind::Length);
    }
    if !digits
        .iter()
        .all(|digit| b"0123456789abcdef".contains(digit))
    {
        return Err(SignatureErrorKind::Hex);
    }
    let makes = |secret: &&str| Signer::new(secret).sign(body).as_bytes() == value;
    if secrets.iter().any(makes) {
        return Ok(());
    }
    Err(match body.is_empty() {
        true => SignatureErrorKind::NoBody,
        false => SignatureErrorKind::Mismatch,
    })
}

fn verify(
    verifier: &Verifier,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<EventKey, SignatureErrorKind> {
    let bytes = Bytes::copy_from_slice(body);
    match verifier.verify(headers, bytes, true, SystemTime::UNIX_EPOCH) {
        Ok(verified) => {
            assert_eq!(verified.bytes, body);
            Ok(verified.key)
        }
        Err(Unverified::Signature(error)) => Err(error.kind()),
        Err(Unverified::Undecided) => panic!("all secrets are known"),
    }
}

fn identity_is_that_of_the_bytes(verifier: &Verifier, secret: &str, body: &[u8]) {
    let identity = |body: &[u8]| {
        let headers = HeaderMap::from_iter(named(signed(secret, body)));
        verify(verifier, &headers, body).unwrap()
    };
    let longer = [body, b" "].concat();
    assert_eq!(identity(body), identity(body));
    assert_ne!(identity(body), identity(&longer));
}

fn diagnosis_agrees(
    given: &[Secret],
    secrets: &[&str],
    headers: &HeaderMap,
    body: &[u8],
    expected: Result<(), SignatureErrorKind>,
) {
    let diagnosis = diagnose(given, headers, body);
    hides(&diagnosis.to_string(), secrets);
    assert_eq!(diagnosis.tried().count(), secrets.len());
    let agrees = match (expected, diagnosis.cause()) {
        (Ok(()), Cause::Verified { .. }) => true,
        (Err(SignatureErrorKind::Missing), Cause::HeaderMissing) => true,
        (Err(SignatureErrorKind::Repeated), Cause::HeaderRepeated) => true,
        (Err(wrong), Cause::HeaderMalformed { kind, .. }) => wrong == *kind,
        (Err(SignatureErrorKind::NoBody), Cause::BodyMissing) => true,
        (Err(SignatureErrorKind::Mismatch), Cause::NoSecret) => secrets.is_empty(),
        (
            Err(SignatureErrorKind::Mismatch),
            Cause::SecretChanged { .. }
            | Cause::BodyChanged { .. }
            | Cause::BodyRewritten
            | Cause::OtherSecret,
        ) => true,
        _ => false,
    };
    assert!(agrees, "{expected:?}: {diagnosis:?}");

    // A change that is undone with certainty.
    if let Some(secret) = secrets.first()
        && !body.is_empty()
        && !body.ends_with(b"\r")
    {
        let headers = HeaderMap::from_iter(named(signed(secret, body)));
        let longer = [body, b"\n"].concat();
        let diagnosis = diagnose(given, &headers, &longer);
        let change = BodyChange::LineEndAdded;
        assert!(
            matches!(diagnosis.cause(), Cause::BodyChanged { change: found, .. } if *found == change),
            "{diagnosis:?}"
        );
    }
}

/// Short ones may be in a sentence by chance.
fn hides(text: &str, secrets: &[&str]) {
    let told = |secret: &&str| secret.len() >= 24 && text.contains(*secret);
    assert!(!secrets.iter().any(told), "{text}");
}
