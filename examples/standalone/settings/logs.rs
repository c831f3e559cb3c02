use clap::{Args, ValueEnum};

use super::values::filter;

/// What the server writes.
#[derive(Args)]
pub(crate) struct LogSettings {
    /// Do not print a line per event
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Which logs are written to standard error, such as debug, or warn,voipbin_receiver=debug
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "FILTER",
        default_value = "info",
        value_parser = filter
    )]
    pub(crate) log: String,

    /// How a log is written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people
    Text,
    /// A line of JSON, for programs
    Json,
}
