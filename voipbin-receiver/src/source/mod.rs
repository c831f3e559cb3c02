//! Events that come in other than by webhook: out of the platform's stream.
//!
//! They enter by [`Receiver::accept`](crate::Receiver::accept), behind the gate, with their
//! [origin](crate::Origin) marked.

#[cfg(feature = "stream")]
mod stream;

#[cfg(feature = "stream")]
pub use self::stream::{EventStream, EventStreamBuilder, Gap, GapReason, StreamedEvent};
