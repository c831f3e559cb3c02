//! A delivery: one verified body, what kind of thing it is, and its identity.

mod content_type;
mod delivery;
mod envelope;
mod handler_name;
mod head;
mod identity;
mod lane;
mod loggable;
mod origin;
mod payload;
mod record_id;
mod stored;
mod time;
mod trace_context;

pub(crate) use self::content_type::content_type;
pub(crate) use self::delivery::VerifiedBody;
pub use self::delivery::{Delivery, Proof};
pub use self::envelope::{BodyError, BodyErrorKind};
pub(crate) use self::envelope::{Envelope, classify};
pub use self::handler_name::HandlerName;
pub(crate) use self::head::{NIL, last_change};

pub use self::identity::Identity;
pub use self::lane::Lane;
pub(crate) use self::lane::LaneChoice;
pub use self::loggable::LoggableId;
pub use self::origin::Origin;
pub use self::payload::PayloadError;
pub use self::record_id::RecordId;
pub use self::stored::StoredDelivery;
pub use self::time::{Time, TimeError};
pub use self::trace_context::TraceContext;
