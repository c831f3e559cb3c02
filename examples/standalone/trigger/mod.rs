//! Sends events of one's choice as the platform sends them.
//!
//! ```text
//! cli -> bodies     what is sent: typical events with changes, or a file
//!     -> delivery   how: one after the other, with copies, in disorder, by a seed
//!        `-> client  over TCP and TLS
//! ```

mod bodies;
mod cli;
mod client;
mod delivery;

#[cfg(feature = "listen")]
pub(crate) use self::cli::EventName;
pub(crate) use self::cli::TriggerCommand;
#[cfg(feature = "listen")]
pub(crate) use self::client::{Client, Times};
pub(crate) use self::delivery::run;
#[cfg(feature = "listen")]
pub(crate) use self::delivery::{Subject, print_report, target};
