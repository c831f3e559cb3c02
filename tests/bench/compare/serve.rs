//! The servers in Rust, each in a process of its own.

use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use support::process::{keep_to_core, may_open_many};
use support::{PATH, builder, serve_alone, serve_axum, serve_hyper};
use tokio::runtime::Builder;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::resource::Call;
use voipbin_receiver::{Context, Event, Receiver};

use crate::{bare, by_hand};

/// Prints where it listens, and serves until its input ends.
pub(crate) fn run(name: &str, directory: &Path) {
    keep_to_core(0);
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
        "hyper" => bare::hyper().await,
        "axum" => bare::axum().await,
        "actix" => bare::actix(),
        "receiver-server" => serve_alone(receiver().service()).await,
        "receiver-hyper" => serve_hyper(receiver().service()).await,
        "receiver-axum" => serve_axum(receiver().service()).await,
        "receiver-actix" => actix(receiver()),
        "receiver-typed" => serve_hyper(typed().service()).await,
        "receiver-disk" => serve_hyper(on_disk(directory).service()).await,
        "axum-by-hand" => by_hand::serve().await,
        other => panic!("no server is called {other}"),
    }
}

fn receiver() -> Receiver {
    builder().on(Any, |_: Context| async {}).build().unwrap()
}

/// With a handler that is given the resource as a struct.
fn typed() -> Receiver {
    let handler = |call: Event<Call>| async move {
        std::hint::black_box(&call.hangup_reason);
    };
    builder().on(CallHangup, handler).build().unwrap()
}

fn on_disk(directory: &Path) -> Receiver {
    let inbox = DiskInbox::open(directory).unwrap();
    let builder = builder().inbox(inbox);
    builder.on(Any, |_: Context| async {}).build().unwrap()
}

fn actix(receiver: Receiver) -> SocketAddr {
    bare::serve_actix(move |app| {
        app.service(receiver.actix(PATH));
    })
}
