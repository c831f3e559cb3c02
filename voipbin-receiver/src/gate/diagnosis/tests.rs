use hmac::Mac;
use http::HeaderValue;
use sha2::Sha256;

use super::rewrite::originals;
use super::*;
use crate::gate::signature::SignatureErrorKind::{Hex, Length, Prefix};

const SECRET: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9";

/// As the platform writes: `type` first, no blanks, its escapes, and text beyond ASCII as it is.
const BODY: &str = r#"{"type":"message_created","data":{"id":"1","customer_id":"2","text":"a \u003cb\u003e \u0026 ü \"q\" \\ \n 😀 /"}}"#;

fn digest(secret: &[u8], body: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.chain_update(body).finalize().into_bytes().to_vec()
}

fn printed(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn with_header(value: &str) -> HeaderMap {
    let value = HeaderValue::from_str(value).unwrap();
    HeaderMap::from_iter([(SIGNATURE_HEADER, value)])
}

/// The cause for a body that came, when another one was signed with a secret.
fn came(signed: &str, came: &str) -> Cause {
    let header = format!(
        "sha256={}",
        printed(&digest(SECRET.as_bytes(), signed.as_bytes()))
    );
    let secrets = [
        "another secret".into(),
        Secret::from(SECRET).with_label("ours"),
    ];
    diagnose(&secrets, &with_header(&header), came.as_bytes()).cause
}

fn ours() -> Arc<str> {
    "ours".into()
}

#[test]
fn a_body_with_something_around_it_is_found_by_what_it_was_before() {
    use BodyChange::*;

    for (changed, change) in [
        (format!("{BODY}\n"), LineEndAdded),
        (format!("{BODY}\r\n"), LineEndAdded),
        (format!(" {BODY}"), Padded),
        (format!("\u{feff}{BODY}"), Padded),
        (format!("{BODY}\n\n"), Padded),
    ] {
        let secret = ours();
        let cause = came(BODY, &changed);
        assert_eq!(cause, Cause::BodyChanged { change, secret }, "{changed}");
    }
    for end in ["\n", "\r\n"] {
        let cause = came(&format!("{BODY}{end}"), BODY);
        let (change, secret) = (LineEndRemoved, ours());
        assert_eq!(cause, Cause::BodyChanged { change, secret });
    }
}

#[test]
fn a_body_that_was_written_anew_is_told_by_its_form_from_one_of_another_secret() {
    for untouched in [
        BODY.to_owned(),
        BODY.replace("message", "massage"),
        r#"{"type":"a\\","data":{"b":" \" "}}"#.to_owned(),
    ] {
        assert_eq!(came("{}", &untouched), Cause::OtherSecret, "{untouched}");
    }
    let data = BODY.split_once(r#""data":"#).unwrap().1;
    let data = data.strip_suffix('}').unwrap();
    for rewritten in [
        BODY.replace("\":", "\": "),
        BODY.replace(",\"", ",\n\""),
        BODY.replace(r"\u003c", "<"),
        BODY.replace(r"\u0026", "&"),
        format!(r#"{{"data":{data},"type":"message_created"}}"#),
        r#"{"type":"message_created","data":{"customer_id":"2","id":"1","text":"a"}}"#.to_owned(),
        "a=1&b=2".to_owned(),
        "\u{feff}{}".to_owned(),
    ] {
        assert_eq!(came(BODY, &rewritten), Cause::BodyRewritten, "{rewritten}");
    }
}

#[test]
fn a_secret_that_was_changed_is_found_by_what_it_was_before() {
    use SecretChange::*;

    let base64_of_secret = "QWJDZEVmR2hJaktsTW5PcFFyU3RVdld4WXowMTItXzk=";
    for (configured, change) in [
        (format!("{SECRET}\n"), Padded),
        (format!("\u{feff} {SECRET}"), Padded),
        (format!("\"{SECRET}\""), Quoted),
        (format!("'{SECRET}'\n"), Quoted),
        (printed(SECRET.as_bytes()), Hex),
        (printed(SECRET.as_bytes()).to_uppercase(), Hex),
        (base64_of_secret.into(), Base64),
        (base64_of_secret.trim_end_matches('=').into(), Base64),
        // With the line end of `echo secret | base64`.
        (
            "QWJDZEVmR2hJaktsTW5PcFFyU3RVdld4WXowMTItXzkK".into(),
            Base64,
        ),
    ] {
        let header = format!(
            "sha256={}",
            printed(&digest(SECRET.as_bytes(), BODY.as_bytes()))
        );
        let secrets = [Secret::from(configured.clone()).with_label("ours")];
        let diagnosis = diagnose(&secrets, &with_header(&header), BODY.as_bytes());
        assert_eq!(
            diagnosis.cause,
            Cause::SecretChanged {
                change,
                secret: ours()
            },
            "{configured}"
        );
    }
}

#[test]
fn a_signature_in_another_form_is_read_leniently_to_tell_whose_it_is() {
    let digest = digest(SECRET.as_bytes(), BODY.as_bytes());
    let hex = printed(&digest);
    let secrets = [Secret::from(SECRET).with_label("ours")];
    let base64 = |bytes: &[u8]| {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = bytes.chunks(3).flat_map(|three| {
            let bits = three
                .iter()
                .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - three.len()));
            (0..=three.len())
                .map(move |place| char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]))
        });
        digits.collect::<String>()
    };
    for (value, kind, whose) in [
        (hex.clone(), Prefix, Some(ours())),
        (format!("SHA256={hex}"), Prefix, Some(ours())),
        (format!("sha256={}", hex.to_uppercase()), Hex, Some(ours())),
        (format!("sha256={}=", base64(&digest)), Length, Some(ours())),
        (base64(&digest), Prefix, Some(ours())),
        (format!("sha1={hex}"), Prefix, None),
        (format!("sha256={}", &hex[..62]), Length, None),
        (String::new(), Prefix, None),
    ] {
        let diagnosis = diagnose(&secrets, &with_header(&value), BODY.as_bytes());
        assert_eq!(
            diagnosis.cause,
            Cause::HeaderMalformed {
                kind,
                secret: whose
            },
            "{value}"
        );
    }
}

#[test]
fn what_needs_no_guess_is_said_first() {
    let header = format!(
        "sha256={}",
        printed(&digest(SECRET.as_bytes(), BODY.as_bytes()))
    );
    let secrets = [Secret::from("another secret"), Secret::from(SECRET)];
    let mut twice = with_header(&header);
    twice.append(SIGNATURE_HEADER, HeaderValue::from_str(&header).unwrap());
    for (secrets, headers, body, cause) in [
        (
            &secrets[..],
            with_header(&header),
            BODY,
            Cause::Verified {
                secret: "secret-2".into(),
            },
        ),
        (&secrets, HeaderMap::new(), BODY, Cause::HeaderMissing),
        (&secrets, twice, BODY, Cause::HeaderRepeated),
        (&secrets, with_header(&header), "", Cause::BodyMissing),
        (&[], with_header(&header), BODY, Cause::NoSecret),
    ] {
        let diagnosis = diagnose(secrets, &headers, body.as_bytes());
        assert_eq!(diagnosis.cause, cause);
        assert_eq!(
            diagnosis.is_verified(),
            matches!(cause, Cause::Verified { .. })
        );
        assert_eq!(diagnosis.tried().count(), secrets.len());
    }
}

#[test]
fn a_diagnosis_shows_labels_and_nothing_else() {
    let header = format!(
        "sha256={}",
        printed(&digest(SECRET.as_bytes(), BODY.as_bytes()))
    );
    let private = [SECRET, "message_created", "customer_id", &header[7..23]];
    for configured in [SECRET.to_owned(), format!("{SECRET}\n"), "unknown".into()] {
        for body in [
            BODY.to_owned(),
            format!("{BODY}\n"),
            BODY.replace("\":", "\" : "),
            String::new(),
        ] {
            let secrets = [Secret::from(configured.clone()).with_label("ours")];
            let diagnosis = diagnose(&secrets, &with_header(&header), body.as_bytes());
            let shown = format!("{diagnosis} {diagnosis:?}");
            assert!(shown.contains("ours"));
            for private in private {
                assert!(!shown.contains(private), "{shown}");
            }
        }
    }
}

#[test]
fn any_bytes_are_looked_into_without_harm() {
    let pieces = [
        "{",
        "\"",
        "\\",
        "\\u",
        "d83d",
        "\\udc00",
        ",",
        ":",
        "é",
        "\u{feff}",
        "1",
        "\n",
        "\"type\":",
    ];
    let mut seed = 7_usize;
    for _ in 0..20_000 {
        let mut body = String::new();
        for _ in 0..8 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            body.push_str(pieces[(seed >> 33) % pieces.len()]);
        }
        let bodies = originals(body.as_bytes()).count();
        assert!((2..=4).contains(&bodies), "{body}");
        assert_ne!(came(BODY, &body), Cause::Verified { secret: ours() });
    }
}
