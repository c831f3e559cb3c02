//! The events by the handlers of this program, as those of the server.

use std::time::Duration;

use voipbin_receiver::catalog::EventType;
use voipbin_receiver::platform::{Customer, Platform};
use voipbin_receiver::{Receiver, handlers};

use super::cli::ListenCommand;
use super::{Failure, connect, secret};
use crate::print::{self, Printer};
use crate::server::StopSignals;
use crate::terminal::in_full;

/// How long handlers may go on at the end.
const DRAIN: Duration = Duration::from_secs(5);

pub(super) async fn run(
    platform: &Platform,
    customer: &Customer,
    command: &ListenCommand,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Failed(in_full(error));
    let mut stop = StopSignals::new().map_err(|error| failed(&error))?;
    let builder = Receiver::builder();
    // The secret is a part of the identity, by which copies are told.
    let builder = match secret(customer) {
        Some(secret) => builder.secret(secret),
        None => builder.allow_unsigned(),
    };
    let receiver = builder
        .state(Printer::new(false))
        .handlers(handlers![print::event])
        .build()
        .map_err(|error| failed(&error))?;
    let events = match &*command.events {
        [] => receiver.handled_events(),
        events => events.iter().map(|name| EventType::parse(name)).collect(),
    };
    let ended = tokio::select! {
        ended = async {
            let stream = connect(platform, customer, events).await?;
            receiver.listen(stream).await.map_err(|error| failed(&error))
        } => ended,
        () = stop.next() => Ok(()),
    };
    tokio::select! {
        _ = receiver.shutdown(DRAIN) => {}
        () = stop.next() => {}
    }
    ended
}
