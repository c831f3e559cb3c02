//! Where VoIPBIN sends the account's events.
//!
//! ```text
//! cli -> actions    show, set, off, undo; what was there is saved for undo
//!     -> tutorial   create, list, update, delete, or what stands for them today
//! ```

mod actions;
mod cli;
mod report;
mod tutorial;
mod undo;

pub(crate) use self::actions::run;
pub(crate) use self::cli::WebhookCommand;
