use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{ArgAction, Args, ValueEnum};
use voipbin_receiver::inbox::{DiskInbox, DiskInboxBuilder, MemoryInbox};

use super::values::{bytes, count, default, size, switch, time, wait};

/// The directory of an inbox that is not told which one.
pub(crate) const DIRECTORY: &str = "voipbin-inbox";

/// Where events are kept, how many, and for how long.
#[derive(Args)]
pub(crate) struct InboxSettings {
    /// Where events are kept between the answer and the end of their handlers
    #[arg(
        id = "inbox",
        long = "inbox",
        env = "VOIPBIN_INBOX",
        value_name = "INBOX",
        default_value = "disk"
    )]
    pub(crate) choice: InboxChoice,

    /// The directory of the inbox on disk; made when it is not there
    #[arg(
        long,
        env = "VOIPBIN_DIRECTORY",
        value_name = "DIR",
        default_value = DIRECTORY
    )]
    pub(crate) directory: PathBuf,

    /// Begin anew where there was an inbox and its file is missing, empty, zeroed or cut off: the events in it are
    /// lost, and what is left of it is set aside
    #[arg(
        long,
        env = "VOIPBIN_RECREATE_INBOX",
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value = "false",
        value_parser = switch
    )]
    pub(crate) recreate_inbox: bool,

    #[arg(
        long,
        env = "VOIPBIN_MAX_EVENTS",
        value_name = "N",
        value_parser = count(),
        help = format!(
            "How many events may be unfinished at once: {} on disk and {} in memory, unless it is set",
            DiskInbox::DEFAULT_MAX_EVENTS,
            MemoryInbox::DEFAULT_MAX_EVENTS
        )
    )]
    max_events: Option<usize>,

    #[arg(
        long,
        env = "VOIPBIN_MAX_BYTES",
        value_name = "SIZE",
        help = format!(
            "How large the bodies that are kept may be together: {} on disk and {} in memory, unless it is set",
            size(DiskInbox::DEFAULT_MAX_BYTES),
            size(MemoryInbox::DEFAULT_MAX_BYTES as u64)
        )
    )]
    max_bytes: Option<ByteSize>,

    /// How long the identity of an event is remembered, and copies of it dropped
    #[arg(
        long,
        env = "VOIPBIN_IDENTITY_TTL",
        value_name = "TIME",
        default_value = default(DiskInbox::DEFAULT_IDENTITY_TTL),
        value_parser = wait
    )]
    identity_ttl: humantime::Duration,

    /// How many identities are remembered, for up to 66 bytes of memory each
    #[arg(
        long,
        env = "VOIPBIN_MAX_IDENTITIES",
        value_name = "N",
        default_value_t = DiskInbox::DEFAULT_MAX_IDENTITIES,
        value_parser = count()
    )]
    max_identities: usize,

    /// How long a finished event stays on disk; 0s is not at all
    #[arg(
        long,
        env = "VOIPBIN_RETAIN_DONE",
        value_name = "TIME",
        default_value = default(DiskInbox::DEFAULT_RETAIN_DONE),
        value_parser = time
    )]
    retain_done: humantime::Duration,

    /// How long a dead letter stays on disk
    #[arg(
        long,
        env = "VOIPBIN_RETAIN_DEAD",
        value_name = "TIME",
        default_value = default(DiskInbox::DEFAULT_RETAIN_DEAD),
        value_parser = time
    )]
    retain_dead: humantime::Duration,

    /// How much of the bodies on disk waits for its handlers in memory as well
    #[arg(
        long,
        env = "VOIPBIN_INBOX_MEMORY",
        value_name = "SIZE",
        default_value = size(DiskInbox::DEFAULT_MEMORY as u64)
    )]
    inbox_memory: ByteSize,

    /// How many dead letters stay in memory, without a disk
    #[arg(
        long,
        env = "VOIPBIN_MAX_DEAD",
        value_name = "N",
        default_value_t = MemoryInbox::DEFAULT_MAX_DEAD
    )]
    max_dead: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InboxChoice {
    /// In a directory: what was answered 200 survives kill -9 and a power cut
    Disk,
    /// In this process: drained by a clean shutdown, lost when the process is killed
    Memory,
}

impl InboxSettings {
    /// The inbox on disk, to be opened.
    pub(crate) fn disk(&self) -> DiskInboxBuilder {
        let max_bytes = self.max_bytes.map(|size| size.as_u64());
        DiskInbox::builder(&self.directory)
            .recreate(self.recreate_inbox)
            .max_events(self.max_events.unwrap_or(DiskInbox::DEFAULT_MAX_EVENTS))
            .max_bytes(max_bytes.unwrap_or(DiskInbox::DEFAULT_MAX_BYTES))
            .memory(bytes(self.inbox_memory))
            .max_identities(self.max_identities)
            .identity_ttl(*self.identity_ttl)
            .retain_done(*self.retain_done)
            .retain_dead(*self.retain_dead)
    }

    /// The inbox in memory.
    pub(crate) fn memory(&self) -> MemoryInbox {
        MemoryInbox::builder()
            .max_events(self.max_events.unwrap_or(MemoryInbox::DEFAULT_MAX_EVENTS))
            .max_bytes(self.max_bytes.map_or(MemoryInbox::DEFAULT_MAX_BYTES, bytes))
            .max_identities(self.max_identities)
            .identity_ttl(*self.identity_ttl)
            .max_dead(self.max_dead)
            .build()
    }
}
