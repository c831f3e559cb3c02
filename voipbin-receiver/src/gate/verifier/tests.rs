use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::Sha256;

use super::*;
use crate::gate::{SIGNATURE_HEADER, Secret};

/// A fixed vector: HMAC-SHA256 of the body with the six bytes of the secret, as
/// `openssl dgst -sha256 -hmac s3cret` prints it.
const SECRET: &str = "s3cret";
const BODY: &[u8] = br#"{"type":"call_hangup","data":{"id":"x"}}"#;
const DIGEST_HEX: &str = "5a1894d4235a24f7361ad58af04064e25cdc43ee7a6a4871f8adf00641732546";

fn verifier(secrets: &[&str]) -> Verifier {
    verifier_of(secrets, false)
}

fn verifier_of(secrets: &[&str], allow_unsigned: bool) -> Verifier {
    let secrets = secrets.iter().map(|secret| Secret::from(*secret)).collect();
    let keyring = Keyring::new(secrets, Vec::new(), allow_unsigned).unwrap();
    Verifier::new(SIGNATURE_HEADER, keyring)
}

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn kind(refused: VerifyError) -> SignatureErrorKind {
    match refused {
        VerifyError::Signature(error, _) => error.kind(),
        VerifyError::SecretsIncomplete => panic!("all secrets are known"),
    }
}

fn signed(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(SIGNATURE_HEADER, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn verify(verifier: &Verifier, values: &[&str]) -> Result<Proof, SignatureErrorKind> {
    verifier
        .verify(&signed(values), Bytes::from_static(BODY), false, NOW)
        .map(|body| body.proof)
        .map_err(kind)
}

fn valid() -> String {
    format!("sha256={DIGEST_HEX}")
}

#[test]
fn the_fixed_vector_verifies() {
    assert_eq!(verify(&verifier(&[SECRET]), &[&valid()]), Ok(Proof::Signed));
}

#[test]
fn any_of_several_secrets_verifies_whatever_their_order() {
    assert_eq!(
        verify(&verifier(&["old", SECRET]), &[&valid()]),
        Ok(Proof::Signed)
    );
    assert_eq!(
        verify(&verifier(&[SECRET, "new"]), &[&valid()]),
        Ok(Proof::Signed)
    );
}

#[test]
fn a_secret_that_looks_encoded_is_taken_as_it_stands() {
    let hex_secret = "7333637265740000000000000000000000000000000000000000000000000000";
    let mac = Hmac::<Sha256>::new_from_slice(hex_secret.as_bytes())
        .unwrap()
        .chain_update(BODY);
    let digest: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let value = format!("sha256={digest}");
    assert_eq!(
        verify(&verifier(&[hex_secret]), &[&value]),
        Ok(Proof::Signed)
    );
}

#[test]
fn each_way_to_be_wrong_has_a_kind_of_its_own() {
    use SignatureErrorKind::*;

    let verifier = verifier(&[SECRET]);
    let upper = format!("sha256={}", DIGEST_HEX.to_uppercase());
    let cut = format!("sha256={}", &DIGEST_HEX[..62]);
    let long = format!("{}00", valid());
    let other = format!("sha256={}", "0".repeat(64));
    for (values, kind) in [
        (&[][..], Missing),
        (&[valid().as_str(), valid().as_str()], Repeated),
        (&[DIGEST_HEX], Prefix),
        (&[&format!("SHA256={DIGEST_HEX}")], Prefix),
        (&[&format!("sha1={DIGEST_HEX}")], Prefix),
        (&[""], Prefix),
        (&[&cut], Length),
        (&[&long], Length),
        (&["sha256="], Length),
        (&[&upper], Hex),
        (&[&format!("sha256={}g", &DIGEST_HEX[..63])], Hex),
        (&[&other], Mismatch),
    ] {
        assert_eq!(verify(&verifier, values), Err(kind), "{kind:?}");
    }
}

#[test]
fn a_signature_that_lost_its_body_in_a_redirect_is_told_from_a_wrong_one() {
    let refused = verifier(&[SECRET]).verify(&signed(&[&valid()]), Bytes::new(), false, NOW);
    assert_eq!(refused.err().map(kind), Some(SignatureErrorKind::NoBody));
}

#[test]
fn a_value_that_is_not_text_is_malformed() {
    let mut headers = HeaderMap::new();
    let mut value = valid().into_bytes();
    *value.last_mut().unwrap() = 0xff;
    headers.insert(SIGNATURE_HEADER, HeaderValue::from_bytes(&value).unwrap());
    let refused = verifier(&[SECRET]).verify(&headers, Bytes::from_static(BODY), false, NOW);
    assert_eq!(refused.err().map(kind), Some(SignatureErrorKind::Hex));
}

#[test]
fn unsigned_is_allowed_for_a_missing_header_alone() {
    let allowing = verifier_of(&[SECRET], true);
    assert_eq!(verify(&allowing, &[]), Ok(Proof::Unsigned));
    assert_eq!(verify(&allowing, &[&valid()]), Ok(Proof::Signed));
    let wrong = format!("sha256={}", "0".repeat(64));
    assert_eq!(
        verify(&allowing, &[&wrong]),
        Err(SignatureErrorKind::Mismatch)
    );
    assert_eq!(
        verify(&allowing, &["sha256=x"]),
        Err(SignatureErrorKind::Length)
    );
}

#[test]
fn without_a_secret_there_is_nothing_to_check_a_signature_against() {
    let open = verifier_of(&[], true);
    assert_eq!(verify(&open, &[&valid()]), Ok(Proof::Unsigned));
}

#[test]
fn an_unsigned_and_a_signed_copy_are_different_identities() {
    let allowing = verifier_of(&[SECRET], true);
    let key = |values: &[&str]| {
        allowing
            .verify(&signed(values), Bytes::from_static(BODY), false, NOW)
            .unwrap()
            .identity
    };
    assert_ne!(key(&[]), key(&[&valid()]));
    assert_eq!(key(&[&valid()]), key(&[&valid()]));
}

#[test]
fn the_identity_shows_no_part_of_the_signature() {
    let body =
        verifier(&[SECRET]).verify(&signed(&[&valid()]), Bytes::from_static(BODY), false, NOW);
    let identity = body.unwrap().identity.to_string();
    for width in 8..=32 {
        for part in 0..=(DIGEST_HEX.len() - width) {
            assert!(!identity.contains(&DIGEST_HEX[part..part + width]));
        }
    }
}

#[test]
fn errors_and_secrets_print_nothing_secret() {
    let other = format!("sha256={}", "0".repeat(64));
    let refused = verifier(&[SECRET])
        .verify(&signed(&[&other]), Bytes::from_static(BODY), false, NOW)
        .err()
        .map(kind)
        .map(SignatureError::from)
        .unwrap();
    let shown = format!("{refused} {refused:?} {:?}", Secret::from(SECRET));
    assert!(!shown.contains(DIGEST_HEX) && !shown.contains("000000") && !shown.contains(SECRET));
}
