//! Who may come in: the checks between the edge and the first look at the content.

mod diagnosis;
mod forwarded;
mod keyring;
mod limits;
mod network;
#[cfg(feature = "rate-limit")]
mod rate;
#[cfg(not(feature = "rate-limit"))]
#[path = "rate/off.rs"]
mod rate;
mod secret;
mod secret_error;
mod secrets;
mod signature;
mod source;
mod verifier;

use std::sync::Arc;

pub use self::diagnosis::{Diagnosis, diagnose};
pub(crate) use self::keyring::{Keyring, SecretOrigin};
pub use self::limits::Limits;
pub(crate) use self::limits::{InFlight, InFlightPermit, accepts_method};
pub(crate) use self::network::{NetworkError, Networks};
#[cfg(feature = "rate-limit")]
pub use self::rate::Rate;
pub(crate) use self::rate::{RateSettings, Rates};
pub use self::secret::Secret;
pub use self::secret_error::{SecretError, SecretErrorKind};
pub use self::secrets::{SecretSource, SecretUsage, Secrets};
pub use self::signature::{SIGNATURE_HEADER, SignatureError, SignatureErrorKind};
pub use self::source::PeerAddr;
pub(crate) use self::source::{ClientAddr, SourceError, SourceFilter};
pub(crate) use self::verifier::{Verifier, VerifyError};

/// All that is checked of a request before its content is looked at.
pub(crate) struct Gate {
    pub(crate) limits: Limits,
    pub(crate) sources: SourceFilter,
    pub(crate) rates: Rates,
    pub(crate) in_flight: InFlight,
    pub(crate) verifier: Arc<Verifier>,
}

/// Whose limit a request exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "rate-limit"),
    allow(dead_code, reason = "nothing can be exceeded without limits")
)]
pub(crate) enum RateExceeded {
    /// That of its source.
    Source,
    /// That of all together.
    All,
}
