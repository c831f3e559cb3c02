use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use voipbin_receiver::inbox::DiskInbox;

use super::values::size;

/// The directory of an inbox that is not told which one.
pub(crate) const DIRECTORY: &str = "voipbin-inbox";

/// The inbox on disk.
#[derive(Args)]
pub(crate) struct DiskSettings {
    /// The directory of the inbox on disk; made when it is not there
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    pub(crate) directory: PathBuf,

    /// Begin anew where there was an inbox and its file is missing, empty, zeroed or cut off: the
    /// events in it are lost, and what is left of it is set aside
    #[arg(long)]
    pub(crate) recreate_inbox: bool,

    /// How much of the bodies on disk waits for its handlers in memory as well
    #[arg(long, value_name = "SIZE", default_value = size(DiskInbox::DEFAULT_MEMORY as u64))]
    pub(crate) inbox_memory: ByteSize,
}
