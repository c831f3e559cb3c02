//! What an event takes: on disk, in the server's log, on the wire.

use voipbin_receiver::inbox::PostgresInbox;

use crate::proxy::Proxy;
use crate::server::{Server, client, count};
use crate::{BODY, Handling, keep, on_disk};

const EVENTS: usize = 20_000;
const SENDERS: usize = 64;

pub(crate) async fn measure(server: &Server) {
    let schema = "bytes";
    let proxy = Proxy::before(&server.host()).await;
    let builder = PostgresInbox::builder(proxy.url()).schema(schema);
    let inbox = builder.connect().await.unwrap();
    let client = client(&server.url()).await;
    let log = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint";
    let empty = on_disk(&client, schema).await;
    // The first change of a page after a checkpoint is written as a whole.
    client.batch_execute("CHECKPOINT").await.unwrap();
    let before = (count(&client, log).await, proxy.bytes());
    keep(&inbox, 0..EVENTS, SENDERS).await;
    let kept = (count(&client, log).await, proxy.bytes());
    let disk = on_disk(&client, schema).await - empty;
    let handling = Handling::start(&inbox);
    handling.until(EVENTS).await;
    let handled = (count(&client, log).await, proxy.bytes());
    let each = |bytes: i64| bytes / EVENTS as i64;
    let wire = |to: u64, from: u64| each((to - from).cast_signed());
    println!("bytes of an event with a body of {BODY}, kept by {SENDERS} senders:");
    println!("  on disk, with its indexes:  {:>6}", each(disk));
    println!(
        "  in the log, to keep it:     {:>6}",
        each(kept.0 - before.0)
    );
    println!(
        "  in the log, to handle it:   {:>6}",
        each(handled.0 - kept.0)
    );
    println!(
        "  on the wire, to keep it:    {:>6}",
        wire(kept.1, before.1)
    );
    println!(
        "  on the wire, to handle it:  {:>6}",
        wire(handled.1, kept.1)
    );
}
