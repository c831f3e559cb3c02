//! Every setting of the server, each in one place: its flag, its variable, its key in a file, its
//! default, and what it means.
//!
//! They are read once, and the server is made from them: a group of settings makes the part that it
//! is about.

#[cfg(feature = "disk")]
mod disk;
mod gate;
mod handlers;
#[cfg(feature = "history")]
mod history;
mod inbox;
#[cfg(feature = "inspector")]
mod inspector;
mod left_out;
mod limits;
mod logs;
#[cfg(feature = "postgres")]
mod postgres;
mod server;
#[cfg(feature = "tls")]
mod tls;
mod values;

use std::net::SocketAddr;

use clap::{Arg, ArgAction, Args, Command};
use voipbin_receiver::Role;

#[cfg(feature = "disk")]
pub(crate) use self::disk::{DIRECTORY, DiskSettings};
#[cfg(feature = "inspector")]
pub(crate) use self::gate::generate;
pub(crate) use self::gate::{Access, AccessError, GateSettings};
pub(crate) use self::handlers::HandlerSettings;
#[cfg(feature = "history")]
pub(crate) use self::history::HistorySettings;
pub(crate) use self::inbox::{InboxChoice, InboxSettings};
#[cfg(feature = "inspector")]
use self::inspector::InspectorSettings;
use self::left_out::LeftOut;
pub(crate) use self::limits::LimitSettings;
pub(crate) use self::logs::{LogFormat, LogSettings};
#[cfg(all(feature = "disk", feature = "postgres"))]
pub(crate) use self::postgres::DatabaseSettings;
#[cfg(feature = "postgres")]
pub(crate) use self::postgres::{PostgresSettings, RoleChoice, has_password};
pub(crate) use self::server::ServerSettings;
#[cfg(feature = "tls")]
use self::tls::TlsSettings;

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

    #[cfg(feature = "history")]
    #[command(flatten, next_help_heading = "History")]
    pub(crate) history: HistorySettings,

    #[cfg(feature = "inspector")]
    #[command(flatten, next_help_heading = "Inspector")]
    pub(crate) inspector: InspectorSettings,

    #[command(flatten, next_help_heading = "Output")]
    pub(crate) logs: LogSettings,

    #[command(flatten)]
    _left_out: LeftOut,
}

impl Settings {
    /// All of them, to be looked at or parsed by themselves.
    pub(crate) fn command() -> Command {
        Self::augment_args(Command::new("settings")).mut_args(setting)
    }

    /// What the server does of taking in and handling.
    pub(crate) fn role(&self) -> Role {
        #[cfg(feature = "postgres")]
        return self.inbox.postgres.role.into();
        #[cfg(not(feature = "postgres"))]
        Role::Both
    }

    /// Who may deliver to a server that listens here.
    pub(crate) fn access(&self, listen: SocketAddr) -> Result<Access, AccessError> {
        match self.role() {
            Role::Worker => Ok(Access::Closed),
            _ => self.gate.access(listen),
        }
    }

    /// The address that somebody has given the inspector.
    pub(crate) fn inspector_listen(&self) -> Option<SocketAddr> {
        #[cfg(feature = "inspector")]
        return self.inspector.given_address();
        #[cfg(not(feature = "inspector"))]
        None
    }
}

/// What all settings have alike: the variable is called as the flag, and a switch may be given a
/// value, so that a flag can turn off what a file turns on.
pub(crate) fn setting(arg: Arg) -> Arg {
    // What a build leaves out, and RUST_LOG, say so themselves.
    let arg = match arg.get_env() {
        Some(_) => arg,
        None => {
            let variable = format!("VOIPBIN_{}", arg.get_id().as_str().to_uppercase());
            arg.env(variable)
        }
    };
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .value_name("BOOL")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .value_parser(values::switch),
        _ => arg,
    }
}
