//! Tools to look into the inbox on disk, and to change what is in it.

mod cli;
mod event;
mod format;
mod report;
mod tool;

pub(crate) use self::cli::InboxCommand;
#[cfg(feature = "history")]
pub(crate) use self::cli::moment;
pub(crate) use self::tool::run;
