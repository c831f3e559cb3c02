//! A receiver inside of an axum app that has routes, state, authentication and layers of its own.
//!
//! `app.rs` shows which layers must not be around the webhook, and this file how the app and the
//! receiver end together.
//!
//! ```sh
//! cargo run -p voipbin-receiver-examples --example axum-app -- \
//!     --secret the-webhook-secret-of-a-customer --token a-token
//! ```

mod app;
#[path = "../desk/mod.rs"]
mod desk;

use std::error::Error;
use std::future::IntoFuture;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use listenfd::ListenFd;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::{Receiver, handlers};

use crate::desk::calls::{Calls, Notifier, show, tell};
use crate::desk::options::{Options, Token};
use crate::desk::stop::{CLOSING, Stop, end};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    demo_support::logs();
    // What systemd holds keeps the events that come while the app restarts.
    let inherited = ListenFd::from_env().take_tcp_listener(0)?;
    let calls = Calls::default();
    let receiver = Receiver::builder()
        .secret(options.secret)
        .inbox(DiskInbox::open(options.directory).await?)
        .state(calls.clone())
        .state(Notifier::new(options.tell)?)
        .handlers(handlers![show, tell])
        .build()?;
    let app = app::app(&receiver, calls, Token::new(&options.token));

    let mut stop = Stop::new()?;
    let listener = match inherited {
        Some(socket) => {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket)?
        }
        None => TcpListener::bind(options.listen).await?,
    };
    demo_support::greet(listener.local_addr()?, app::WEBHOOK);
    let (close, closed) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { drop(closed.await) });
    let server = tokio::spawn(server.into_future());

    let drain = Duration::from_secs(options.drain);
    let report = stop.drain(&receiver, drain).await;
    // Last, and not for long: while nobody listens, nothing is kept.
    drop(close);
    let _ = timeout(CLOSING, server).await;
    Ok(end(&report))
}
