//! The account's events without a URL, out of the platform's stream.
//!
//! ```text
//! cli -> handle    by the handlers of this program
//!     -> forward   by a server in any language, signed as webhooks are
//! ```

mod cli;
mod forward;
mod handle;

use std::process::ExitCode;

use voipbin_receiver::catalog::EventType;
use voipbin_receiver::gate::Secret;
use voipbin_receiver::platform::{Customer, Platform};
use voipbin_receiver::source::EventStream;

pub(crate) use self::cli::ListenCommand;
use crate::terminal::{cell, complain, in_full, say};

/// How many connections are opened in a second: the platform allows 17 requests of an account.
const CONNECTIONS_PER_SECOND: u32 = 10;

/// Why it did not come to an end by a signal.
enum Failure {
    /// Status 1.
    Failed(String),
    /// Status 2.
    Usage(String),
}

pub(crate) async fn run(command: ListenCommand) -> ExitCode {
    let (why, status) = match listen(command).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => (why, 1),
        Err(Failure::Usage(why)) => (why, 2),
    };
    complain(why);
    ExitCode::from(status)
}

async fn listen(command: ListenCommand) -> Result<(), Failure> {
    let forward = command.forward.as_ref();
    let forward = forward.map(|to| forward::Target::new(to, &command));
    let forward = forward.transpose().map_err(Failure::Usage)?;
    let builder = command.api.builder().map_err(Failure::Usage)?;
    let platform = builder
        .requests_per_second(CONNECTIONS_PER_SECOND)
        .build()
        .map_err(|error| Failure::Usage(in_full(&error)))?;
    let failed = |error| Failure::Failed(in_full(&error));
    let customer = platform.customer().await.map_err(failed)?;
    match forward {
        Some(target) => target.run(&platform, &customer, &command).await,
        None => handle::run(&platform, &customer, &command).await,
    }
}

/// Connects for these types of events, and says so.
async fn connect(
    platform: &Platform,
    customer: &Customer,
    events: Vec<EventType>,
) -> Result<EventStream, Failure> {
    let types = events.len();
    say(format_args!(
        "connecting to the stream of account {}, for {types} {} of events …",
        cell(&customer.id, 64),
        if types == 1 { "type" } else { "types" },
    ));
    let stream = EventStream::builder(platform).events(events).connect();
    let stream = stream
        .await
        .map_err(|error| Failure::Failed(in_full(&error)))?;
    say(
        "listening; for development alone: the stream is not signed and has no history, and the account's \
         webhook is sent all the while",
    );
    Ok(stream)
}

/// What webhooks are signed with, where the account has it.
fn secret(customer: &Customer) -> Option<Secret> {
    customer.webhook_secret.clone()
}
