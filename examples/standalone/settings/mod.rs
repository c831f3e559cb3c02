//! Every setting of the server, each in one place: its flag, its variable, its key in a file, its default,
//! and what it means.
//!
//! They are read once, and the server is made from them: a group of settings makes the part that it is
//! about.

mod gate;
mod handlers;
mod inbox;
mod limits;
mod logs;
mod server;
mod values;

use clap::Args;

pub(crate) use self::gate::{Access, GateSettings};
pub(crate) use self::handlers::HandlerSettings;
pub(crate) use self::inbox::{DIRECTORY, InboxChoice, InboxSettings};
pub(crate) use self::limits::LimitSettings;
pub(crate) use self::logs::{LogFormat, LogSettings};
pub(crate) use self::server::ServerSettings;

/// All settings of the server.
#[derive(Args)]
pub(crate) struct Settings {
    #[command(flatten, next_help_heading = "Server")]
    pub(crate) server: ServerSettings,

    #[command(flatten, next_help_heading = "Who may come in")]
    pub(crate) gate: GateSettings,

    #[command(flatten, next_help_heading = "Limits of a request")]
    pub(crate) limits: LimitSettings,

    #[command(flatten, next_help_heading = "Inbox")]
    pub(crate) inbox: InboxSettings,

    #[command(flatten, next_help_heading = "Handlers")]
    pub(crate) handlers: HandlerSettings,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) logs: LogSettings,
}
