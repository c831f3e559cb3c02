use std::path::PathBuf;

use clap::Args;

use crate::api::ApiArgs;
use crate::trigger::EventName;

/// Take the events of your account without a URL, while you develop
///
/// They come out of VoIPBIN's stream, over connections that this program opens, and are printed as
/// by the server; or they are sent on to a server of yours, in whatever language, as VoIPBIN would
/// send them. The stream is not signed, has no history, and is for development. The account's
/// webhook goes on being sent.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ListenCommand {
    #[command(flatten)]
    pub(super) api: ApiArgs,

    /// The events, such as call_hangup; all by default. Each takes a connection
    #[arg(value_name = "EVENT", value_parser = EventName::new(), hide_possible_values = true)]
    pub(super) events: Vec<String>,

    /// Send them on to this URL, signed with the secret of the account
    #[arg(long, value_name = "URL")]
    pub(super) forward: Option<String>,

    /// Send on to another machine than this one
    #[arg(long, requires = "forward")]
    pub(super) allow_remote: bool,

    /// A PEM file with certificates to trust at the URL, beside those of this machine
    #[arg(long, value_name = "FILE", requires = "forward")]
    pub(super) ca: Option<PathBuf>,

    /// Print a line of JSON for each attempt to send on
    #[arg(long, requires = "forward")]
    pub(super) json: bool,
}

const AFTER_HELP: &str = "\
Examples:
  See the ends of calls:
    VOIPBIN_ACCESS_KEY=… standalone listen call_hangup
  Develop a server in any language behind a NAT:
    standalone listen --forward http://127.0.0.1:3000/hook --credential-file FILE

A time of which events may be missing is told as a warning. Exit status: 0 after a signal; 1 when the platform
cannot be asked or refuses; 2 when the command makes no sense.";
