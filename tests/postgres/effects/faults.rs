//! Workers that are killed and paused, and primaries that are lost, while handlers write effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use voipbin_receiver::inbox::PostgresInbox;

use crate::PATIENCE;
use crate::failover::{both, pair};
use crate::faults::{Process, rounds};
use crate::server::{Server, client, count};

const SCHEMA: &str = PostgresInbox::DEFAULT_SCHEMA;
const LEASE: Duration = Duration::from_secs(2);

/// A primary, a standby, and the processes.
struct Field {
    servers: (Server, Server),
    url: String,
    workers: Vec<Process>,
    ingresses: Vec<Process>,
    acked: BTreeSet<String>,
    sent: usize,
}

impl Field {
    async fn new() -> Self {
        let servers = tokio::task::spawn_blocking(pair).await.unwrap();
        let url = format!("{} target_session_attrs=read-write", both(&servers));
        drop(PostgresInbox::connect(&url).await.unwrap());
        let table = format!("CREATE TABLE {SCHEMA}_effect (event text, handler text)");
        let first = client(&servers.0.url()).await;
        first.batch_execute(&table).await.unwrap();
        let start = |role| Process::at(&url, role, SCHEMA, LEASE);
        Self {
            servers,
            workers: (0..3).map(|_| start("effects")).collect(),
            ingresses: (0..2).map(|_| start("ingress")).collect(),
            url,
            acked: BTreeSet::new(),
            sent: 0,
        }
    }

    async fn offer(&mut self, events: usize) {
        for _ in 0..events {
            // Of an odd period, so that each kind comes to each lane.
            let kind = match self.sent % 121 {
                7 => "kill",
                13 => "last",
                17 => "hang",
                23 => "late",
                27 => "fail",
                n if n % 4 == 0 => "slow",
                _ => "ok",
            };
            let id = format!("{kind}-effect-{}", self.sent);
            let ingress = self.sent % self.ingresses.len();
            self.ingresses[ingress].keep(&id);
            self.sent += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Those that were killed, ended by an event of theirs, or found no primary, are started anew.
    fn tend(&mut self) {
        for worker in &mut self.workers {
            if worker.has_ended() {
                *worker = Process::at(&self.url, "effects", SCHEMA, LEASE);
            }
        }
        for ingress in &mut self.ingresses {
            self.acked.extend(ingress.acked());
            if ingress.has_ended() {
                *ingress = Process::at(&self.url, "ingress", SCHEMA, LEASE);
            }
        }
    }

    /// For longer than its lease.
    async fn pause_worker(&mut self, at: usize) {
        self.tend();
        self.workers[at].signal("STOP");
        let until = Instant::now() + LEASE + Duration::from_millis(500);
        while Instant::now() < until {
            self.offer(4).await;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        self.workers[at].signal("CONT");
    }

    /// The primary dies and the standby takes its place; it gets a standby anew.
    async fn fail_over(&mut self) {
        self.servers.0.die();
        self.servers.1.promote();
        std::mem::swap(&mut self.servers.0, &mut self.servers.1);
        let primary = client(&self.servers.0.url()).await;
        let wait_for = |names: &str| {
            [
                format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"),
                "SELECT pg_reload_conf()".to_owned(),
            ]
        };
        for alone in wait_for("") {
            primary.simple_query(&alone).await.unwrap();
        }
        tokio::task::block_in_place(|| {
            let (primary, standby) = &mut self.servers;
            standby.follow(primary);
        });
        for together in wait_for("*") {
            primary.simple_query(&together).await.unwrap();
        }
        // With all that was committed before it waited.
        let has_all = "SELECT count(*) FROM pg_stat_replication \
             WHERE sync_state = 'sync' AND flush_lsn >= pg_current_wal_flush_lsn()";
        let patience = Instant::now() + PATIENCE;
        while count(&primary, has_all).await == 0 {
            assert!(Instant::now() < patience, "the standby does not follow");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn finish(&mut self) -> Client {
        // What is under way is told once it is kept.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let client = client(&self.servers.0.url()).await;
        let open = format!("SELECT count(*) FROM {SCHEMA}.job");
        let patience = Instant::now() + 4 * PATIENCE;
        while count(&client, &open).await > 0 {
            assert!(Instant::now() < patience, "events are left");
            self.tend();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.tend();
        client
    }
}

/// How often each event had an effect, by its handler.
async fn effects(client: &Client) -> BTreeMap<(String, String), usize> {
    let mut effects = BTreeMap::new();
    let sql = format!("SELECT handler, event FROM {SCHEMA}_effect");
    for row in client.query(&sql, &[]).await.unwrap() {
        *effects.entry((row.get(0), row.get(1))).or_default() += 1;
    }
    effects
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_has_its_effect_once_whatever_dies_and_by_itself_a_handler_has_it_twice() {
    let faults = rounds("POSTGRES_EFFECTS", 15);
    let mut field = Field::new().await;
    let mut random = 7_usize;
    for fault in 0..faults {
        field.offer(40).await;
        field.tend();
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let chance = random >> 33;
        match chance % 8 {
            // One in fifteen, and one for certain.
            _ if fault % 15 == 7 => field.fail_over().await,
            0..4 => field.workers[chance / 8 % 3].kill(),
            4 => field.ingresses[chance / 8 % 2].kill(),
            _ => field.pause_worker(chance / 8 % 3).await,
        }
    }
    let client = field.finish().await;

    let unfinished = format!("SELECT count(*) FROM {SCHEMA}.event WHERE state <> 1");
    assert_eq!(count(&client, &unfinished).await, 0, "not all are done");
    let effects = effects(&client).await;
    let mut twice: BTreeMap<&str, usize> = BTreeMap::new();
    for ((handler, event), times) in &effects {
        assert!(
            *times == 1 || handler == "plain",
            "{event}: {times} by {handler}"
        );
        *twice.entry(handler).or_default() += usize::from(*times > 1);
    }
    for event in &field.acked {
        for handler in ["tx", "sqlx", "plain"] {
            let effect = effects.contains_key(&(handler.to_owned(), event.clone()));
            assert!(effect, "{event} was acked and has no effect by {handler}");
        }
    }
    println!(
        "{faults} faults: {} of {} events acked, effects twice: {twice:?}",
        field.acked.len(),
        field.sent
    );
    // So this test can fail.
    assert!(twice["plain"] > 0);
    assert!(
        field.acked.len() > field.sent / 2,
        "hardly anything was kept"
    );
}
