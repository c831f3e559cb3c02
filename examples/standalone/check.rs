//! Whether the server could start.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use tokio::net::TcpSocket;
use voipbin_receiver::inbox::{DiskInboxErrorKind, DiskRecords};

use crate::expiry;
use crate::options::Given;
use crate::receiver;
use crate::settings::{InboxChoice, InboxSettings, Settings};
use crate::terminal::{Output, complain, in_full, say};

/// Prints the settings, and on standard error what is wrong with them. No event is handled or removed.
pub(crate) fn check(given: &Given) -> ExitCode {
    if let Err(why) = Output::default().print(&given.effective.to_string()) {
        complain(why);
        return ExitCode::FAILURE;
    }
    let problems = problems(&given.options.settings);
    if problems.is_empty() {
        say("the server could start");
        return ExitCode::SUCCESS;
    }
    for problem in &problems {
        complain(problem);
    }
    ExitCode::from(2)
}

fn problems(settings: &Settings) -> Vec<String> {
    let mut problems = Vec::new();
    match settings.gate.access(settings.server.listen) {
        // In memory, for as long as this takes: the one on disk may be a server's that runs.
        Ok(access) => match receiver::builder(settings, &access)
            .inbox(settings.inbox.memory())
            .build()
        {
            Ok(_) => {}
            Err(error) => problems.push(in_full(&error)),
        },
        Err(error) => problems.push(in_full(&error)),
    }
    match settings.server.tls() {
        Ok(tls) => problems.extend(tls.and_then(|tls| expiry::of(&tls)?.problem())),
        Err(error) => problems.push(in_full(&*error)),
    }
    if let Some(files) = settings.server.files() {
        say(files);
    }
    if settings.inbox.choice == InboxChoice::Disk {
        problems.extend(directory(&settings.inbox).err());
    }
    let listen = settings.server.listen;
    if listen.port() != 0 && settings.server.metrics_listen == Some(listen) {
        problems.push(format!(
            "the webhook and the metrics cannot both have {listen}: give one of them another port"
        ));
    }
    let addresses = [Some(listen), settings.server.metrics_listen];
    for address in addresses.into_iter().flatten() {
        problems.extend(bind(address).err());
    }
    problems
}

/// Whether an address is one of this machine's, and may be had. It is not listened on: nobody connects to a check.
fn bind(address: SocketAddr) -> Result<(), String> {
    let bound = || {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)
    };
    match bound() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => say(format_args!(
            "{address} is in use, as by a server that runs or a supervisor that holds it, and was not tried"
        )),
        Err(error) => return Err(format!("cannot listen on {address}: {error}")),
        Ok(()) => {}
    }
    Ok(())
}

/// Whether the inbox can be used, or could be made.
fn directory(settings: &InboxSettings) -> Result<(), String> {
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
