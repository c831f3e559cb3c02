//! Events that come in while something happens to the server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use voipbin_receiver::inbox::{Inbox, PostgresInbox};

use crate::{GLANCE, event, patiently};

const SENDERS: usize = 8;

/// Senders, each of which keeps one event after another, again and again until it is acked.
pub(crate) struct Load {
    acked: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    senders: Vec<JoinHandle<(Vec<usize>, usize)>>,
}

impl Load {
    /// Over these processes by turns.
    pub(crate) fn start(inboxes: &[PostgresInbox]) -> Self {
        let (acked, ends) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let sender = |sender: usize| {
            let inbox = inboxes[sender % inboxes.len()].clone();
            let (acked, ends) = (Arc::clone(&acked), Arc::clone(&ends));
            tokio::spawn(async move {
                let (mut own, mut refused) = (Vec::new(), 0);
                for number in (sender..).step_by(SENDERS) {
                    let ended = ends.load(Ordering::Relaxed);
                    while inbox.keep(event(number)).await.is_err() {
                        refused += 1;
                    }
                    acked.fetch_add(1, Ordering::Relaxed);
                    own.push(number);
                    if ended {
                        break;
                    }
                }
                (own, refused)
            })
        };
        Self {
            senders: (0..SENDERS).map(sender).collect(),
            acked,
            ends,
        }
    }

    /// Until so many more are acked.
    pub(crate) async fn more(&self, events: usize) {
        let until = self.acked.load(Ordering::Relaxed) + events;
        patiently(async {
            while self.acked.load(Ordering::Relaxed) < until {
                tokio::time::sleep(GLANCE).await;
            }
        })
        .await;
    }

    /// The numbers that were acked, and how often one was refused.
    pub(crate) async fn end(self) -> (BTreeSet<usize>, usize) {
        self.ends.store(true, Ordering::Relaxed);
        let (mut acked, mut refused) = (BTreeSet::new(), 0);
        for sender in patiently(join_all(self.senders)).await {
            let (numbers, refusals) = sender.unwrap();
            acked.extend(numbers);
            refused += refusals;
        }
        (acked, refused)
    }
}

/// Each that was acked is there, and none twice.
pub(crate) async fn assert_kept_once(client: &Client, schema: &str, acked: &BTreeSet<usize>) {
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    let sql = format!("SELECT resource_id FROM {schema}.event");
    for row in client.query(&sql, &[]).await.unwrap() {
        *found.entry(row.get(0)).or_default() += 1;
    }
    for number in acked {
        assert_eq!(found.get(&format!("call-{number}")), Some(&1), "{number}");
    }
    assert!(found.values().all(|times| *times == 1), "kept twice");
}
