//! The servers in Rust, each in a process of its own.

use std::future::pending;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use support::process::{keep_to_cores, may_open_many};
use support::{PATH, builder, serve_alone, serve_axum, serve_bare, serve_hyper};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::events::{CallHangup, MessageCreated};
use voipbin_receiver::gate::Limits;
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox};
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Context, Event, Receiver, ReceiverBuilder, mount};

use crate::{bare, by_hand};

/// Prints where it listens, and serves on so many cores until its input ends.
pub(crate) fn run(name: &str, directory: &Path, cores: &str) {
    keep_to_cores(0..cores.parse().unwrap());
    may_open_many();
    // As many threads as there are cores for it.
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let address = runtime.block_on(serve(name, directory));
    println!("{address}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    runtime.shutdown_background();
}

async fn serve(name: &str, directory: &Path) -> SocketAddr {
    match name {
        "hyper" => serve_bare().await,
        "hyper-verifies" => bare::verifying().await,
        "hyper-spawns" => bare::spawning().await,
        "axum" => bare::axum().await,
        "actix" => bare::actix(),
        "actix-spawns" => bare::actix_spawning(),
        "receiver-server" => serve_alone(receiver().service()).await,
        "receiver-hyper" => serve_hyper(receiver().service()).await,
        "receiver-axum" => serve_axum(receiver().service()).await,
        "receiver-actix" => actix(receiver()),
        "receiver-unmatched" => serve_hyper(unmatched().service()).await,
        "receiver-typed" => serve_hyper(typed().service()).await,
        "receiver-disk" => serve_hyper(on_disk(directory).await.service()).await,
        "receiver-wide" => serve_wide(wide()).await,
        "receiver-stuck" => serve_wide(stuck()).await,
        "axum-by-hand" => by_hand::serve().await,
        other => panic!("no server is called {other}"),
    }
}

fn receiver() -> Receiver {
    builder().on(Any, |_: Context| async {}).build().unwrap()
}

/// With a handler for other events alone.
fn unmatched() -> Receiver {
    let builder = builder().on(MessageCreated, |_: Context| async {});
    builder.build().unwrap()
}

/// With a handler that is given the resource as a struct.
fn typed() -> Receiver {
    let handler = |call: Event<Call>| async move {
        std::hint::black_box(&call.hangup_reason);
    };
    builder().on(CallHangup, handler).build().unwrap()
}

async fn on_disk(directory: &Path) -> Receiver {
    let inbox = DiskInbox::open(directory).await.unwrap();
    let builder = builder().inbox(inbox);
    builder.on(Any, |_: Context| async {}).build().unwrap()
}

/// Where nothing is to be refused.
pub(crate) fn wide() -> Receiver {
    let builder = without_limits(10_000_000);
    builder.on(Any, |_: Context| async {}).build().unwrap()
}

/// Whose handlers do not come to an end.
fn stuck() -> Receiver {
    let handler = |_: Context| pending::<()>();
    let builder = without_limits(1_000_000);
    builder.on(Any, handler).build().unwrap()
}

fn without_limits(identities: usize) -> ReceiverBuilder {
    let inbox = MemoryInbox::builder()
        .max_events(1_000_000)
        .max_bytes(4 << 30)
        .max_identities(identities);
    builder()
        .inbox(inbox.build())
        .limits(Limits::new().in_flight_limit(100_000))
}

async fn serve_wide(receiver: Receiver) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let server = mount::Server::new().max_connections(100_000);
        server.serve(listener, receiver.service(), pending()).await;
    });
    address
}

fn actix(receiver: Receiver) -> SocketAddr {
    bare::serve_actix(move |app| {
        app.service(receiver.actix(PATH));
    })
}
