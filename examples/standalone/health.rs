//! Asks a server that runs how it is, for whatever supervises it: a container has no `curl`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::settings::ServerSettings;
use crate::terminal::{Output, cell, complain};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than an answer has.
const ANSWER: u64 = 64 * 1024;

/// Ask the server that runs with these settings whether it takes events and handles them
///
/// Prints its answer. It is asked at metrics_listen where that is set, and else at listen; settings
/// come from the environment and the file of --config. With TLS set metrics_listen, which has none.
/// Exit status: 0 when it is ready, 1 when not or when it does not answer.
#[derive(Args)]
pub(crate) struct HealthCommand {
    /// The address to ask, instead of the one of the settings
    address: Option<SocketAddr>,

    /// Whether it answers at all, ready or not
    #[arg(long)]
    live: bool,

    /// A TOML file with settings of the server
    #[arg(long, env = "VOIPBIN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn run(command: &HealthCommand, server: &ServerSettings) -> ExitCode {
    match ask(command, server).await {
        Ok((200, body)) => match Output::default().print(&body) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => failed(why),
        },
        Ok((_, body)) => failed(cell(body.trim_end(), 512)),
        Err(why) => failed(why),
    }
}

fn failed(why: String) -> ExitCode {
    complain(why);
    ExitCode::FAILURE
}

/// The status and the body of the answer.
async fn ask(command: &HealthCommand, server: &ServerSettings) -> Result<(u16, String), String> {
    let address = match command.address.or(server.metrics_listen()) {
        Some(address) => address,
        None if server.has_tls() => {
            return Err(
                "the server speaks TLS: set metrics_listen, which does not, and is asked then"
                    .into(),
            );
        }
        None => server.listen,
    };
    let address = reachable(address);
    let path = if command.live {
        "/health/live"
    } else {
        "/health/ready"
    };
    let answer = timeout(PATIENCE, get(address, path)).await;
    let answer = answer.map_err(|_| format!("{address} has not answered for {PATIENCE:?}"))?;
    let answer = answer.map_err(|error| format!("{address} does not answer: {error}"))?;
    parse(&answer).ok_or_else(|| format!("{address} is no server of this kind"))
}

async fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some((status, format!("{body}\n")))
}

/// Where a server can be asked that listens on all addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
