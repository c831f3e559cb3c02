//! Events that come in other than by webhook: out of the platform's stream, and of its history.
//!
//! They enter by [`Receiver::accept`](crate::Receiver::accept), behind the gate, with their
//! [origin](crate::Origin) marked.

#[cfg(feature = "history")]
mod history;
#[cfg(feature = "stream")]
mod stream;

#[cfg(feature = "history")]
pub use self::history::{
    CatchUp, CatchUpError, CatchUpErrorKind, CatchUpProgress, CatchUpReport, Checkpoint,
};
#[cfg(feature = "stream")]
pub use self::stream::{EventStream, EventStreamBuilder, Gap, GapReason, StreamedEvent};
