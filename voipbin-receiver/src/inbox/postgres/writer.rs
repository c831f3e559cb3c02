//! Writes down what becomes of a consumer's jobs.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::consumer::Core;
use super::lease::Membership;
use super::member::PAUSE;
use super::server::{Session, Trouble, single};
use super::shared::Shared;
use super::state::{JobUpdate, Key, Write};

impl Core {
    /// Writes down what became of jobs, as long as there is a consumer.
    pub(super) async fn write_down(self: Arc<Self>) {
        let mut session = Session::new(Arc::clone(&self.shared.address));
        loop {
            let next = self.state().next_writes();
            let Some((membership, mut writes)) = next else {
                self.written.notify_waiters();
                self.write.notified().await;
                continue;
            };
            let begun = loop {
                if membership.left().is_none() {
                    break None;
                }
                match settle(&self.shared, &mut session, &membership, &writes).await {
                    Ok(begun) => break begun,
                    Err(trouble) => {
                        tracing::warn!(%trouble, "what became of events cannot be written down yet");
                        self.could_not_write();
                        sleep(PAUSE).await;
                    }
                }
            };
            let Some(begun) = begun else {
                // Who takes over does so from what is written down.
                self.state().wrote(&writes);
                membership.end();
                continue;
            };
            self.state().wrote(&writes);
            for write in &mut writes {
                if let Some(starter) = write.begins.take().filter(|_| begun.contains(&write.key)) {
                    starter.send(Ok(()));
                }
            }
            let comes_again =
                |write: &Write| matches!(write.update, JobUpdate::Again | JobUpdate::Released);
            if writes.iter().any(comes_again) {
                self.wake.wake(u64::MAX);
            }
            self.shared.count.notify_one();
        }
    }
}

/// Gives the jobs that may begin; `None` when the lease is lost.
async fn settle(
    shared: &Shared,
    session: &mut Session,
    membership: &Membership,
    writes: &[Write],
) -> Result<Option<HashSet<Key>>, Trouble> {
    let sql = shared.sql("SELECT inbox.settle($1, $2, $3, $4, $5, $6, $7)");
    let (events, places): (Vec<i64>, Vec<i16>) = writes.iter().map(|write| write.key).unzip();
    let steps: Vec<i16> = writes.iter().map(|write| write.update as i16).collect();
    let attempts: Vec<i32> = writes.iter().map(|write| write.attempts).collect();
    // Beyond a century it makes no difference.
    const CENTURY: u128 = 100 * 365 * 24 * 3600 * 1000;
    let after = |write: &Write| i64::try_from(write.after.as_millis().min(CENTURY));
    let after: Vec<i64> = writes
        .iter()
        .map(|write| after(write).unwrap_or_default())
        .collect();
    let failed: Vec<Option<&str>> = writes.iter().map(|write| write.failed.as_deref()).collect();
    let rows = session
        .call(
            &sql,
            &[
                (&membership.id, Type::INT8),
                (&events, Type::INT8_ARRAY),
                (&places, Type::INT2_ARRAY),
                (&steps, Type::INT2_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&after, Type::INT8_ARRAY),
                (&failed, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let begun: Option<Vec<i64>> = single(&rows)?;
    Ok(begun.map(|begun| {
        let (events, places) = begun.split_at(begun.len() / 2);
        let place = |place: &i64| i16::try_from(*place).unwrap_or_default();
        events
            .iter()
            .copied()
            .zip(places.iter().map(place))
            .collect()
    }))
}
