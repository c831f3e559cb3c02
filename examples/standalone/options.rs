use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::inbox::InboxCommand;

/// The directory of an inbox that is not told which one.
pub(crate) const DIRECTORY: &str = "voipbin-inbox";

/// Receives VoIPBIN webhooks and prints one JSON object per handled event on standard output.
///
/// Every event is verified, kept once and answered at once; logs go to standard error. Each option
/// can also be set by the environment variable that stands beside it.
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
    #[command(flatten)]
    pub(crate) server: ServerOptions,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is done instead of serving.
#[derive(Subcommand)]
pub(crate) enum Command {
    Inbox(InboxCommand),
}

/// The options of the server.
#[derive(Args)]
pub(crate) struct ServerOptions {
    /// The address to listen on; port 0 takes a free one
    #[arg(
        long,
        env = "VOIPBIN_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:5000"
    )]
    pub(crate) listen: SocketAddr,

    /// The path of the webhook, exactly as VoIPBIN is given it: a redirect would lose the event
    #[arg(long, env = "VOIPBIN_PATH", value_name = "PATH", default_value = "/voipbin/webhook", value_parser = path)]
    pub(crate) path: String,

    /// The customer's webhook_secret, as it stands in GET /v1.0/customer
    ///
    /// May be given several times, for a rotation: a delivery is accepted when any of them matches.
    /// In the environment they are separated by commas. Other users of the machine can see the
    /// arguments of a process, so prefer the environment.
    #[arg(
        long = "secret",
        env = "VOIPBIN_SECRET",
        value_name = "SECRET",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) secrets: Vec<String>,

    /// Accept events without a signature, from anybody; one with a wrong signature is still refused
    /// when there is a secret
    #[arg(long, env = "VOIPBIN_ALLOW_UNSIGNED", value_parser = switch)]
    pub(crate) allow_unsigned: bool,

    /// Where events are kept between the answer and the end of their handlers
    #[arg(
        long,
        env = "VOIPBIN_INBOX",
        value_name = "INBOX",
        default_value = "disk"
    )]
    pub(crate) inbox: InboxChoice,

    /// The directory of the inbox on disk; made when it is not there
    #[arg(
        long,
        env = "VOIPBIN_DIRECTORY",
        value_name = "DIR",
        default_value = DIRECTORY
    )]
    pub(crate) directory: PathBuf,

    /// The address for metrics, on which /metrics answers Prometheus; port 0 takes a free one
    ///
    /// Without it there are none. It is never the address of the webhook, which others may reach:
    /// whoever reaches this one can read how much comes in and how it goes.
    #[arg(long, env = "VOIPBIN_METRICS_LISTEN", value_name = "ADDR")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Do not print a line per event
    #[arg(long, env = "VOIPBIN_QUIET", value_parser = switch)]
    pub(crate) quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  Try it without an account:
    standalone
  Receive what a customer's webhook sends, behind a tunnel or a proxy with TLS:
    VOIPBIN_SECRET=… standalone --listen 127.0.0.1:5000
  Follow one type of event:
    standalone | jq 'select(.event == \"call_hangup\")'

  Serve metrics to a Prometheus on this machine:
    standalone --metrics-listen 127.0.0.1:9464

  See what the inbox holds, and have it handled again:
    standalone inbox list --state dead
    standalone inbox replay --state dead

Each line has: event (null for a custom delivery), resource_id, identity, attempt, possible_repeat,
replay_of (the id of the event that this is a replay of, or null).
GET /health/live and /health/ready answer probes.
The first Ctrl-C or SIGTERM drains for up to 10 seconds, a second one ends at once. More logs:
RUST_LOG=debug.";

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum InboxChoice {
    /// In a directory: what was answered 200 survives kill -9 and a power cut
    Disk,
    /// In this process: drained by a clean shutdown, lost when the process is killed
    Memory,
}

/// Who may deliver.
pub(crate) enum Access {
    Secrets(Vec<String>),
    /// Made for this run.
    Generated(String),
    /// Anybody.
    Unsigned,
}

impl ServerOptions {
    pub(crate) fn access(&self) -> Result<Access, AccessError> {
        if !self.secrets.is_empty() {
            Ok(Access::Secrets(self.secrets.clone()))
        } else if self.allow_unsigned {
            Ok(Access::Unsigned)
        } else if self.listen.ip().is_loopback() {
            generate().map(Access::Generated)
        } else {
            Err(AccessError::NoSecret(self.listen))
        }
    }
}

#[derive(Debug)]
pub(crate) enum AccessError {
    NoSecret(SocketAddr),
    NoRandomness(getrandom::Error),
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSecret(address) => write!(
                f,
                "no secret: {address} can be reached from other machines, so give the customer's webhook_secret with VOIPBIN_SECRET or --secret, or accept anybody's events with --allow-unsigned"
            ),
            Self::NoRandomness(error) => {
                write!(
                    f,
                    "cannot make a secret for this run, give one with --secret: {error}"
                )
            }
        }
    }
}

impl std::error::Error for AccessError {}

/// A secret of the platform's own shape: 32 characters out of 64.
fn generate() -> Result<String, AccessError> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(AccessError::NoRandomness)?;
    let characters = random
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 64)).copied());
    Ok(characters.map(char::from).collect())
}

/// What the environment variable of a switch may say. Empty is how many tools say "not set".
fn switch(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("say true or false".into()),
    }
}

fn path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err("a path begins with /".into());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%:@+,=".contains(&byte);
    if !path.bytes().all(plain) {
        return Err("use letters, digits and /-._~%:@+,= as they stand in the URL".into());
    }
    Ok(path.to_owned())
}
