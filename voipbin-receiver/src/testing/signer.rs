use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use sha2::{Digest, Sha256};

use super::request::{JSON, RequestTemplate};
use crate::gate::Secret;

/// The block of SHA-256, to which HMAC brings its key.
const BLOCK: usize = 64;

/// Signs bodies as the platform does: HMAC-SHA256 over the raw bytes, with the secret's own bytes
/// as the key.
///
/// `Debug` does not show the secret.
///
/// ```
/// use voipbin_receiver::testing::Signer;
///
/// let signature = Signer::new("the-webhook-secret-of-a-customer").sign(br#"{"type":"call_hangup","data":{"id":"x"}}"#);
/// assert_eq!(
///     signature,
///     "sha256=631da0105826fea3b01d941eb2fd99df8b9a26de6b49b2f925dc3528f28e45a2",
/// );
/// ```
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// A signer with a customer's `webhook_secret`, taken as it is: neither hex nor base64 is
    /// decoded.
    ///
    /// For a customer whose secret is empty the platform sends no signature at all; that is
    /// [`Sender::unsigned`](super::Sender::unsigned).
    #[must_use]
    pub fn new(secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        // RFC 2104: a key longer than a block is hashed, a shorter one is filled up with zeros.
        let mut key = [0; BLOCK];
        if secret.len() > BLOCK {
            fill(&mut key, &Sha256::digest(secret));
        } else {
            fill(&mut key, secret);
        }
        Self(Hmac::new(&key.into()))
    }

    /// The value of the header `X-VoIPBIN-Signature` for a body: `sha256=` and 64 lower-case
    /// hexadecimal digits.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> String {
        use fmt::Write as _;

        let mut mac = self.0.clone();
        mac.update(body);
        let mut value = String::from("sha256=");
        for byte in mac.finalize().into_bytes() {
            // Writing to a string cannot fail.
            let _ = write!(value, "{byte:02x}");
        }
        value
    }

    /// A signed `POST` with the headers of the platform in its order, for services that are called
    /// directly.
    ///
    /// The target is the path and query of `uri`; its host goes into the header `Host`, which is
    /// `localhost` when `uri` has none. The result is an ordinary request: change what a test wants
    /// different.
    ///
    /// ```
    /// use http::{Method, Uri};
    /// use voipbin_receiver::testing::Signer;
    ///
    /// let mut request = Signer::new("the-webhook-secret-of-a-customer")
    ///     .request(Uri::from_static("/voipbin/webhook"), r#"{"type":"call_hangup","data":{}}"#);
    /// *request.method_mut() = Method::PUT;
    /// assert_eq!(request.headers()["content-type"], "application/json");
    /// ```
    #[must_use]
    pub fn request(&self, uri: Uri, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let body = body.into();
        let template = RequestTemplate {
            method: Method::POST,
            uri,
            content_type: Some(JSON),
            signature: self.header(&body),
            peer: None,
        };
        template.request(body)
    }

    pub(super) fn header(&self, body: &[u8]) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(self.sign(body)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Signs with a secret that a receiver is given too.
impl From<&Secret> for Signer {
    fn from(secret: &Secret) -> Self {
        Self::new(secret.as_bytes())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

fn fill(key: &mut [u8; BLOCK], from: &[u8]) {
    for (to, from) in key.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"type":"call_hangup","data":{"id":"x"}}"#;
    const SIGNATURE: &str =
        "sha256=5a1894d4235a24f7361ad58af04064e25cdc43ee7a6a4871f8adf00641732546";

    #[test]
    fn the_signature_is_that_of_a_captured_request() {
        assert_eq!(Signer::new("s3cret").sign(BODY.as_bytes()), SIGNATURE);
    }

    /// RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn keys_of_any_length_are_taken_as_they_are() {
        let vectors: [(Vec<u8>, &[u8], &str); 3] = [
            (
                vec![0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, message, digest) in vectors {
            assert_eq!(Signer::new(key).sign(message), format!("sha256={digest}"));
        }
    }

    #[test]
    fn a_request_carries_its_signature() {
        let request = Signer::new("s3cret").request(Uri::from_static("/hook"), BODY);
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.headers()["x-voipbin-signature"], SIGNATURE);
    }

    #[test]
    fn debug_shows_neither_secret_nor_signature() {
        let signer = Signer::new("s3cret");
        let request = signer.request(Uri::from_static("/hook"), BODY);
        let shown = format!("{signer:?} {request:?}");
        assert!(!shown.contains("s3cret"));
        assert!(!shown.contains("5a1894d4"));
    }
}
