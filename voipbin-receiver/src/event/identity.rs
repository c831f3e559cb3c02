use std::fmt;

use sha2::digest::consts::U16;
use sha2::{Digest, Sha256};

/// The identity of a delivery: 128 bits derived from what was signed.
///
/// Two deliveries with the same identity are copies of each other. The platform sends no event id,
/// so the identity is the content: the first 16 bytes of SHA-256 over a label and the verified
/// HMAC, which already covers every byte of the body. The signature itself cannot be computed back
/// from it, so an identity may be logged and stored.
///
/// It prints as 32 lower-case hexadecimal digits.
///
/// ```
/// use voipbin_receiver::Identity;
///
/// let identity = Identity::from_bytes([0xab; 16]);
/// assert_eq!(identity.to_string(), "abababababababababababababababab");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity([u8; 16]);

/// Short enough to share one SHA-256 block with the 32 bytes of an HMAC.
const SIGNED: &[u8] = b"vbr/id/1/signed\0";
const UNSIGNED: &[u8] = b"vbr/id/1/plain\0";
const CHOSEN: &[u8] = b"vbr/id/1/chosen\0";
const CREDENTIAL: &[u8] = b"vbr/id/1/secret\0";

impl Identity {
    /// The identity of a body whose HMAC was verified.
    pub(crate) fn of_signed(hmac: &[u8; 32]) -> Self {
        Self::digest(SIGNED, hmac)
    }

    /// The identity of a body that came without a signature.
    pub(crate) fn of_unsigned(body: &[u8]) -> Self {
        Self::digest(UNSIGNED, body)
    }

    /// The identity that a user's own function chose.
    pub(crate) fn of_chosen(identity: &[u8]) -> Self {
        Self::digest(CHOSEN, identity)
    }

    /// A stand-in for an id that is itself a credential, for logs.
    pub(crate) fn of_credential(id: &[u8]) -> Self {
        Self::digest(CREDENTIAL, id)
    }

    fn digest(label: &[u8], content: &[u8]) -> Self {
        let digest = Sha256::new()
            .chain_update(label)
            .chain_update(content)
            .finalize();
        let (first_half, _) = digest.split::<U16>();
        Self(first_half.into())
    }

    /// An identity from its 16 bytes, as [`as_bytes`](Self::as_bytes) gave them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_keep_the_three_sources_apart() {
        let same = [7; 32];
        let identities = [
            Identity::of_signed(&same),
            Identity::of_unsigned(&same),
            Identity::of_chosen(&same),
        ];
        assert_ne!(identities[0], identities[1]);
        assert_ne!(identities[1], identities[2]);
        assert_ne!(identities[0], identities[2]);
    }

    /// Identities are stored by durable inboxes: the derivation may not change unnoticed. The
    /// expected value is `printf 'vbr/id/1/plain\0x' | sha256sum | cut -c1-32`.
    #[test]
    fn the_derivation_is_fixed() {
        assert_eq!(Identity::of_unsigned(b"x").to_string(), PLAIN_X);
    }

    const PLAIN_X: &str = "8fa38ab65e3017884a3951b9d96a4e64";
}
