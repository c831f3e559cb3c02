//! The same rows in the same tables, by somebody who does without all that the inbox is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;
use voipbin_receiver::inbox::{Incoming, PostgresInbox};

/// Of one commit, as with the inbox.
const MOST: usize = 256;

type New = (Incoming, oneshot::Sender<()>);

#[derive(Clone)]
pub(crate) struct Bare(mpsc::UnboundedSender<New>);

impl Bare {
    /// As many connections as the inbox has, each of which inserts what waits.
    pub(crate) async fn connect(url: &str, schema: &str) -> Self {
        let (new, incoming) = mpsc::unbounded_channel();
        let incoming = Arc::new(Mutex::new(incoming));
        let tokens = Arc::new(AtomicI64::new(0));
        for _ in 0..PostgresInbox::DEFAULT_CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
            tokio::spawn(connection);
            let (incoming, tokens) = (Arc::clone(&incoming), Arc::clone(&tokens));
            let sql = insert(schema);
            tokio::spawn(async move {
                let mut batch: Vec<New> = Vec::new();
                while incoming.lock().await.recv_many(&mut batch, MOST).await > 0 {
                    let of = |number: usize| &batch[number].0.delivery;
                    let all = 0..batch.len();
                    let token = tokens.fetch_add(MOST as i64, Ordering::Relaxed);
                    let tokens: Vec<i64> = (token..).take(batch.len()).collect();
                    let identities: Vec<_> = all.clone().map(|n| of(n).identity()).collect();
                    let identities: Vec<&[u8]> =
                        identities.iter().map(|id| &id.as_bytes()[..]).collect();
                    let types: Vec<_> = all.clone().map(|n| of(n).event_type()).collect();
                    let types: Vec<_> = types
                        .iter()
                        .map(|of| of.as_ref().map(|of| of.as_str()))
                        .collect();
                    let resources: Vec<_> = all.clone().map(|n| of(n).resource_id()).collect();
                    let lane = |n: usize| batch[n].0.lane.map(|lane| lane.get().cast_signed());
                    let lanes: Vec<_> = all.clone().map(lane).collect();
                    let bodies: Vec<&[u8]> = all.map(|n| &of(n).body()[..]).collect();
                    client
                        .query_typed(
                            &sql,
                            &[
                                (&tokens, Type::INT8_ARRAY),
                                (&identities, Type::BYTEA_ARRAY),
                                (&types, Type::TEXT_ARRAY),
                                (&resources, Type::TEXT_ARRAY),
                                (&lanes, Type::INT8_ARRAY),
                                (&bodies, Type::BYTEA_ARRAY),
                            ],
                        )
                        .await
                        .unwrap();
                    for (_, kept) in batch.drain(..) {
                        kept.send(()).unwrap();
                    }
                }
            });
        }
        Self(new)
    }

    pub(crate) async fn keep(&self, incoming: Incoming) {
        let (kept, reply) = oneshot::channel();
        self.0.send((incoming, kept)).unwrap();
        reply.await.unwrap();
    }
}

fn insert(schema: &str) -> String {
    format!(
        "WITH came AS MATERIALIZED (
             SELECT nextval('{schema}.event_id_seq') AS id, i.* FROM unnest($1, $2, $3, $4, $5, $6)
                 i(token, identity, type, resource, lane, body)
         ), seen AS (
             INSERT INTO {schema}.seen (identity, event, token) SELECT identity, id, token FROM came
         ), event AS (
             INSERT INTO {schema}.event (id, received_at, identity, signed, origin, possible_repeat,
                                         type, resource_id, lane, handlers, bytes)
             SELECT id, now(), identity, true, 'webhook', false, type, resource, lane,
                    ARRAY['crm'], length(body) FROM came
         ), body AS (
             INSERT INTO {schema}.body SELECT id, body FROM came
         )
         INSERT INTO {schema}.job (event, place, partition, handler)
         SELECT id, 0, lane & 63, 'crm' FROM came"
    )
}
