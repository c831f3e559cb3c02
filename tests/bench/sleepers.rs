//! Receivers whose handlers take their time, each in a process of its own.

use std::io::Read;
use std::time::Duration;

use support::process::keep_to_core;
use support::{builder, serve_hyper};
use tokio::sync::oneshot;
use voipbin_receiver::Context;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::MemoryInbox;

/// Prints where it listens, and serves until its input ends. Then it prints what it has handled.
pub(crate) fn run(kind: &str) {
    keep_to_core(0);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // As many threads as cores.
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(serve(kind));
    runtime.shutdown_background();
}

async fn serve(kind: &str) {
    let small = kind == "small";
    let takes = match kind {
        "instant" => Duration::ZERO,
        _ => Duration::from_millis(50),
    };
    let inbox = if small {
        MemoryInbox::builder().max_events(2_000)
    } else {
        MemoryInbox::builder()
            .max_events(1_000_000)
            .max_bytes(2 << 30)
    };
    let receiver = builder()
        .inbox(inbox.build())
        .concurrency(if small { 256 } else { 2_000 })
        .on(Any, move |_: Context| async move {
            if !takes.is_zero() {
                tokio::time::sleep(takes).await;
            }
        })
        .build()
        .unwrap();
    let address = serve_hyper(receiver.service()).await;
    println!("{address}");
    input_ends().await;
    let report = receiver.shutdown(Duration::from_secs(60)).await;
    let stats = receiver.stats();
    println!(
        "accepted {}, handled {}, left {}",
        stats.accepted,
        stats.handled,
        report.unfinished.len()
    );
}

async fn input_ends() {
    let (tell, ended) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(tell);
    });
    let _ = ended.await;
}
