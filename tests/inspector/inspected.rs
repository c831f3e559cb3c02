//! A receiver with an inspector that is killed: what it goes on with in the next process.
//!
//! `inspected DIRECTORY` prints its address. Of each event that is handled again it appends the
//! number of the original to the file `runs`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::fs::OpenOptions;
use std::future::pending;
use std::io::Write;
use std::path::PathBuf;

use axum::Router;
use support::{builder, serve_app};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::inspector::Access;
use voipbin_receiver::{Context, Registration};

#[tokio::main]
async fn main() {
    let directory = PathBuf::from(std::env::args_os().nth(1).unwrap());
    let runs = directory.join("runs");
    let crm = move |context: Context| {
        let runs = runs.clone();
        async move {
            let original = context.replay_of().unwrap();
            let mut runs = OpenOptions::new()
                .create(true)
                .append(true)
                .open(runs)
                .unwrap();
            runs.write_all(format!("{original}\n").as_bytes()).unwrap();
        }
    };
    let receiver = builder()
        .inbox(DiskInbox::open(directory.join("inbox")).await.unwrap())
        .concurrency(4)
        .handlers([Registration::new(Any, crm).name("crm")])
        .build()
        .unwrap();
    let inspector = receiver.inspector().authorize(|_| Access::Act);
    let app = Router::new().fallback_service(inspector.build().unwrap());
    println!("{}", serve_app(app).await);
    pending().await
}
