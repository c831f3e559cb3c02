//! Who may come in: the checks between the edge and the first look at the content.

mod secret;
mod signature;

pub use self::secret::Secret;
pub(crate) use self::secret::SecretFault;
pub(crate) use self::signature::Verifier;
pub use self::signature::{SIGNATURE_HEADER, SignatureError, SignatureErrorKind};
