//! A receiver whose handler fails, hangs, panics and gives up: to see what becomes of its events
//! when it is killed.
//!
//! `misbehaving … DIRECTORY` says where it listens as the standalone server does, prints a line
//! when an attempt begins, and shuts down at SIGTERM.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is test code"
)]

use std::future::pending;
use std::time::Duration;

use serde_json::json;
use support::{builder, serve_hyper};
use tokio::signal::unix::{SignalKind, signal};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::{Context, HandlerError, HandlerOptions, RetryPolicy};

#[tokio::main]
async fn main() {
    // It panics often.
    std::panic::set_hook(Box::new(|_| {}));
    let directory = std::env::args_os().next_back().unwrap();
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let retry = RetryPolicy::default();
    let receiver = builder()
        .inbox(DiskInbox::open(directory).await.unwrap())
        .handler_options(
            HandlerOptions::new()
                .retry(retry.attempts(1000).initial(Duration::from_millis(10)))
                .timeout(Duration::from_millis(100)),
        )
        .on(Any, handle)
        .build()
        .unwrap();
    let address = serve_hyper(receiver.service()).await;
    eprintln!("listening on http://{address}/");
    terminated.recv().await;
    let _ = receiver.shutdown(Duration::from_secs(10)).await;
}

/// Most events are handled well at once; of some the first two attempts go wrong.
async fn handle(context: Context) -> Result<(), HandlerError> {
    let attempt = context.attempt();
    let id = context.delivery().resource_id().unwrap();
    let kind = match id.parse::<u32>().unwrap() % 40 {
        3 => 3,
        kind if attempt <= 2 => kind,
        _ => 40,
    };
    let over = kind >= 3;
    println!(
        "{}",
        json!({ "resource_id": id, "attempt": attempt, "over": over })
    );
    match kind {
        0 => Err(HandlerError::new("it fails")),
        1 => pending().await,
        2 => panic!("it panics"),
        3 => Err(HandlerError::permanent("it is no use")),
        _ => Ok(()),
    }
}
