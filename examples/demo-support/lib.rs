//! What the demonstrations share: a server on a free port, the platform's sender, and checks of
//! what came out. A real application needs none of it.

use std::fmt::{Debug, Display};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use http::uri::InvalidUri;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;
use voipbin_receiver::testing::{Sender, Signer};

/// The webhook secret of the demonstrations' customer.
pub const SECRET: &str = "a-secret-for-demonstrations-only";

/// Where the applications take webhooks.
pub const PATH: &str = "/voipbin/webhook";

/// How long [`until`] waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Logs to standard error: warnings and what the receiver says at `info`, or what `RUST_LOG` asks
/// for.
pub fn logs() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,voipbin_receiver=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(io::stderr)
        // Its complaint about a closed standard error goes to standard error, and panics.
        .log_internal_errors(false)
        .init();
}

/// A line of a demonstration. Nobody need read it.
fn say(what: impl Display) {
    let _ = writeln!(io::stdout(), "{what}");
}

/// Tells whoever started a server where it takes webhooks.
pub fn greet(address: SocketAddr, path: &str) {
    // Nobody need read it.
    let _ = writeln!(io::stderr(), "listening on http://{address}{path}");
}

/// A free port on loopback.
///
/// # Errors
///
/// When there is none.
pub async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves an application until the demonstration ends.
pub fn serve(listener: TcpListener, app: Router) {
    tokio::spawn(async { axum::serve(listener, app).await });
}

/// VoIPBIN's sender, over TCP.
pub type PlatformSender = Sender<Client<HttpConnector, Full<Bytes>>>;

/// VoIPBIN's sender, signing with [`SECRET`] and delivering to an application at this address.
///
/// # Errors
///
/// When the address makes no URI.
pub fn platform(address: SocketAddr) -> Result<PlatformSender, InvalidUri> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}{PATH}").parse()?;
    Ok(Sender::new(client, Signer::new(SECRET)).uri(uri))
}

/// Sends one event and tells how it was answered: `received` or `duplicate`, or the status when it
/// was not taken.
pub async fn deliver(platform: &PlatformSender, event: &str) -> String {
    let report = platform.send(event.to_owned()).await;
    let word = serde_json::from_slice(report.body())
        .ok()
        .and_then(|body: serde_json::Value| Some(body.get("status")?.as_str()?.to_owned()));
    match (report.status(), word) {
        (Some(status), Some(word)) if status.is_success() => word,
        (Some(status), _) => status.to_string(),
        (None, _) => "no answer".to_owned(),
    }
}

/// Waits for what happens after the answer.
///
/// # Errors
///
/// When it does not happen within 20 seconds.
pub async fn until(what: &str, happened: impl Fn() -> bool) -> Result<(), String> {
    let happened = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, happened)
        .await
        .map_err(|_| format!("waited {} s in vain until {what}", PATIENCE.as_secs()))
}

/// Prints what a demonstration does, and counts the checks that failed.
#[derive(Debug, Default)]
#[must_use]
pub struct Demo {
    wrong: usize,
}

impl Demo {
    /// Prints the title.
    pub fn new(title: &str) -> Self {
        say(title);
        Self::default()
    }

    /// Prints what is done now.
    pub fn tell(&self, what: impl Display) {
        say(format_args!("- {what}"));
    }

    /// Prints a value and whether it is the expected one.
    pub fn check<T: PartialEq + Debug>(&mut self, what: &str, found: T, expected: T) {
        if found == expected {
            say(format_args!("  ok     {what}: {found:?}"));
        } else {
            self.wrong += 1;
            say(format_args!(
                "  WRONG  {what}: {found:?} instead of {expected:?}"
            ));
        }
    }

    /// Success when every check passed.
    pub fn end(self) -> ExitCode {
        if self.wrong == 0 {
            say("all as it should be");
            ExitCode::SUCCESS
        } else {
            say(format_args!("{} wrong", self.wrong));
            ExitCode::FAILURE
        }
    }
}
