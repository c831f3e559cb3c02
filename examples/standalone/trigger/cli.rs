use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ContextKind;
use clap::{Arg, Args, Command};
use voipbin_receiver::catalog::{CATALOG, Status};

/// Send signed events of your choice to a webhook endpoint, as VoIPBIN sends them
///
/// Each has a typical body with an id and times of its own, and is sent with the headers, the
/// signature and the three attempts of VoIPBIN. Several events are changes of one resource, in the
/// order given.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TriggerCommand {
    /// The events to send, such as call_hangup; --list shows all
    #[arg(
        value_name = "EVENT",
        value_parser = EventName::new(),
        hide_possible_values = true,
        required_unless_present_any = ["file", "list"]
    )]
    pub(super) events: Vec<String>,

    /// Set a field, such as data.hangup_reason=busy or data.source.target=+15550100; may be given
    /// several times
    ///
    /// A number, true, false, null and what stands in quotes, brackets or braces is JSON, all else
    /// is text.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = change)]
    pub(super) set: Vec<Change>,

    /// Send the bytes of this file as they are, instead of events
    #[arg(long, value_name = "FILE", conflicts_with_all = ["events", "set"])]
    pub(super) file: Option<PathBuf>,

    /// The endpoint
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:5000/voipbin/webhook"
    )]
    pub(super) to: String,

    /// The file with the secret to sign with, instead of the variable VOIPBIN_SECRET
    #[arg(long, env = "VOIPBIN_SECRET_FILE", value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,

    /// Send without a signature, as for an account without a secret
    #[arg(long)]
    pub(super) unsigned: bool,

    /// A PEM file with certificates to trust beside those of this machine
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,

    /// Send all of it so often, each time about another resource; a file as it is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) times: u32,

    /// Send each event twice at once, with the same bytes
    #[arg(long)]
    pub(super) duplicate: bool,

    /// Send the latest event first and the earliest last
    #[arg(long)]
    pub(super) reorder: bool,

    /// Lose, copy, delay and break by chance, the same for the same seed
    #[arg(long, value_name = "SEED", conflicts_with_all = ["duplicate", "reorder"])]
    pub(super) chaos: Option<u64>,

    /// Show the events that VoIPBIN sends, and send nothing
    #[arg(long, conflicts_with_all = ["events", "file"])]
    pub(super) list: bool,

    /// Print a line of JSON for each attempt, or each event of --list
    #[arg(long)]
    pub(super) json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  The end of a call, to a server on this machine:
    VOIPBIN_SECRET=… standalone trigger call_hangup --set data.hangup_reason=busy
  The life of a call, the end first:
    standalone trigger call_created call_progressing call_hangup --reorder --secret-file FILE
  A body that was kept, byte for byte:
    standalone trigger --file body.json --to https://hooks.example.com/voipbin/webhook
  A hundred messages under bad conditions, the same each time:
    standalone trigger message_created --times 100 --chaos 7

Each line has the event, the id of its resource, the status, the answer and the time that it took.
Exit status: 0 when every event was answered 2xx; 1 when one was not; 2 when the command makes no sense.
With --chaos: 1 when a request that arrived was not answered 2xx, or none arrived.";

/// What `--set` changes.
#[derive(Clone)]
pub(super) struct Change {
    /// Below `data`; never empty.
    pub(super) path: Vec<String>,
    pub(super) value: serde_json::Value,
}

fn change(text: &str) -> Result<Change, String> {
    let (field, value) = text
        .split_once('=')
        .ok_or("say FIELD=VALUE, such as data.hangup_reason=busy")?;
    let path: Option<Vec<String>> = field
        .strip_prefix("data.")
        .map(|path| path.split('.').map(str::to_owned).collect());
    let path = path
        .filter(|path| path.iter().all(|name| !name.is_empty()))
        .ok_or("a field stands below data, such as data.hangup_reason or data.source.target")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(Change { path, value })
}

/// A name of the catalogue, which shells complete. There are too many to be shown in a message.
#[derive(Clone)]
pub(crate) struct EventName(PossibleValuesParser);

impl EventName {
    pub(crate) fn new() -> Self {
        Self(PossibleValuesParser::new(
            CATALOG.iter().map(|entry| entry.name),
        ))
    }
}

impl TypedValueParser for EventName {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        self.0.parse_ref(command, arg, value).map_err(|mut error| {
            error.remove(ContextKind::ValidValue);
            error
        })
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let sent = CATALOG.iter().filter(|entry| entry.status == Status::Sent);
        Some(Box::new(sent.map(|entry| PossibleValue::new(entry.name))))
    }
}
