//! The servers, each in a process of its own.

use std::path::Path;

use support::{builder, serve_bare, serve_hyper};
use voipbin_receiver::Context;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;

pub(crate) const KINDS: [&str; 3] = ["bare hyper", "memory", "disk"];

/// Prints where it listens, and serves until it is killed.
pub(crate) fn run(kind: &str, directory: &Path) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(kind, directory));
}

async fn serve(kind: &str, directory: &Path) {
    let receiver = match kind {
        "memory" => Some(builder()),
        "disk" => Some(builder().inbox(DiskInbox::open(directory).await.unwrap())),
        _ => None,
    };
    let receiver = receiver.map(|builder| {
        let builder = builder.on(Any, |_: Context| async {});
        builder.build().unwrap()
    });
    let address = match &receiver {
        Some(receiver) => serve_hyper(receiver.service()).await,
        None => serve_bare().await,
    };
    println!("{address}");
    std::future::pending::<()>().await;
}
