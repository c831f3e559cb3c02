//! A receiver inside of an axum app that has routes, state, authentication and layers of its own.
//!
//! `app.rs` shows which layers must not be around the webhook, and this file how the app and the
//! receiver end together: `cargo run -p voipbin-receiver-examples --example axum-app -- --secret a-secret --token a-token`.

mod app;
#[path = "../desk/mod.rs"]
mod desk;

use std::error::Error;
use std::future::IntoFuture;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use voipbin_receiver::{Receiver, handlers};

use crate::desk::calls::{Calls, Listener, show, tell};
use crate::desk::options::{Options, Token};
use crate::desk::stop::{Stop, end};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    stage::logs();
    let calls = Calls::default();
    let receiver = Receiver::builder()
        .secret(options.secret)
        .state(calls.clone())
        .state(Listener::new(options.tell)?)
        .handlers(handlers![show, tell])
        .build()?;
    let app = app::app(&receiver, calls, Token::new(&options.token));

    let mut stop = Stop::new()?;
    let listener = TcpListener::bind(options.listen).await?;
    stage::greet(listener.local_addr()?, app::WEBHOOK);
    let (close, closed) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        let _ = closed.await;
    });
    let mut server = tokio::spawn(server.into_future());

    let drain = Duration::from_secs(options.drain);
    tokio::select! {
        ended = &mut server => {
            ended??;
            return Ok(end(&receiver.shutdown(drain).await));
        }
        () = stop.next() => {}
    }
    tracing::info!("draining; once more to end at once");
    let drained = async {
        // The order does not matter. Idle connections close at once, and one in a request has the time
        // of the drain.
        let _ = close.send(());
        let closed = tokio::time::timeout(drain, &mut server);
        let (report, _) = tokio::join!(receiver.shutdown(drain), closed);
        report
    };
    let report = tokio::select! {
        report = drained => report,
        () = stop.next() => receiver.shutdown(Duration::ZERO).await,
    };
    Ok(end(&report))
}
