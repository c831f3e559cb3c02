//! A primary that is lost and a standby that takes its place: what was acked is there, once.

use std::env;
use std::pin::pin;
use std::time::{Duration, Instant};

use voipbin_receiver::inbox::{Durability, Inbox, KeepErrorKind, Kept, PostgresInbox};

use crate::load::{Load, assert_kept_once};
use crate::server::{Server, client, count};
use crate::{PATIENCE, event, patiently};

/// A primary that waits for its standby, and that.
pub(crate) fn pair() -> (Server, Server) {
    let primary = Server::start(&["synchronous_standby_names = '*'"]);
    let standby = primary.standby();
    (primary, standby)
}

/// Either of them, whichever is the primary.
pub(crate) fn both(pair: &(Server, Server)) -> String {
    let hosts = [&pair.0, &pair.1].map(|server| server.host());
    format!(
        "host={} port=5432,5432 user=postgres dbname=postgres",
        hosts.join(",")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acked_before_a_failover_is_there_once_after_it() {
    let rounds: usize = env::var("POSTGRES_FAILOVERS").map_or(2, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let mut servers = tokio::task::spawn_blocking(pair).await.unwrap();
        let url = both(&servers);
        let connect = || PostgresInbox::builder(&url).connect();
        let inboxes = [connect().await.unwrap(), connect().await.unwrap()];
        assert_eq!(inboxes[0].guarantees().durability, Durability::Machine);
        let load = Load::start(&inboxes);
        load.more(500).await;
        let gap = Instant::now();
        servers.0.die();
        servers.1.promote();
        let new = client(&servers.1.url()).await;
        let primary = async || {
            let row = new
                .query_one("SELECT pg_is_in_recovery()", &[])
                .await
                .unwrap();
            !row.get::<_, bool>(0)
        };
        while !primary().await {
            assert!(gap.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let gap = gap.elapsed();
        load.more(500).await;
        let (acked, refused) = load.end().await;
        assert_kept_once(&new, "voipbin_inbox", &acked).await;
        println!(
            "failover {round}: {} acked, none lost, {refused} refused in a gap of {gap:?}",
            acked.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_lost_primary_had_was_answered_200_to_nobody() {
    let mut servers = tokio::task::spawn_blocking(pair).await.unwrap();
    let url = both(&servers);
    let connect = || {
        let builder = PostgresInbox::builder(&url).require(Durability::Cluster);
        builder.keep_timeout(Duration::from_secs(3)).connect()
    };
    let first = connect().await.unwrap();
    assert_eq!(first.guarantees().durability, Durability::Cluster);
    assert_eq!(patiently(first.keep(event(0))).await.unwrap(), Kept::New);
    servers.1.freeze();
    let mut kept = pin!(first.keep(event(1)));
    let local = client(&servers.0.url()).await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    loop {
        assert!(futures_util::poll!(&mut kept).is_pending());
        if count(&local, waits).await > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(local);
    // After its recovery the primary has what its standby does not, and nothing waits for that any
    // more.
    servers.0.die();
    let servers = tokio::task::spawn_blocking(move || {
        servers.0.resume();
        servers
    });
    let mut servers = servers.await.unwrap();
    let local = client(&servers.0.url()).await;
    let there = "SELECT count(*) FROM voipbin_inbox.event WHERE resource_id = 'call-1'";
    assert_eq!(count(&local, there).await, 1);
    let second = connect().await.unwrap();
    for refused in [
        patiently(kept).await,
        patiently(second.keep(event(1))).await,
    ] {
        assert_eq!(refused.unwrap_err().kind(), KeepErrorKind::Storage);
    }
    drop(local);
    servers.0.die();
    // What the primary had sent and it had not read goes with its sockets.
    servers.1.kill();
    let servers = tokio::task::spawn_blocking(move || {
        servers.1.resume();
        servers.1.promote();
        servers
    });
    let servers = servers.await.unwrap();
    let new = client(&servers.1.url()).await;
    assert_eq!(count(&new, there).await, 0, "the standby never had it");
    // No standby is left: what requires one takes nothing, and what does not keeps it as new.
    let refused = patiently(second.keep(event(1))).await.unwrap_err();
    assert_eq!(refused.kind(), KeepErrorKind::Storage);
    let third = PostgresInbox::builder(&url).keep_timeout(PATIENCE);
    let third = patiently(third.connect()).await.unwrap();
    assert_eq!(patiently(third.keep(event(1))).await.unwrap(), Kept::New);
    assert_eq!(
        patiently(third.keep(event(0))).await.unwrap(),
        Kept::Duplicate
    );
}
