//! Many events: that wait, and that have gone through.

use std::time::{Duration, Instant};

use support::process::memory;
use tokio_postgres::Client;
use voipbin_receiver::inbox::PostgresInbox;

use crate::server::{Server, client, count};
use crate::{BODY, Handling, LANES, inbox, keep, on_disk};

const SENDERS: usize = 64;

/// How many are measured beside the others.
const SOME: usize = 10_000;

/// Keeps so many by the inbox's own function, without sending each.
async fn fill(client: &Client, schema: &str, events: usize) {
    const TOGETHER: usize = 5_000;
    for first in (0..events).step_by(TOGETHER) {
        let last = (first + TOGETHER).min(events) - 1;
        let keep = format!(
            "SELECT cardinality(k.outcome) FROM (SELECT ({schema}.keep(0, false, 1 << 30, 1::bigint << 60, 1, 63,
                 array_agg(n::bigint), array_agg(decode(md5(n::text), 'hex')), array_agg(false), array_agg(true),
                 array_agg('webhook'::text), array_agg(extract(epoch FROM now())::bigint * 1000000), array_agg('call_hangup'::text),
                 array_agg('call-' || n), array_agg(NULL::text), array_agg((n % {LANES})::bigint),
                 array_agg('{{crm}}'::text),
                 array_agg(convert_to('{{\"type\":\"call_hangup\",\"data\":{{\"id\":\"call-' || n || '\",\"padding\":\"'
                     || repeat('x', {BODY} - 64) || '\"}}}}', 'UTF8')))).*
             FROM generate_series({first}, {last}) n) k"
        );
        client.batch_execute(&keep).await.unwrap();
    }
}

/// Keeping and handling, a second, of some events.
async fn rates(inbox: &PostgresInbox, from: usize) -> f64 {
    let begun = Instant::now();
    keep(inbox, from..from + SOME, SENDERS).await;
    SOME as f64 / begun.elapsed().as_secs_f64()
}

pub(crate) async fn pending(server: &Server, events: usize) {
    let schema = "backlog";
    let (inbox, client) = inbox(server, schema).await;
    let first = 10 * events;
    let alone = rates(&inbox, first).await;
    fill(&client, schema, events).await;
    // As autovacuum does in its own time.
    client
        .batch_execute(&format!("ANALYZE {schema}.job"))
        .await
        .unwrap();
    let bytes = on_disk(&client, schema).await / events as i64;
    let beside = rates(&inbox, first + SOME).await;
    println!("{events} events wait, {bytes} bytes each on disk");
    println!("  kept a second: {alone:.0} without them, {beside:.0} beside them");
    let before = memory("VmRSS:").unwrap_or_default();
    let begun = Instant::now();
    let handling = Handling::start(&inbox);
    handling.until(1).await;
    println!("  the first is handled after {:?}", begun.elapsed());
    let (begun, from) = (Instant::now(), handling.handled());
    handling.until(from + SOME).await;
    let rate = (handling.handled() - from) as f64 / begun.elapsed().as_secs_f64();
    let grown = memory("VmRSS:").unwrap_or_default().saturating_sub(before) >> 20;
    println!("  handled a second: {rate:.0}; memory of the process grew by {grown} MiB");
}

/// How long events and identities stay.
const RETAIN: Duration = Duration::from_secs(30);

pub(crate) async fn retention(server: &Server, events: usize) {
    let schema = "retention";
    let builder = PostgresInbox::builder(server.url()).schema(schema);
    let builder = builder.retain_done(RETAIN).identity_ttl(RETAIN);
    let inbox = builder.connect().await.unwrap();
    let client = client(&server.url()).await;
    let handling = Handling::start(&inbox);
    println!("{events} events, kept, handled and removed {RETAIN:?} after their end");
    println!(
        "{:>9} {:>10} {:>8} {:>10} {:>9}",
        "events", "a second", "there", "MiB", "dead rows"
    );
    let steps = 20;
    let step = events / steps;
    for turn in 0..steps {
        let begun = Instant::now();
        keep(&inbox, turn * step..(turn + 1) * step, SENDERS).await;
        handling.until((turn + 1) * step).await;
        let rate = step as f64 / begun.elapsed().as_secs_f64();
        state(&client, schema, (turn + 1) * step, rate).await;
    }
    let left = format!(
        "SELECT (SELECT count(*) FROM {schema}.event) + (SELECT count(*) FROM {schema}.seen)"
    );
    while count(&client, &left).await > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Of autovacuum, twice its pause.
    tokio::time::sleep(Duration::from_secs(130)).await;
    state(&client, schema, events, 0.0).await;
}

async fn state(client: &Client, schema: &str, events: usize, rate: f64) {
    let there = count(client, &format!("SELECT count(*) FROM {schema}.event")).await;
    let dead = format!(
        "SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = '{schema}'"
    );
    let dead = count(client, &dead).await;
    let mib = on_disk(client, schema).await as f64 / f64::from(1 << 20);
    println!("{events:>9} {rate:>10.0} {there:>8} {mib:>10.1} {dead:>9}");
}
