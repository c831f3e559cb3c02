//! Standalone servers of both roles, replaced one after the other while events come in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use support::standalone::{Server, command};
use support::{SECRET, http_client};
use voipbin_receiver::testing::{Sender, Signer};

use crate::server::{client, count, schema, url};
use crate::{GLANCE, patiently};

/// Longer than the test: whoever waits for a lease fails it.
const LEASE: &str = "1h";

/// A server of a role, on the database of the tests.
async fn start(role: &str, schema: &str) -> Server {
    let arguments = ["--inbox", "postgres", "--role", role, "--lease", LEASE];
    let (url, secret) = (url(), if role == "worker" { "" } else { SECRET });
    let environment = [
        ("VOIPBIN_DATABASE_URL", &*url),
        ("VOIPBIN_DATABASE_SCHEMA", schema),
        ("VOIPBIN_SECRET", secret),
    ];
    let environment: Vec<_> = environment
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    Server::start(&arguments, &environment).await
}

/// Sends events, each to the next server of the list, and to another one where that refuses it, as
/// a balancer does. Gives those that were answered 200.
async fn offer(urls: Arc<Mutex<Vec<String>>>, ends: Arc<AtomicBool>) -> Vec<String> {
    let sender = Sender::new(http_client(), Signer::new(SECRET)).attempts(1);
    let mut acked = Vec::new();
    for number in 0_usize.. {
        if ends.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("call-{number}");
        let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{id}"}}}}"#);
        let urls = urls.lock().unwrap().clone();
        for place in 0..urls.len() {
            let url = urls[(number + place) % urls.len()].parse().unwrap();
            let report = sender.clone().uri(url).send(body.clone()).await;
            if report.delivered().is_some() {
                acked.push(id);
                break;
            }
        }
    }
    acked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_both_roles_loses_nothing_and_waits_for_no_lease() {
    let schema = schema();
    let mut ingresses = vec![start("ingress", &schema).await];
    let mut workers = vec![start("worker", &schema).await];
    for (role, servers) in [("ingress", &mut ingresses), ("worker", &mut workers)] {
        servers.push(start(role, &schema).await);
    }
    let url_of = |server: &Server| server.url.clone();
    let urls = Arc::new(Mutex::new(ingresses.iter().map(url_of).collect::<Vec<_>>()));
    let ends = Arc::new(AtomicBool::new(false));
    let offering = tokio::spawn(offer(Arc::clone(&urls), Arc::clone(&ends)));
    let client = client(&url()).await;
    let kept = format!("SELECT count(*) FROM {schema}.event");
    let more = async || {
        let before = count(&client, &kept).await;
        while count(&client, &kept).await < before + 50 {
            tokio::time::sleep(GLANCE).await;
        }
    };
    let mut handled: BTreeMap<String, usize> = BTreeMap::new();
    let mut take = |lines: Vec<String>| {
        for line in lines {
            let event: Value = serde_json::from_str(&line).unwrap();
            *handled
                .entry(event["resource_id"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    };
    for _ in 0..2 {
        patiently(more()).await;
        let new = start("ingress", &schema).await;
        urls.lock().unwrap().push(new.url.clone());
        ingresses.push(new);
        let old = ingresses.remove(0);
        let url = old.url.clone();
        let end = patiently(old.stop()).await;
        assert!(
            end.status.success() && end.stdout.is_empty(),
            "{:?}",
            end.stderr
        );
        urls.lock().unwrap().retain(|other| *other != url);

        patiently(more()).await;
        workers.push(start("worker", &schema).await);
        let end = patiently(workers.remove(0).stop()).await;
        assert!(end.status.success(), "{:?}", end.stderr);
        take(end.stdout);
    }
    patiently(more()).await;
    ends.store(true, Ordering::Relaxed);
    let acked = offering.await.unwrap();
    let open = format!("SELECT count(*) FROM {schema}.job");
    patiently(async {
        while count(&client, &open).await > 0 {
            tokio::time::sleep(GLANCE).await;
        }
    })
    .await;
    for worker in workers {
        take(patiently(worker.stop()).await.stdout);
    }
    for id in &acked {
        assert_eq!(handled.get(id), Some(&1), "{id} of {}", acked.len());
    }
    assert!(acked.len() > 100 && handled.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_nothing_in_and_needs_no_secret_on_any_address() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "--listen",
        "0.0.0.0:0",
        "--inbox",
        "postgres",
        "--role",
        "worker",
    ];
    let (url, schema) = (url(), schema());
    let environment = [
        ("VOIPBIN_DATABASE_URL", &*url),
        ("VOIPBIN_DATABASE_SCHEMA", &schema),
    ];
    let worker = Server::run(command(directory.path(), &arguments, &environment)).await;
    let sender = worker.sender(SECRET).attempts(1);
    let report = sender
        .send(r#"{"type":"call_hangup","data":{"id":"a"}}"#)
        .await;
    let answer = report.attempts()[0].as_ref().unwrap();
    assert_eq!(answer.status(), 503);
    let end = patiently(worker.stop()).await;
    assert!(
        end.status.success() && end.stdout.is_empty(),
        "{:?}",
        end.stderr
    );
}
