//! What the program is told: by flags, by the environment, by a file.
//!
//! clap knows each setting: its flag, its variable, its default and how its value is written. A
//! file is read as further flags, one for each key, whose values take the place of the defaults.

mod effective;
mod file;
mod idle;
#[cfg(test)]
mod reference;

use std::path::PathBuf;

#[cfg(feature = "postgres")]
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use self::effective::EffectiveSettings;
use self::file::{File, is_readable_by_all};
#[cfg(feature = "history")]
use crate::catch_up::CatchUpCommand;
use crate::completions::CompletionsCommand;
use crate::health::HealthCommand;
#[cfg(feature = "disk")]
use crate::inbox::InboxCommand;
#[cfg(feature = "listen")]
use crate::listen::ListenCommand;
#[cfg(feature = "postgres")]
use crate::settings::{InboxChoice, RoleChoice, has_password};
use crate::settings::{Settings, setting};
use crate::terminal::exit;
#[cfg(feature = "trigger")]
use crate::trigger::TriggerCommand;
#[cfg(feature = "platform")]
use crate::webhook::WebhookCommand;

/// Receives VoIPBIN webhooks and prints one JSON object per handled event on standard output.
///
/// Every event is verified, kept once and answered at once; logs go to standard error. Each setting
/// can be given by a flag, by the environment variable that stands beside it, or in the file of
/// --config, by the flag's name with _ for -. A flag wins over a variable, and a variable over the
/// file.
///
/// Without a secret, on a loopback address, the server makes one for this run and prints a curl
/// command that sends a signed event.
#[derive(Parser)]
#[command(
    name = "standalone",
    version,
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Options {
    /// A TOML file with settings; standalone.example.toml shows all of them
    #[arg(long, env = "VOIPBIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Do not serve: tell whether the server could start, and print every setting and where it
    /// comes from
    ///
    /// Secrets are read and not shown, certificates and the inbox are looked at, nothing is
    /// changed. Exit status: 0 when the server could start, 2 when not.
    #[arg(long)]
    pub(crate) check: bool,

    #[command(flatten)]
    pub(crate) settings: Settings,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is done instead of serving.
#[derive(Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "disk")]
    Inbox(Box<InboxCommand>),
    #[cfg(feature = "trigger")]
    Trigger(TriggerCommand),
    #[cfg(feature = "listen")]
    Listen(ListenCommand),
    #[cfg(feature = "history")]
    CatchUp(Box<CatchUpCommand>),
    #[cfg(feature = "platform")]
    Webhook(Box<WebhookCommand>),
    Health(HealthCommand),
    Completions(CompletionsCommand),
}

const EXAMPLES: &str = "\
Examples:
  Try it without an account:
    standalone
  Receive what a customer's webhook sends, behind a tunnel or a proxy with TLS:
    VOIPBIN_SECRET=… standalone --listen 127.0.0.1:5000
  See whether a file with settings is good before a restart:
    standalone --config /etc/voipbin/standalone.toml --check
  Follow one type of event:
    standalone | jq 'select(.event == \"call_hangup\")'

  Serve metrics to a Prometheus on this machine:
    standalone --metrics-listen 127.0.0.1:9464

  See what the inbox holds, and have it handled again:
    standalone inbox list --state dead
    standalone inbox replay --state dead

  Send an event of your choice:
    VOIPBIN_SECRET=… standalone trigger call_hangup --set data.hangup_reason=busy

Each line has: event (null for a custom delivery), resource_id, identity, attempt, possible_repeat,
replay_of (the id of the event that this is a replay of, or null).
GET /health/live and /health/ready answer probes; `standalone health` asks.
The first Ctrl-C or SIGTERM drains for up to --drain, a second one ends at once. SIGHUP has files of
secrets and certificates read again; in a terminal it is the end, as SIGTERM.";

/// What was read.
pub(crate) struct Configuration {
    pub(crate) options: Options,
    /// All settings of the server, to be shown.
    pub(crate) effective: EffectiveSettings,
    /// The file of `--config`, when there are secrets in it and every user of the machine can read
    /// it.
    exposed: Option<PathBuf>,
}

impl Configuration {
    /// Says which secrets and keys the users of this machine can read, and what has no effect.
    pub(crate) fn warn(&self) {
        let settings = &self.options.settings;
        let files = settings.gate.secret_files.iter();
        let files = files.map(PathBuf::as_path).chain(settings.server.tls_key());
        #[cfg(feature = "postgres")]
        let files = files.chain(
            settings
                .inbox
                .postgres
                .database
                .database_url_file
                .as_deref(),
        );
        #[cfg(feature = "inspector")]
        let files = files.chain(settings.inspector.token_file());
        let files = files.filter(|file| is_readable_by_all(file));
        for file in self.exposed.as_deref().into_iter().chain(files) {
            tracing::warn!(
                file = %file.display(),
                "every user of this machine can read this file, in which is a secret or a key: `chmod o-r` it"
            );
        }
        for (setting, because) in idle::settings(settings, &self.effective) {
            tracing::warn!(setting, because, "a setting has no effect");
        }
        for (variable, meant) in idle::variables(&Options::definition()) {
            tracing::warn!(
                variable,
                meant,
                "a variable has no effect: no setting is called so"
            );
        }
    }
}

impl Options {
    /// All flags and tools, with what settings have alike.
    pub(crate) fn definition() -> clap::Command {
        let alike = |arg: clap::Arg| match arg.get_help_heading() {
            Some(_) => setting(arg),
            None => arg,
        };
        let tools = |tool: clap::Command| tool.mut_args(alike);
        Self::command().mut_args(alike).mut_subcommands(tools)
    }

    /// Reads all that there is. Ends the process for `--help` and for flags and variables that make
    /// no sense.
    pub(crate) fn read() -> Result<Configuration, String> {
        let command = Self::definition();
        let matches = matched(command.clone());
        let Some(path) = config(&matches) else {
            return Ok(Self::configuration(&matches, None));
        };
        let file = File::read(path)?;
        let matches = matched(file.defaults(command));
        Ok(Self::configuration(&matches, Some(file)))
    }

    fn configuration(matches: &ArgMatches, file: Option<File>) -> Configuration {
        let options = Self::from_arg_matches(matches).unwrap_or_else(|error| exit(&error));
        #[cfg(feature = "postgres")]
        if let Some(why) = password_in_arguments(matches).or_else(|| options.role_without_others())
        {
            exit(&Self::command().error(clap::error::ErrorKind::ValueValidation, why));
        }
        Configuration {
            options,
            effective: EffectiveSettings::of(matches, file.as_ref()),
            exposed: file.and_then(File::exposed),
        }
    }

    /// A server that does half of the work is of use beside others alone.
    #[cfg(feature = "postgres")]
    fn role_without_others(&self) -> Option<&'static str> {
        let inbox = &self.settings.inbox;
        let shared = inbox.choice == InboxChoice::Postgres;
        (!shared && inbox.postgres.role != RoleChoice::Both)
            .then_some("--role is for servers that share an inbox: it takes --inbox postgres")
    }
}

fn matched(mut command: clap::Command) -> ArgMatches {
    match command.clone().try_get_matches() {
        Ok(matches) if matches.subcommand_name().is_some() => matches,
        Err(error) if !error.use_stderr() => exit(&error),
        matches => {
            if let Some(error) = empty_variables(&mut command) {
                exit(&error);
            }
            matches.unwrap_or_else(|error| exit(&error))
        }
    }
}

/// An empty variable is most likely one that was to be filled. As no value at all, one of a secret
/// or of a list of addresses would let in whom it is to keep out.
fn empty_variables(command: &mut clap::Command) -> Option<clap::Error> {
    // An empty switch is off.
    let arguments = command.get_arguments();
    let takes_value = |argument: &&clap::Arg| {
        let values = argument.get_num_args();
        values.is_none_or(|values| values.min_values() > 0)
    };
    let arguments = arguments.filter(takes_value);
    let variables = arguments.filter_map(clap::Arg::get_env);
    let empty: Vec<String> = variables
        .filter(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()))
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    (!empty.is_empty()).then(|| {
        let message = format!(
            "set and empty: {}. Give it a value, or take it out of the environment",
            empty.join(", ")
        );
        command.error(clap::error::ErrorKind::ValueValidation, message)
    })
}

/// Every user of the machine can see the arguments of a process.
#[cfg(feature = "postgres")]
fn password_in_arguments(matches: &ArgMatches) -> Option<&'static str> {
    if let Some((_, of_tool)) = matches.subcommand() {
        return password_in_arguments(of_tool);
    }
    let url: &String = matches.try_get_one("database_url").ok().flatten()?;
    let is_flag = matches.value_source("database_url") == Some(ValueSource::CommandLine);
    (is_flag && has_password(url)).then_some(
        "--database-url has a password in it, which every user of this machine can see: give it by \
         VOIPBIN_DATABASE_URL or --database-url-file",
    )
}

/// The file that is named, for the server or for its tools.
fn config(matches: &ArgMatches) -> Option<&PathBuf> {
    match matches.subcommand() {
        // Not all of them take one.
        Some((_, of_tools)) => of_tools.try_get_one("config").ok().flatten(),
        None => matches.get_one("config"),
    }
}
