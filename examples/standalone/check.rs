//! Whether the server could start.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::SystemTime;

use tokio::net::TcpSocket;
use voipbin_receiver::mount::descriptor_limit;

#[cfg(feature = "history")]
use crate::catch_up::AtStart;
#[cfg(feature = "disk")]
use crate::disk;
#[cfg(feature = "inspector")]
use crate::inspector;
use crate::options::Configuration;
use crate::receiver;
#[cfg(any(feature = "disk", feature = "postgres"))]
use crate::settings::InboxChoice;
use crate::settings::Settings;
use crate::terminal::{Output, complain, in_full, say};
use crate::tls;

/// Prints the settings, and on standard error what is wrong with them. No event is handled or
/// removed.
pub(crate) fn check(configuration: &Configuration) -> ExitCode {
    if let Err(why) = Output::default().print(&configuration.effective.to_string()) {
        complain(why);
        return ExitCode::FAILURE;
    }
    let problems = problems(&configuration.options.settings);
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
    if SystemTime::now() < SystemTime::UNIX_EPOCH {
        problems.push(
            "the machine's clock says a time before 1970, so that requests cannot be answered: set it"
                .to_owned(),
        );
    }
    match settings.access(settings.server.listen) {
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
        Ok(tls) => problems.extend(tls.and_then(|tls| tls::expiry(&tls)?.problem())),
        Err(error) => problems.push(in_full(&*error)),
    }
    if let Some(files) = descriptor_limit() {
        say(format_args!("open files, as many as there may be: {files}"));
    }
    if let Some(files) = settings.server.files() {
        say(files);
    }
    #[cfg(feature = "disk")]
    if settings.inbox.choice == InboxChoice::Disk {
        if let Some(file) = disk::file_limit(&settings.inbox) {
            say(file);
        }
        problems.extend(disk::check(&settings.inbox.disk).err());
    }
    #[cfg(feature = "postgres")]
    if settings.inbox.choice == InboxChoice::Postgres {
        // It is not connected to: that could create the schema.
        let inbox = settings.inbox.postgres();
        problems.extend(inbox.err().map(|error| in_full(&*error)));
    }
    let listen = settings.server.listen;
    let metrics = settings.server.metrics_listen();
    if listen.port() != 0 && metrics == Some(listen) {
        problems.push(format!(
            "the webhook and the metrics cannot both have {listen}: give one of them another port"
        ));
    }
    #[cfg(feature = "history")]
    if let Err(error) = AtStart::new(settings) {
        problems.push(in_full(&*error));
    }
    #[cfg(feature = "inspector")]
    if let Err(error) = inspector::check(settings) {
        problems.push(in_full(&*error));
    }
    let inspector = settings.inspector_listen();
    for address in [Some(listen), metrics, inspector].into_iter().flatten() {
        problems.extend(bind(address).err());
    }
    problems
}

/// Whether an address is one of this machine's, and may be had. It is not listened on: nobody
/// connects to a check.
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
