//! The receiver that the settings describe.

use std::error::Error;

use voipbin_receiver::observe::Metrics;
use voipbin_receiver::{Receiver, ReceiverBuilder, handlers};

use crate::inbox;
use crate::print::{self, Printer};
use crate::settings::{Access, InboxChoice, Settings};

/// The receiver, with its inbox.
pub(crate) async fn build(
    settings: &Settings,
    access: &Access,
) -> Result<Receiver, Box<dyn Error>> {
    let mut builder = builder(settings, access);
    if settings.server.metrics_listen.is_some() {
        builder = builder.observe(Metrics::new());
    }
    let builder = match settings.inbox.choice {
        InboxChoice::Disk => builder.inbox(inbox::open(&settings.inbox).await?),
        InboxChoice::Memory => builder.inbox(settings.inbox.memory()),
    };
    Ok(builder.build()?)
}

/// All of it that is not the inbox.
pub(crate) fn builder(settings: &Settings, access: &Access) -> ReceiverBuilder {
    let builder = Receiver::builder()
        .state(Printer::new(settings.logs.quiet))
        .handlers(handlers![print::event, print::custom]);
    let builder = settings.gate.apply(builder, access);
    let builder = settings.limits.apply(builder);
    settings.handlers.apply(builder)
}
