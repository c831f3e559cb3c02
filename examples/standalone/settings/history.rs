use clap::Args;
use clap::builder::RangedU64ValueParser;
use voipbin_receiver::platform::Platform;
use voipbin_receiver::source::CatchUp;

use crate::api::ApiArgs;

/// What is recovered of the time in which nothing was received, and who asks for it.
#[derive(Args)]
pub(crate) struct HistorySettings {
    /// At the start recover what was missed since the inbox was last in use, as far as VoIPBIN's
    /// history has it
    ///
    /// It is handled before what comes meanwhile, which waits for it in the inbox for up to 60s.
    /// The inbox is one on disk or on PostgreSQL, and VOIPBIN_ACCESS_KEY, VOIPBIN_TOKEN or
    /// --credential-file says who asks. Not after a --take-over, in which nothing is missed.
    #[arg(long)]
    pub(crate) catch_up: bool,

    /// How many requests may be made to recover what was missed, at 5 a second
    #[arg(
        long,
        value_name = "N",
        default_value_t = CatchUp::DEFAULT_BUDGET,
        value_parser = RangedU64ValueParser::<u32>::new().range(1..)
    )]
    pub(crate) catch_up_requests: u32,

    #[command(flatten)]
    api: ApiArgs,
}

impl HistorySettings {
    /// Who is asked for what was missed. Nothing is sent yet.
    pub(crate) fn platform(&self) -> Result<Platform, String> {
        self.api.connect()
    }
}
