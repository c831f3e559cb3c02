//! The receiver that the settings describe.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use voipbin_receiver::inbox::{DiskInbox, DiskInboxError, DiskInboxErrorKind};
use voipbin_receiver::observe::Metrics;
use voipbin_receiver::{Receiver, ReceiverBuilder, handlers};

use crate::print::{self, Printer};
use crate::settings::{Access, InboxChoice, InboxSettings, Settings};

/// The receiver, with its inbox, for which it waits for so long where it is in use.
pub(crate) async fn build(
    settings: &Settings,
    access: &Access,
    patience: Duration,
) -> Result<Receiver, Box<dyn Error>> {
    let mut builder = builder(settings, access);
    if settings.server.metrics_listen.is_some() {
        builder = builder.observe(Metrics::new());
    }
    let builder = match settings.inbox.choice {
        InboxChoice::Disk => builder.inbox(open(&settings.inbox, patience).await?),
        InboxChoice::Memory => builder.inbox(settings.inbox.memory()),
    };
    Ok(builder.build()?)
}

async fn open(settings: &InboxSettings, patience: Duration) -> Result<DiskInbox, DiskInboxError> {
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

/// All of it that is not the inbox.
pub(crate) fn builder(settings: &Settings, access: &Access) -> ReceiverBuilder {
    let builder = Receiver::builder()
        .state(Printer::new(settings.logs.quiet))
        .handlers(handlers![print::event, print::custom]);
    let builder = settings.gate.apply(builder, access);
    let builder = builder.limits(settings.limits.limits());
    settings.handlers.apply(builder)
}
