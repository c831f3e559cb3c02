//! Where VoIPBIN sends the account's events.
//!
//! ```text
//! cli -> verbs      show, set, off, undo; what was there is kept for the undo
//!     -> tutorial   create, list, update, delete, or what stands for them today
//! ```

mod cli;
mod told;
mod tutorial;
mod undo;
mod verbs;

pub(crate) use self::cli::WebhookCommand;
pub(crate) use self::verbs::run;
