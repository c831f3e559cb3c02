#[cfg(feature = "postgres")]
use std::error::Error;
use std::path::Path;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
#[cfg(feature = "disk")]
use voipbin_receiver::inbox::DiskInbox as LastingInbox;
use voipbin_receiver::inbox::MemoryInbox;
#[cfg(all(feature = "postgres", not(feature = "disk")))]
use voipbin_receiver::inbox::PostgresInbox as LastingInbox;
#[cfg(feature = "postgres")]
use voipbin_receiver::inbox::PostgresInboxBuilder;
#[cfg(feature = "disk")]
use voipbin_receiver::inbox::{DiskInbox, DiskInboxBuilder};

#[cfg(any(feature = "disk", feature = "postgres"))]
use super::values::time;
use super::values::{bytes, count, default, size, wait};

/// Where events are kept, how many, and for how long.
#[derive(Args)]
pub(crate) struct InboxSettings {
    /// Where events are kept between the answer and the end of their handlers
    #[arg(
        id = "inbox",
        long = "inbox",
        value_name = "INBOX",
        default_value = if cfg!(feature = "disk") { "disk" } else { "memory" }
    )]
    pub(crate) choice: InboxChoice,

    #[cfg(feature = "disk")]
    #[command(flatten)]
    pub(crate) disk: super::DiskSettings,

    #[cfg(feature = "postgres")]
    #[command(flatten)]
    pub(crate) postgres: super::PostgresSettings,

    /// How long a finished event stays; 0s is not at all
    #[cfg(any(feature = "disk", feature = "postgres"))]
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(LastingInbox::DEFAULT_RETAIN_DONE),
        value_parser = time
    )]
    retain_done: humantime::Duration,

    /// How long a dead letter stays
    #[cfg(any(feature = "disk", feature = "postgres"))]
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(LastingInbox::DEFAULT_RETAIN_DEAD),
        value_parser = time
    )]
    retain_dead: humantime::Duration,

    #[arg(
        long,
        value_name = "N",
        value_parser = count(),
        help = format!(
            "How many events may be unfinished at once: {}, unless it is set",
            default_max_events()
        )
    )]
    max_events: Option<usize>,

    #[arg(
        long,
        value_name = "SIZE",
        help = format!(
            "How large the bodies that are kept may be together: {}, unless it is set",
            default_max_bytes()
        )
    )]
    max_bytes: Option<ByteSize>,

    /// How long the identity of an event is remembered, and copies of it dropped
    #[arg(
        long,
        value_name = "TIME",
        default_value = default(MemoryInbox::DEFAULT_IDENTITY_TTL),
        value_parser = wait
    )]
    identity_ttl: humantime::Duration,

    /// How many identities are remembered, for up to 66 bytes of memory each
    #[arg(
        long,
        value_name = "N",
        default_value_t = MemoryInbox::DEFAULT_MAX_IDENTITIES,
        value_parser = count()
    )]
    max_identities: usize,

    /// How many dead letters stay in memory, without a disk
    #[arg(long, value_name = "N", default_value_t = MemoryInbox::DEFAULT_MAX_DEAD)]
    max_dead: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InboxChoice {
    #[cfg(feature = "disk")]
    /// In a directory: what was answered 200 survives kill -9 and a power cut
    Disk,
    #[cfg(feature = "postgres")]
    /// In a database that several servers share: what was answered 200 is as safe as its commits
    Postgres,
    /// In this process: drained by a clean shutdown, lost when the process is killed
    Memory,
}

fn default_max_events() -> String {
    let defaults = format!("{} in memory", MemoryInbox::DEFAULT_MAX_EVENTS);
    #[cfg(feature = "disk")]
    let defaults = format!("{} on disk and {defaults}", DiskInbox::DEFAULT_MAX_EVENTS);
    defaults
}

fn default_max_bytes() -> String {
    let defaults = format!("{} in memory", size(MemoryInbox::DEFAULT_MAX_BYTES as u64));
    #[cfg(feature = "disk")]
    let defaults = format!(
        "{} on disk and {defaults}",
        size(DiskInbox::DEFAULT_MAX_BYTES)
    );
    defaults
}

impl InboxSettings {
    /// The directory of the inbox, where it has one.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self.choice {
            #[cfg(feature = "disk")]
            InboxChoice::Disk => Some(&self.disk.directory),
            #[cfg(feature = "postgres")]
            InboxChoice::Postgres => None,
            InboxChoice::Memory => None,
        }
    }

    /// How large the bodies in the inbox on disk may be together.
    #[cfg(feature = "disk")]
    pub(crate) fn disk_bytes(&self) -> u64 {
        let given = self.max_bytes.map(|size| size.as_u64());
        given.unwrap_or(DiskInbox::DEFAULT_MAX_BYTES)
    }

    /// The inbox on disk, to be opened.
    #[cfg(feature = "disk")]
    pub(crate) fn disk(&self) -> DiskInboxBuilder {
        DiskInbox::builder(&self.disk.directory)
            .recreate(self.disk.recreate_inbox)
            .max_events(self.max_events.unwrap_or(DiskInbox::DEFAULT_MAX_EVENTS))
            .max_bytes(self.disk_bytes())
            .memory(bytes(self.disk.inbox_memory))
            .max_identities(self.max_identities)
            .identity_ttl(*self.identity_ttl)
            .retain_done(*self.retain_done)
            .retain_dead(*self.retain_dead)
    }

    /// The inbox on PostgreSQL, to be connected.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(&self) -> Result<PostgresInboxBuilder, Box<dyn Error>> {
        let mut builder = self
            .postgres
            .inbox()?
            .identity_ttl(*self.identity_ttl)
            .retain_done(*self.retain_done)
            .retain_dead(*self.retain_dead);
        if let Some(events) = self.max_events {
            builder = builder.max_events(events);
        }
        if let Some(bytes) = self.max_bytes {
            builder = builder.max_bytes(bytes.as_u64());
        }
        Ok(builder)
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
