//! A receiver inside of an actix-web app that has routes, state and authentication of its own.
//!
//! `app.rs` has the routes, and this file the settings that VoIPBIN's sender asks of the server,
//! and how the server and the receiver end together.
//!
//! ```sh
//! cargo run -p voipbin-receiver-examples --example actix-app -- \
//!     --secret the-webhook-secret-of-a-customer --token a-token
//! ```

mod app;
#[path = "../desk/mod.rs"]
mod desk;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::HttpServer;
use clap::Parser;
use listenfd::ListenFd;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::{Receiver, handlers};

use crate::app::App;
use crate::desk::calls::{Calls, Notifier, show, tell};
use crate::desk::options::{Options, Token};
use crate::desk::stop::{CLOSING, Stop, end};

/// VoIPBIN keeps idle connections for 30 seconds; one that the server closes first can cost it one
/// of its three tries. actix-web's default is 5.
const IDLE: Duration = Duration::from_secs(75);

/// For the head of a first request, after which actix-web answers 408: final for VoIPBIN, which by
/// this time has given the request up. actix-web's default is 5 seconds.
const HEAD: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    demo_support::logs();
    // What systemd holds keeps the events that come while the app restarts.
    let inherited = ListenFd::from_env().take_tcp_listener(0)?;
    let calls = Calls::default();
    // Once, and not for each worker.
    let receiver = Receiver::builder()
        .secret(options.secret)
        .inbox(DiskInbox::open(options.directory).await?)
        .state(calls.clone())
        .state(Notifier::new(options.tell)?)
        .handlers(handlers![show, tell])
        .build()?;
    let app = App {
        receiver: receiver.clone(),
        calls,
        token: Token::new(&options.token),
    };

    let mut stop = Stop::new()?;
    let server = HttpServer::new(move || {
        let app = app.clone();
        actix_web::App::new().configure(|routes| app.configure(routes))
    })
    .keep_alive(IDLE)
    .client_request_timeout(HEAD)
    .shutdown_timeout(CLOSING.as_secs())
    // Its own handling closes the listener before the receiver has drained.
    .disable_signals();
    let server = match inherited {
        Some(socket) => server.listen(socket)?,
        None => server.bind(options.listen)?,
    };
    for address in server.addrs() {
        demo_support::greet(address, app::WEBHOOK);
    }
    let server = server.run();
    let handle = server.handle();
    let mut server = tokio::spawn(server);

    let drain = Duration::from_secs(options.drain);
    let report = tokio::select! {
        report = stop.drain(&receiver, drain) => report,
        ended = &mut server => {
            ended??;
            receiver.shutdown(drain).await
        }
    };
    // Last, and not for long: while nobody listens, nothing is kept.
    handle.stop(true).await;
    Ok(end(&report))
}
