//! How soon the lanes of a process that is gone are another one's.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::figures::Spread;
use tokio_postgres::Client;
use voipbin_receiver::inbox::{Inbox, Lane};

use crate::server::{Server, count};
use crate::{Effort, PATIENCE, event, inbox};

const LEASE: Duration = Duration::from_secs(2);

/// One event for each of the partitions.
const EVENTS: usize = 64;

fn worker(server: &Server, schema: &str) -> Child {
    let mut worker = Command::new(env!("CARGO_BIN_EXE_postgres-process"))
        .args([
            "worker",
            &server.url(),
            schema,
            &LEASE.as_millis().to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    let mut lines = BufReader::new(worker.stdout.as_mut().unwrap());
    lines.read_line(&mut ready).unwrap();
    assert_eq!(ready, "ready\n");
    worker
}

/// Until it does, as a server's statement tells.
async fn until(client: &Client, sql: &str, value: i64) {
    let since = Instant::now();
    while count(client, sql).await != value {
        assert!(since.elapsed() < PATIENCE, "{sql}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) async fn measure(server: &Server, effort: Effort) {
    let schema = "takeover";
    let (inbox, client) = inbox(server, schema).await;
    let runs = format!(
        "CREATE TABLE {schema}_run (id text, attempt integer, pid integer, \
         began_at timestamptz DEFAULT clock_timestamp(), ended_at timestamptz)"
    );
    client.batch_execute(&runs).await.unwrap();
    let shares = format!(
        "SELECT count(*) FROM (SELECT FROM {schema}.partition GROUP BY owner HAVING count(*) = 32) x"
    );
    let all = format!("SELECT count(*) FROM {schema}_run WHERE ended_at IS NOT NULL");
    let took = format!(
        "SELECT extract(epoch FROM max(began_at) - $1::timestamptz)::float8 FROM {schema}_run"
    );
    let mut number = 0;
    for (what, bound) in [
        ("a crash", LEASE.as_secs_f64() + 1.0),
        ("a clean stop", 0.5),
    ] {
        let mut times = Vec::new();
        for _ in 0..effort.rounds {
            let mut workers = [worker(server, schema), worker(server, schema)];
            until(&client, &shares, 2).await;
            client
                .batch_execute(&format!("TRUNCATE {schema}_run"))
                .await
                .unwrap();
            let begun = client
                .query_one("SELECT clock_timestamp()::text", &[])
                .await
                .unwrap();
            let begun: String = begun.get(0);
            match what {
                "a crash" => workers[0].kill().unwrap(),
                _ => drop(workers[0].stdin.take()),
            }
            for lane in 0..EVENTS {
                number += 1;
                let lane = Some(Lane::from_number(lane as u64));
                inbox.keep(event(number).in_lane(lane)).await.unwrap();
            }
            until(&client, &all, EVENTS as i64).await;
            let took = took.replace("$1", &format!("'{begun}'"));
            times.push(client.query_one(&took, &[]).await.unwrap().get::<_, f64>(0));
            for mut worker in workers {
                drop(worker.stdin.take());
                worker.wait().unwrap();
            }
        }
        let spread = Spread::of(times.into_iter()).unwrap();
        println!(
            "after {what}, lease {LEASE:?}: {spread:.2} s until all lanes go on; {bound} is allowed"
        );
    }
}
