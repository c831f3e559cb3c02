//! A webhook endpoint that prints one JSON line for each event it handles.
//!
//! `cargo run --example standalone` is all it takes to see one: without a secret it makes one for
//! this run and prints a complete `curl` command.

#[cfg(feature = "platform")]
mod api;
#[cfg(feature = "history")]
mod catch_up;
mod check;
mod completions;
#[cfg(feature = "disk")]
mod disk;
mod greeting;
mod health;
#[cfg(feature = "disk")]
mod inbox;
#[cfg(feature = "inspector")]
mod inspector;
#[cfg(feature = "listen")]
mod listen;
#[cfg(feature = "metrics")]
mod metrics;
mod options;
mod print;
mod receiver;
mod reload;
mod server;
mod settings;
mod systemd;
mod take_over;
mod terminal;
mod tls;
#[cfg(feature = "trigger")]
mod trigger;
#[cfg(feature = "platform")]
mod webhook;

use std::error::Error;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::{self, ExitCode};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;
use voipbin_receiver::mount;
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::{Receiver, ShutdownReport};

#[cfg(feature = "history")]
use crate::catch_up::AtStart;
#[cfg(feature = "inspector")]
use crate::inspector::Inspector;
#[cfg(feature = "metrics")]
use crate::metrics::Exporter;
use crate::options::{Command, Configuration, Options};
use crate::reload::Reload;
use crate::server::{RunningServer, StopSignals};
use crate::settings::{InboxChoice, LogFormat, Settings};
use crate::take_over::Door;

fn main() -> ExitCode {
    let ended = match Options::read() {
        Ok(configuration) => run(configuration),
        Err(error) => Err(error.into()),
    };
    ended.unwrap_or_else(|error| {
        terminal::complain(terminal::in_full(&*error));
        ExitCode::from(2)
    })
}

fn run(configuration: Configuration) -> Result<ExitCode, Box<dyn Error>> {
    log(&configuration.options);
    // Before there are threads: it takes variables out of the environment.
    let inherited = ListenFd::from_env();
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(async {
        if configuration.options.command.is_none() {
            configuration.warn();
        }
        if configuration.options.check {
            return Ok(check::check(&configuration));
        }
        match configuration.options.command {
            #[cfg(feature = "disk")]
            Some(Command::Inbox(command)) => Ok(inbox::run(*command).await),
            #[cfg(feature = "trigger")]
            Some(Command::Trigger(command)) => Ok(trigger::run(command).await),
            #[cfg(feature = "listen")]
            Some(Command::Listen(command)) => Ok(listen::run(command).await),
            #[cfg(feature = "history")]
            Some(Command::CatchUp(command)) => Ok(catch_up::run(*command).await),
            #[cfg(feature = "platform")]
            Some(Command::Webhook(command)) => Ok(webhook::run(*command).await),
            Some(Command::Health(command)) => {
                Ok(health::run(&command, &configuration.options.settings.server).await)
            }
            Some(Command::Completions(command)) => Ok(completions::run(&command)),
            None => serve(&configuration, inherited).await,
        }
    });
    // Whatever still blocks a thread, such as a pipe that nobody reads, must not hold up the end.
    runtime.shutdown_background();
    ended
}

/// Logs to standard error. The tools have none of the server's settings.
fn log(options: &Options) {
    let logs = &options.settings.logs;
    let filter = match options.command {
        None => EnvFilter::new(&logs.log),
        Some(_) => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")),
    };
    let logged = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        // Its complaint about a closed standard error goes to standard error, and panics.
        .log_internal_errors(false);
    match (logs.log_format, &options.command) {
        (LogFormat::Json, None) => logged.json().init(),
        _ => logged.init(),
    }
}

/// How long a tool that changes something may have the inbox.
const TOOL: Duration = Duration::from_secs(2);

async fn serve(
    configuration: &Configuration,
    mut inherited: ListenFd,
) -> Result<ExitCode, Box<dyn Error>> {
    let settings = &configuration.options.settings;
    let (mut predecessor, handed) = take_over::ask(settings).await.unzip();
    let inherited = match handed {
        Some(socket) => Some(socket),
        None => inherited.take_tcp_listener(0)?,
    };
    let address = match &inherited {
        Some(socket) => socket.local_addr()?,
        None => settings.server.listen,
    };
    if configuration.effective.is_given("listen") && !is_of(address, settings.server.listen) {
        tracing::warn!(
            setting = "listen",
            because = %format_args!("the socket that was handed down is {address}"),
            "a setting has no effect"
        );
    }
    let access = settings.access(address)?;
    let tls = settings.server.tls()?;
    if let Some(expiry) = tls.as_ref().and_then(tls::expiry) {
        expiry.log();
    }
    if let Some(files) = mount::descriptor_limit() {
        tracing::info!(files, "open files, as many as there may be");
    }
    #[cfg(feature = "disk")]
    if settings.inbox.choice == InboxChoice::Disk {
        disk::outlive_large_files()?;
        if let Some(file) = disk::file_limit(&settings.inbox) {
            tracing::warn!("{file}");
        }
    }
    let listener = server::listen(inherited, address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    #[cfg(feature = "metrics")]
    let metrics = settings.server.metrics_listen().map(Exporter::install);
    #[cfg(feature = "metrics")]
    let metrics = metrics.transpose()?;
    #[cfg(feature = "inspector")]
    let inspector = Inspector::new(settings, &configuration.effective, address)?;
    #[cfg(feature = "history")]
    let mut catches_up = AtStart::new(settings)?;
    // Before the greeting: whoever reads it may stop the server at once.
    let mut stop = StopSignals::new()?;
    let watchdog = match &predecessor {
        Some(predecessor) => predecessor.watchdog,
        None => sd_notify::watchdog_enabled(),
    };
    let mut door = None;
    // Once more when a server that was to take over did not come to that.
    loop {
        let (open, receivers) = watch::channel(None);
        let start = || {
            let (tls, receivers) = (tls.clone(), receivers.clone());
            RunningServer::start(&listener, settings, &access, tls, receivers)
        };
        let mut serving = None;
        if let Some(predecessor) = &mut predecessor {
            serving = Some(start()?);
            predecessor.release().await;
        }
        // Nothing is missed while one server takes over from another.
        #[cfg(feature = "history")]
        let catches_up = catches_up.take().filter(|_| predecessor.is_none());
        #[cfg(feature = "history")]
        let hold = catches_up.as_ref().map(|_| catch_up::HOLD);
        #[cfg(not(feature = "history"))]
        let hold = None;
        let patience = predecessor.as_ref().map_or(TOOL, |_| take_over::PATIENCE);
        let receiver = tokio::select! {
            built = receiver::build(settings, &access, patience, hold) => built?,
            () = stop.next() => return Ok(ExitCode::SUCCESS),
        };
        open.send_replace(Some(receiver.clone()));
        let serving = serving.map_or_else(start, Ok)?;
        let reload = Reload::new(*settings.gate.reload_interval)?;
        // The service manager knows the new process before the old one may end.
        systemd::tell(&[NotifyState::Ready, NotifyState::MainPid(process::id())]);
        if let Some(predecessor) = predecessor.take() {
            predecessor.opened().await;
        }
        if door.is_none() {
            door = Some(Door::new(&settings.inbox, watchdog));
            greeting::greet(settings, &access, listener.local_addr()?);
            tokio::spawn(systemd::watch(watchdog));
        }
        let mut background = JoinSet::new();
        background.spawn(reload.run(receiver.clone(), tls.clone()));
        #[cfg(feature = "history")]
        if let Some(catches_up) = catches_up {
            background.spawn(catches_up.run(receiver.clone()));
        }
        // To the very end: the drain is worth watching too.
        #[cfg(feature = "metrics")]
        if let Some(metrics) = metrics.clone() {
            background.spawn(metrics.serve(receiver.clone(), tls.clone()));
        }
        #[cfg(feature = "inspector")]
        if let Some(inspector) = inspector.clone() {
            background.spawn(inspector.serve(receiver.clone()));
        }
        let successor = tokio::select! {
            () = stop.next() => None,
            successor = take_over::next(door.as_ref(), &listener) => Some(successor),
            _ = receiver.drain(Duration::MAX), if settings.server.until_empty => None,
        };
        let report = if successor.is_some() {
            tracing::info!("another server takes over");
            serving.hand_over(&receiver).await
        } else {
            systemd::tell(&[NotifyState::Stopping]);
            let deadline = *settings.server.drain;
            serving.drain(deadline, &receiver, &mut stop).await
        };
        background.shutdown().await;
        let ended = ended(settings, &receiver, &report);
        let Some(successor) = successor else {
            return Ok(ended);
        };
        // With the last of these the inbox is closed.
        open.send_replace(None);
        drop(receiver);
        tokio::select! {
            opened = successor.opened() => if opened {
                return Ok(ExitCode::SUCCESS);
            },
            () = stop.next() => return Ok(ExitCode::SUCCESS),
        }
        tracing::error!("the other server has not opened the inbox: this one goes on");
    }
}

/// Whether an address is the one that was asked for, of which port 0 is any.
fn is_of(address: SocketAddr, asked: SocketAddr) -> bool {
    address.ip() == asked.ip() && (asked.port() == 0 || address.port() == asked.port())
}

/// Logs what was done and what was left.
fn ended(settings: &Settings, receiver: &Receiver, report: &ShutdownReport) -> ExitCode {
    let emptied = settings.server.until_empty;
    let stats = receiver.stats();
    let signatures = stats.refused(RefusalReason::Signature);
    tracing::info!(
        accepted = stats.accepted,
        duplicates = stats.duplicates,
        handled = stats.handled,
        failed = stats.failed,
        dead = stats.dead,
        refused_signature = signatures,
        refused_other = stats.refused_total() - signatures,
        unfinished = report.unfinished.len(),
        remaining = report.remaining,
        "stopped"
    );
    let what = match settings.inbox.choice {
        #[cfg(feature = "disk")]
        InboxChoice::Disk => "cut short: it is handled again when the server starts",
        #[cfg(feature = "postgres")]
        InboxChoice::Postgres => {
            "cut short: another server handles it again, or this one when it starts"
        }
        InboxChoice::Memory => "lost",
    };
    for left in &report.unfinished {
        tracing::error!(delivery = ?left.delivery, handler = %left.handler, state = ?left.state, "{what}");
    }
    if !report.stored {
        tracing::error!(
            "the inbox could not store how far everything has come: what was handled last may be handled again"
        );
    }
    if report.is_clean() && (!emptied || report.is_drained()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
