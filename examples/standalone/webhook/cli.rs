use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::api::ApiArgs;

/// Tell VoIPBIN where to send the events of your account
///
/// An account has one webhook. Its other settings survive a change; a change that somebody else
/// makes at the same time is seen and report.
#[derive(Args)]
#[command(after_help = AFTER_HELP, mut_args = |arg| arg.global(true))]
pub(crate) struct WebhookCommand {
    #[command(flatten)]
    pub(super) api: ApiArgs,

    /// The file that holds what was there before, for undo; its owner alone can read it
    #[arg(
        long,
        env = "VOIPBIN_WEBHOOK_STATE",
        value_name = "FILE",
        default_value = "voipbin-webhook.json"
    )]
    pub(super) state: PathBuf,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,

    #[command(subcommand)]
    pub(super) action: Action,
}

const AFTER_HELP: &str = "\
Examples:
  See where events go, and store the secret for the server:
    VOIPBIN_ACCESS_KEY=… standalone webhook show --save-secret voipbin-secret
  Have them sent to a server, and take it back:
    standalone webhook set https://hooks.example.com/voipbin/webhook
    standalone webhook undo

VoIPBIN sends every event of the account. Which of them are handled is decided by the handlers of the receiver.
Exit status: 0; 1 when it failed; 2 when the command makes no sense, or events would not arrive there; 3 when
nothing was done for want of --yes.";

#[derive(Subcommand)]
pub(super) enum Action {
    /// Where events are sent
    Show(Show),
    /// Have events sent to a URI
    Set(Set),
    /// Have no more events sent
    Off,
    /// Bring back what was there before the last set, off or undo
    Undo,
    /// As in the tutorial: make a webhook; today, set the account's one
    Create(Create),
    /// As in the tutorial: list webhooks; today, the account's one
    List,
    /// As in the tutorial: change a webhook; today, the account's one
    Update(Update),
    /// As in the tutorial: delete a webhook; today, have no more events sent
    Delete(Delete),
}

#[derive(Args)]
pub(super) struct Show {
    /// Store the secret that events are signed with in a new file, which its owner alone can read
    #[arg(long, value_name = "FILE")]
    pub(super) save_secret: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Set {
    /// The exact final URI: https, and no redirect
    pub(super) uri: String,

    /// The method, in capitals
    #[arg(long, default_value = "POST")]
    pub(super) method: String,

    #[command(flatten)]
    pub(super) checks: CheckArgs,
}

/// What is checked before a change.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// Take a private or loopback host, for a platform of your own that sends to such
    #[arg(long)]
    pub(super) allow_private: bool,

    /// Do not look whether this receiver answers there, which sends one unsigned event
    #[arg(long)]
    pub(super) no_probe: bool,
}

#[derive(Args)]
pub(super) struct Fields {
    /// Its name
    #[arg(long)]
    pub(super) name: Option<String>,

    /// A note about it
    #[arg(long)]
    pub(super) detail: Option<String>,

    /// The events, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(super) event_types: Option<Vec<String>>,

    #[command(flatten)]
    pub(super) checks: CheckArgs,

    /// On a platform that has one webhook for each account: change that
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Args)]
pub(super) struct Create {
    /// Where events are sent
    #[arg(long)]
    pub(super) uri: String,

    /// The method, in capitals
    #[arg(long, default_value = "POST")]
    pub(super) method: String,

    #[command(flatten)]
    pub(super) fields: Fields,
}

#[derive(Args)]
pub(super) struct Update {
    /// The id of the webhook
    pub(super) id: String,

    /// Where events are sent
    #[arg(long)]
    pub(super) uri: Option<String>,

    /// The method, in capitals
    #[arg(long)]
    pub(super) method: Option<String>,

    #[command(flatten)]
    pub(super) fields: Fields,
}

#[derive(Args)]
pub(super) struct Delete {
    /// The id of the webhook
    pub(super) id: String,

    /// On a platform that has one webhook for each account: have no more events sent
    #[arg(long)]
    pub(super) yes: bool,
}
