use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use tokio::runtime::{Builder, Handle};
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::event::BodyErrorKind;
use voipbin_receiver::gate::{SIGNATURE_HEADER, Secret, SignatureErrorKind, diagnose};
use voipbin_receiver::testing::{Signer, TokioClock};
use voipbin_receiver::{BuildError, BuildErrorKind, Receiver};

use crate::envelope::refusal;
use crate::{Answer, head_and_body, send};

/// A body is taken for the platform's exactly when its one signature is the only spelling of its
/// HMAC, the diagnosis agrees, and neither an error nor a diagnosis shows a secret.
///
/// The head has lines `secret: …`, `signature: …` and `sign`, which adds the first secret's
/// signature.
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

    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        match receiver(given) {
            Ok(receiver) => {
                let answer = send(&receiver, request(headers, body)).await;
                assert!(answers(&answer, expected, body), "{expected:?}: {answer:?}");
                other_bytes_are_another_event(&receiver, secrets[0], body).await;
            }
            Err(error) => match error.kind() {
                BuildErrorKind::NoSecret => assert!(secrets.is_empty()),
                BuildErrorKind::BadSecret => {
                    hides(&error.to_string(), &secrets);
                    if let Some(source) = error.source() {
                        hides(&source.to_string(), &secrets);
                    }
                }
                kind => panic!("{kind:?}: {error}"),
            },
        }
    });
}

fn receiver(secrets: Vec<Secret>) -> Result<Receiver, BuildError> {
    let builder = Receiver::builder()
        .runtime(Handle::current())
        .clock(Arc::new(TokioClock::new()))
        .on((Any, Custom), || async {});
    secrets
        .into_iter()
        .fold(builder, |builder, secret| builder.secret(secret))
        .build()
}

fn request(headers: HeaderMap, body: &[u8]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(body.to_vec()));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    request
}

/// Whether this is the documented answer.
fn answers(answer: &Answer, expected: Result<(), SignatureErrorKind>, body: &[u8]) -> bool {
    let (status, code) = match (expected, refusal(body)) {
        (Err(SignatureErrorKind::NoBody), _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "signature_without_body")
        }
        (Err(SignatureErrorKind::Missing), _) => (StatusCode::UNAUTHORIZED, "signature_missing"),
        (Err(SignatureErrorKind::Mismatch), _) => (StatusCode::UNAUTHORIZED, "signature_mismatch"),
        (Err(_), _) => (StatusCode::UNAUTHORIZED, "signature_malformed"),
        (Ok(()), Some(BodyErrorKind::Empty)) => (StatusCode::SERVICE_UNAVAILABLE, "body_empty"),
        (Ok(()), Some(BodyErrorKind::NotUtf8)) => (StatusCode::BAD_REQUEST, "body_not_utf8"),
        (Ok(()), Some(_)) => (StatusCode::BAD_REQUEST, "body_not_json"),
        (Ok(()), None) => return answer.is_ok() && answer.word == "received",
    };
    answer.status == status && answer.code.as_deref() == Some(code)
}

async fn other_bytes_are_another_event(receiver: &Receiver, secret: &str, body: &[u8]) {
    if refusal(body).is_none() {
        let longer = [body, b" "].concat();
        let headers = HeaderMap::from_iter(named(signed(secret, &longer)));
        let answer = send(receiver, request(headers, &longer)).await;
        assert_eq!(answer.word, "received", "{answer:?}");
    }
}

fn named(value: Option<HeaderValue>) -> Option<(http::HeaderName, HeaderValue)> {
    value.map(|value| (SIGNATURE_HEADER, value))
}

pub(crate) fn signed(secret: &str, body: &[u8]) -> Option<HeaderValue> {
    HeaderValue::try_from(Signer::new(secret).sign(body)).ok()
}

/// What is documented of a signature, without a look at how it is checked.
pub(crate) fn verdict(
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
    let code = diagnosis.code();
    let agrees = match expected {
        Ok(()) => code == "verified",
        Err(SignatureErrorKind::Missing) => code == "header_missing",
        Err(SignatureErrorKind::Repeated) => code == "header_repeated",
        Err(SignatureErrorKind::NoBody) => code == "body_missing",
        Err(SignatureErrorKind::Mismatch) if secrets.is_empty() => code == "no_secret",
        Err(SignatureErrorKind::Mismatch) => [
            "secret_changed",
            "body_changed",
            "body_rewritten",
            "other_secret",
        ]
        .contains(&code),
        Err(_) => code == "header_malformed",
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
        assert_eq!(diagnosis.code(), "body_changed", "{diagnosis:?}");
    }
}

/// Short ones may be in a sentence by chance.
fn hides(text: &str, secrets: &[&str]) {
    let told = |secret: &&str| secret.len() >= 24 && text.contains(*secret);
    assert!(!secrets.iter().any(told), "{text}");
}
