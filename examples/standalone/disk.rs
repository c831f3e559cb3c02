//! The inbox on disk.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use rustix::process::{Resource, Signal, getrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use voipbin_receiver::inbox::{DiskInbox, DiskInboxError, DiskInboxErrorKind, DiskRecords};

use crate::settings::{DiskSettings, InboxSettings};
use crate::terminal::{in_full, say};

/// Opens the inbox, for which it waits for so long where it is in use.
pub(crate) async fn open(
    settings: &InboxSettings,
    patience: Duration,
) -> Result<DiskInbox, DiskInboxError> {
    const PAUSE: Duration = Duration::from_millis(50);
    let since = Instant::now();
    let mut told = false;
    loop {
        match settings.disk().open().await {
            // By another process, or this one as it closes it.
            Err(error)
                if matches!(
                    error.kind(),
                    DiskInboxErrorKind::Locked { .. } | DiskInboxErrorKind::AlreadyOpen
                ) && since.elapsed() < patience =>
            {
                if !told {
                    tracing::info!("{error}; waiting for it");
                    told = true;
                }
                sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Has a write fail that would make a file too large for the limit of the process, in place of
/// ending it by a signal.
pub(crate) fn outlive_large_files() -> io::Result<()> {
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// What is to be said where a file of the process may not be as large as the inbox.
pub(crate) fn file_limit(settings: &InboxSettings) -> Option<String> {
    let (longest, asked) = (getrlimit(Resource::Fsize).current?, settings.disk_bytes());
    (longest < asked).then(|| {
        format!(
            "a file of the process may have {}, which is too little for max_bytes = {}: \
             raise its limit (ulimit -f, LimitFSIZE=), or events get a 503 there",
            ByteSize(longest),
            ByteSize(asked)
        )
    })
}

/// Whether the inbox can be used, or could be made.
pub(crate) fn check(settings: &DiskSettings) -> Result<(), String> {
    let directory = settings.directory.as_path();
    match DiskRecords::check(directory) {
        Ok(Some(_)) => {
            say(format_args!(
                "the inbox in {} is in use, as by a server that runs",
                directory.display()
            ));
            return Ok(());
        }
        Ok(None) => {}
        Err(error) if error.kind() == DiskInboxErrorKind::NotFound => {}
        Err(error) if settings.recreate_inbox => {
            say(format_args!("{}; it begins anew", in_full(&error)));
        }
        Err(error) => return Err(in_full(&error)),
    }
    let there = directory.ancestors().find(|path| path.exists());
    let there = there.unwrap_or_else(|| Path::new("."));
    // It has no name, and is gone when this ends.
    tempfile::tempfile_in(there).map(drop).map_err(|error| {
        format!(
            "there can be no inbox in {}, as nothing can be written to {}: {error}",
            directory.display(),
            there.display()
        )
    })
}
