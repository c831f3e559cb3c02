//! A delivery: one verified body, what kind of thing it is, and its identity.

mod delivery;
mod envelope;
mod key;
mod outline;
mod record_id;
mod stored;
mod time;

pub(crate) use self::delivery::VerifiedBody;
pub use self::delivery::{Delivery, LoggableId, PayloadError, Proof};
pub use self::envelope::{BodyError, BodyErrorKind};
pub(crate) use self::envelope::{Content, classify};

pub use self::key::EventKey;
pub use self::record_id::RecordId;
pub use self::stored::StoredDelivery;
pub use self::time::{Time, TimeError};
