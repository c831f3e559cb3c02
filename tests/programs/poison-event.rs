//! A receiver with an event that kills it: to see what becomes of that event, and of those that are
//! handled beside it.
//!
//! `poison-event DIRECTORY` prints its address, a line for each event that it handled, and shuts
//! down when standard input ends.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use support::{builder, serve_axum};
use tokio::sync::Semaphore;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::{Context, HandlerOptions, RetryPolicy};

/// How many events hang beside the first run of the one that kills.
const BESIDE: u32 = 20;

#[tokio::main]
async fn main() {
    let directory = std::env::args_os().nth(1).unwrap();
    let beside = Arc::new(Semaphore::new(0));
    let handler = move |context: Context| handle(context, Arc::clone(&beside));
    let receiver = builder()
        .inbox(DiskInbox::open(directory).await.unwrap())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(3)))
        .on(Any, handler)
        .build()
        .unwrap();
    println!("{}", serve_axum(receiver.service()).await);

    let ended = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ended).await.unwrap().unwrap();
    assert!(receiver.shutdown(Duration::from_secs(10)).await.is_clean());
}

async fn handle(context: Context, beside: Arc<Semaphore>) {
    let attempt = context.attempt();
    let id = context.delivery().resource_id().unwrap();
    match id.split('-').next() {
        Some("poison") => {
            if attempt == 1 {
                let all = beside.acquire_many(BESIDE).await.unwrap();
                drop(all);
            }
            std::process::abort();
        }
        // They are still at it when it dies.
        Some("beside") if attempt == 1 => {
            beside.add_permits(1);
            pending().await
        }
        _ => println!("{}", json!({ "id": id, "attempt": attempt })),
    }
}
