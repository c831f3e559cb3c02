//! A webhook endpoint that prints one JSON line for each event it handles.
//!
//! `cargo run --example standalone` is all it takes to see one: without a secret it makes one for
//! this run and prints a complete `curl` command.

mod greeting;
mod inbox;
mod metrics;
mod options;
mod print;
mod server;

use std::error::Error;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use voipbin_receiver::inbox::MemoryInbox;
use voipbin_receiver::observe::Metrics;
use voipbin_receiver::{Receiver, handlers};

use crate::inbox::Control;
use crate::metrics::Exporter;
use crate::options::{Access, Command, InboxChoice, Options, ServerOptions};
use crate::print::Printer;
use crate::server::Stop;

/// How long handlers may go on after the first Ctrl-C or SIGTERM.
const DRAIN: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let Options { server, command } = Options::parse();
    let level = if command.is_some() { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Its complaint about a closed standard error goes to standard error, and panics.
        .log_internal_errors(false)
        .init();

    let ended = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let ended = runtime.block_on(async {
                match command {
                    Some(Command::Inbox(command)) => Ok(inbox::run(command).await),
                    None => serve(server).await,
                }
            });
            // Whatever still blocks a thread, such as a pipe that nobody reads, must not hold up the
            // end.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        greeting::complain(&*error);
        ExitCode::from(2)
    })
}

async fn serve(options: ServerOptions) -> Result<ExitCode, Box<dyn Error>> {
    let access = options.access()?;
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;

    let exporter = match options.metrics_listen {
        Some(address) => Some(Exporter::listen(address).await?),
        None => None,
    };

    let mut builder = Receiver::builder()
        .state(Printer::new(options.quiet))
        .handlers(handlers![print::event, print::custom]);
    for secret in access.secrets() {
        builder = builder.secret(secret.as_str());
    }
    if options.allow_unsigned {
        builder = builder.allow_unsigned();
    }
    if exporter.is_some() {
        builder = builder.observe(Metrics::new());
    }
    let receiver = match options.inbox {
        InboxChoice::Disk => builder.inbox(inbox::open(&options.directory).await?),
        InboxChoice::Memory => builder.inbox(MemoryInbox::new()),
    }
    .build()?;

    let _control = match options.inbox {
        InboxChoice::Disk => control(&options.directory, &receiver),
        InboxChoice::Memory => None,
    };
    // Before the greeting: whoever reads it may stop the server at once.
    let stop = Stop::new()?;
    let metrics = exporter.as_ref().map(Exporter::address).transpose()?;
    greeting::greet(&options, &access, listener.local_addr()?, metrics);
    // To the very end: the drain is worth watching too.
    let scraped = exporter.map(|exporter| tokio::spawn(exporter.serve(receiver.clone())));
    let report = server::serve(listener, &options.path, &receiver, DRAIN, stop).await;
    if let Some(scraped) = scraped {
        scraped.abort();
    }
    let stats = receiver.stats();
    tracing::info!(
        accepted = stats.accepted,
        duplicates = stats.duplicates,
        handled = stats.handled,
        failed = stats.failed,
        dead = stats.dead,
        refused_signature = stats.refused_signature,
        refused_other = stats.refused_method
            + stats.refused_size
            + stats.refused_read
            + stats.refused_head
            + stats.refused_busy
            + stats.refused_rate
            + stats.refused_source
            + stats.refused_secrets
            + stats.refused_body
            + stats.refused_age
            + stats.refused_inbox,
        unfinished = report.unfinished.len(),
        "stopped"
    );
    for left in &report.unfinished {
        tracing::error!(delivery = ?left.delivery, handler = %left.handler, state = ?left.state, "lost");
    }
    Ok(if report.is_drained() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Lets the inbox's tools ask this server. Without them it serves all the same.
fn control(directory: &Path, receiver: &Receiver) -> Option<Control> {
    Control::open(directory, receiver.clone())
        .inspect_err(|error| {
            tracing::warn!(
                %error,
                directory = %directory.display(),
                "the tools `standalone inbox …` cannot reach this server, they need it stopped; \
                 a path of more than some 90 bytes is too long for a socket"
            );
        })
        .ok()
}

impl Access {
    fn secrets(&self) -> &[String] {
        match self {
            Self::Secrets(secrets) => secrets,
            Self::Generated(secret) => std::slice::from_ref(secret),
            Self::Unsigned => &[],
        }
    }
}
