//! Many events at once, while no handler gets anywhere.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use support::{Valve, builder, serve_axum, within};
use tokio::process::Command;
use voipbin_receiver::catalog::Any;

const EVENTS: usize = 10_000;
const CONNECTIONS: usize = 256;

/// Sends every event once, from another process, and counts the answers by kind.
async fn send_all(to: SocketAddr) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_load-client"))
        .args([to.to_string(), EVENTS.to_string(), CONNECTIONS.to_string()])
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_ten_thousand_is_answered_while_handlers_hang_and_handled_once_after() {
    within(ten_thousand_events()).await;
}

async fn ten_thousand_events() {
    let valve = Valve::new();
    let receiver = builder().on(Any, valve.clone()).build().unwrap();
    let address = serve_axum(receiver.service()).await;

    assert_eq!(send_all(address).await, json!({ "200 received": EVENTS }));
    let stats = receiver.stats();
    assert_eq!((stats.accepted, stats.handled), (EVENTS as u64, 0));
    assert_eq!(
        (stats.inbox.events, stats.inbox.identities),
        (EVENTS, EVENTS)
    );
    assert!(valve.ended().rest().await.is_empty());

    // The copies of events that wait or hang are answered as well.
    assert_eq!(send_all(address).await, json!({ "200 duplicate": EVENTS }));

    valve.open();
    let mut handled = HashSet::new();
    for _ in 0..EVENTS {
        assert!(handled.insert(valve.ended().next().await.context().identity()));
    }

    // And so are those of events that are long done.
    assert_eq!(send_all(address).await, json!({ "200 duplicate": EVENTS }));
    assert!(receiver.shutdown(Duration::MAX).await.is_drained());
    assert!(valve.ended().rest().await.is_empty());
    let stats = receiver.stats();
    assert_eq!(
        (stats.handled, stats.duplicates),
        (EVENTS as u64, 2 * EVENTS as u64)
    );
    assert_eq!(
        (stats.running, stats.inbox.events, stats.inbox.bytes),
        (0, 0, 0)
    );
}
