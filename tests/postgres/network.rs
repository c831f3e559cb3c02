//! What lies between an inbox and its server: connections that are cut or go silent, and TLS.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::Certificate;
use voipbin_receiver::inbox::{Consumer, Inbox, PostgresInbox, Prefetch, Settled};

use crate::load::{Load, assert_kept_once};
use crate::proxy::{Flow, Proxy};
use crate::server::{Server, client, count, host, schema, url};
use crate::{GLANCE, patiently};

/// Handles what comes, and counts runs.
async fn handle(consumer: Arc<dyn Consumer>, runs: Arc<Mutex<BTreeMap<u64, u32>>>) {
    while let Some(jobs) = consumer.take(Prefetch::for_jobs(64)).await {
        for job in jobs {
            let (consumer, runs) = (Arc::clone(&consumer), Arc::clone(&runs));
            tokio::spawn(async move {
                let begun = consumer.begin(&job).await.is_ok();
                if begun {
                    *runs.lock().unwrap().entry(job.id()).or_default() += 1;
                }
                let outcome = if begun {
                    Settled::Done
                } else {
                    Settled::Released
                };
                consumer.settle(&job, outcome);
            });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_cut_or_silent_for_a_while_loses_nothing() {
    let seconds = env::var("POSTGRES_CUT").map_or(3, |seconds| seconds.parse().unwrap());
    let lasts = Duration::from_secs(seconds);
    for flow in [Flow::Cut, Flow::Held] {
        let schema = schema();
        let proxy = Proxy::before(&host()).await;
        let builder = PostgresInbox::builder(proxy.url()).schema(schema.clone());
        let inbox = builder.connect().await.unwrap();
        let consumer: Arc<dyn Consumer> = inbox.consume().unwrap().into();
        let runs = Arc::default();
        let handling = tokio::spawn(handle(Arc::clone(&consumer), Arc::clone(&runs)));
        let load = Load::start(&[inbox.clone(), inbox.clone()]);
        load.more(200).await;
        proxy.set(flow);
        tokio::time::sleep(lasts).await;
        proxy.set(Flow::Open);
        load.more(200).await;
        let (acked, refused) = load.end().await;
        let client = client(&url()).await;
        let open = format!("SELECT count(*) FROM {schema}.job");
        patiently(async {
            while count(&client, &open).await > 0 {
                tokio::time::sleep(GLANCE).await;
            }
        })
        .await;
        consumer.drain();
        handling.await.unwrap();
        assert_kept_once(&client, &schema, &acked).await;
        let runs = runs.lock().unwrap();
        let again = runs.values().filter(|times| **times > 1).count();
        println!(
            "{flow:?} for {seconds} s: {} acked in {} bytes, none lost, {refused} refused, {again} handled again",
            acked.len(),
            proxy.bytes()
        );
        assert_eq!(runs.len(), acked.len());
        // Nobody may have begun them elsewhere, as long as the lease lasts.
        assert!(
            again == 0 || lasts > PostgresInbox::DEFAULT_LEASE / 2,
            "{again}"
        );
    }
}

/// Whether a process keeps an event there that trusts the certificates of this file; what it says
/// otherwise.
fn keeps(url: &str, trusted: &OsStr) -> Result<(), String> {
    let mut process = Command::new(env!("CARGO_BIN_EXE_postgres-process"))
        .args(["ingress", url, "voipbin_inbox", "10000"])
        .env("SSL_CERT_FILE", trusted)
        .env_remove("SSL_CERT_DIR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that was refused reads nothing.
    let _ = process.stdin.as_mut().unwrap().write_all(b"ok-1\n");
    let mut kept = [0; 5];
    let answered = process.stdout.as_mut().unwrap().read_exact(&mut kept);
    let output = process.wait_with_output().unwrap();
    if answered.is_err() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    assert_eq!(&kept, b"ok-1\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_network_is_encrypted_and_verified_unless_the_url_says_otherwise() {
    let (own, other) = (
        Certificate::new(),
        Certificate::for_name("other.example.com"),
    );
    let mut server = Server::start_on_tcp(Some((&own.chain(), &own.key())));
    // The name is the network's, the address is this machine's.
    let at = |server: &Server, name: &str| {
        let port = server.port();
        format!("host={name} hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres")
    };
    let named = at(&server, "hooks.example.com");
    let trusted = own.chain();
    keeps(&named, trusted.as_os_str()).unwrap();
    for (url, trusted) in [
        // Of nobody whom the system trusts.
        (&named, other.chain()),
        // Of another server.
        (&at(&server, "db.example.com"), own.chain()),
    ] {
        let refused = keeps(url, trusted.as_os_str()).unwrap_err();
        assert!(refused.contains("ertificate"), "{refused}");
    }
    server.kill();
    let plain = Server::start_on_tcp(None);
    let named = at(&plain, "hooks.example.com");
    let by_address = named.replace("host=hooks.example.com ", "");
    let refused = keeps(&named, trusted.as_os_str()).unwrap_err();
    assert!(refused.contains("TLS"), "{refused}");
    keeps(&by_address, trusted.as_os_str()).unwrap();
    keeps(&format!("{named} sslmode=disable"), trusted.as_os_str()).unwrap();
}
