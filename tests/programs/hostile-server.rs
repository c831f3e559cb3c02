//! The server that hostile clients are let loose on, in a process of its own so that its memory can
//! be told.
//!
//! `hostile-server CERTIFICATES KEY CONNECTIONS` prints where it listens as one JSON object, and
//! how many connections it has room for. When standard input ends it shuts down, and prints what it
//! was told and did.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is test code"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Map, json};
use support::builder;
use support::process::room_for;
use tokio::sync::watch;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::gate::Limits;
use voipbin_receiver::mount::{Server, Tls};
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::{Context, Receiver};

/// What a slow client may take: a part of the defaults, so that the test takes seconds.
const SLOW: Duration = Duration::from_secs(3);

#[derive(Clone, Default)]
struct Handled(Arc<Mutex<BTreeMap<String, usize>>>);

impl Handled {
    /// Counts the event by its id, as far as the first dash.
    fn count(&self, context: &Context) {
        let id = context.delivery().resource_id().unwrap_or("custom");
        let kind = id.split('-').next().unwrap().to_owned();
        *self.0.lock().unwrap().entry(kind).or_default() += 1;
    }
}

fn receiver(handled: &Handled, sources: &[&str]) -> Receiver {
    let handled = handled.clone();
    let mut builder = builder()
        .limits(Limits::new().read_timeout(SLOW))
        .trust_proxies(["10.0.0.0/8"])
        .on((Any, Custom), move |context: Context| {
            handled.count(&context);
            async {}
        });
    if !sources.is_empty() {
        builder = builder.allow_sources(sources.iter().copied());
    }
    builder.build().unwrap()
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (certificates, key) = (arguments.next().unwrap(), arguments.next().unwrap());
    let connections = room_for(arguments.next().unwrap().parse().unwrap());

    let plain = Server::new()
        .max_connections(usize::try_from(connections).unwrap())
        .head_timeout(SLOW)
        .handshake_timeout(SLOW)
        .write_timeout(SLOW);
    let narrow = plain.clone().max_connections(64);
    let secure = narrow.clone();
    let secure = secure.tls(Tls::from_pem_files(certificates, key).unwrap());

    let handled = Handled::default();
    let open = receiver(&handled, &[]);
    // Nobody on this machine is on that list.
    let listed = receiver(&handled, &["203.0.113.0/24"]);
    let (stop, stopped) = watch::channel(());
    let servers = [
        ("plain", &plain, &open),
        ("narrow", &narrow, &open),
        ("secure", &secure, &open),
        ("listed", &plain, &listed),
    ];
    let mut told = Map::new();
    told.insert("connections".to_owned(), json!(connections));
    let mut served = tokio::task::JoinSet::new();
    for (name, server, receiver) in servers {
        let listener = Server::bind("127.0.0.1:0").await.unwrap();
        told.insert(name.to_owned(), json!(listener.local_addr().unwrap()));
        let (server, service) = (server.clone(), receiver.service());
        let mut stopped = stopped.clone();
        served.spawn(async move {
            let stop = async { drop(stopped.changed().await) };
            server.serve(listener, service, stop).await;
        });
    }
    println!("{}", json!(told));

    let ended = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(ended).await.unwrap().unwrap();
    stop.send(()).unwrap();
    served.join_all().await;
    let drain = Duration::from_secs(10);
    assert!(open.shutdown(drain).await.is_drained());
    assert!(listed.shutdown(drain).await.is_drained());
    let (stats, refused) = (open.stats(), listed.stats());
    println!(
        "{}",
        json!({
            "handled": *handled.0.lock().unwrap(),
            "accepted": stats.accepted,
            "duplicates": stats.duplicates,
            "listed": { "accepted": refused.accepted, "refused": refused.refused(RefusalReason::Source) },
        })
    );
}
