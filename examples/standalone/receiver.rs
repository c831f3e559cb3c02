//! The receiver that the settings describe.

use std::error::Error;
use std::time::Duration;

#[cfg(feature = "metrics")]
use voipbin_receiver::observe::Metrics;
use voipbin_receiver::{Receiver, ReceiverBuilder, handlers};

#[cfg(feature = "disk")]
use crate::disk;
use crate::print::{self, Printer};
use crate::settings::{Access, InboxChoice, Settings};

/// The receiver, with its inbox, for which it waits for so long where it is in use. Its handlers
/// wait for so long for what is recovered.
#[cfg_attr(
    not(feature = "history"),
    expect(
        unused_variables,
        reason = "nothing is waited for then, or not all of it"
    )
)]
pub(crate) async fn build(
    settings: &Settings,
    access: &Access,
    patience: Duration,
    hold: Option<Duration>,
) -> Result<Receiver, Box<dyn Error>> {
    let builder = builder(settings, access);
    #[cfg(feature = "history")]
    let builder = match hold {
        Some(most) => builder.hold_for_catch_up(most),
        None => builder,
    };
    #[cfg(feature = "metrics")]
    let builder = match settings.server.metrics_listen() {
        Some(_) => builder.observe(Metrics::new()),
        None => builder,
    };
    let builder = match settings.inbox.choice {
        #[cfg(feature = "disk")]
        InboxChoice::Disk => builder.inbox(disk::open(&settings.inbox, patience).await?),
        #[cfg(feature = "postgres")]
        InboxChoice::Postgres => builder.inbox(settings.inbox.postgres()?.connect().await?),
        InboxChoice::Memory => builder.inbox(settings.inbox.memory()),
    };
    Ok(builder.build()?)
}

/// All of it that is not the inbox.
pub(crate) fn builder(settings: &Settings, access: &Access) -> ReceiverBuilder {
    let builder = Receiver::builder()
        .role(settings.role())
        .state(Printer::new(settings.logs.quiet))
        .handlers(handlers![print::event, print::custom]);
    let builder = settings.gate.apply(builder, access);
    let builder = builder.limits(settings.limits.limits());
    settings.handlers.apply(builder)
}
