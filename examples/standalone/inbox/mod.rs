//! Tools to look into the inbox on disk.
//!
//! ```text
//! cli -> tool -> client -> answer                    the directory is free: open it
//!                  `-> socket -> control -> answer   a server has it: ask that one
//! ```

mod answer;
mod cli;
mod client;
mod control;
mod format;
mod protocol;
mod tool;

pub(crate) use self::cli::InboxCommand;
pub(crate) use self::client::{holds_inbox, look_into};
pub(crate) use self::control::{Control, open};
pub(crate) use self::tool::run;

/// The file in the inbox's directory that a server answers at.
const SOCKET: &str = "inbox.sock";
