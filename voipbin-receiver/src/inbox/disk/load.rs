//! Opening: what the file holds is taken into memory, the bodies aside.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::convert;
use super::index::Row;
use super::ready::Again;
use super::record::{Head, JobStage};
use super::shared::Shared;
use super::store::Loaded;
use super::store_error::StoreError;
use crate::handler::HandlerName;
use crate::inbox::Jobs;

/// Reads what the file holds into memory. Tells whether something was damaged.
pub(super) fn load(shared: &Arc<Shared>) -> Result<bool, StoreError> {
    let now = shared.now();
    let mut lists: HashMap<Vec<HandlerName>, Jobs> = HashMap::new();
    let mut index = shared.index();
    let mut ready = shared.ready();
    let mut lost = 0_usize;
    let store = shared.store.read().unwrap_or_else(PoisonError::into_inner);
    let Some(store) = store.as_ref() else {
        return Ok(false);
    };
    let mut damaged = false;
    store.load(|loaded| {
        let Loaded {
            key,
            heads,
            progress,
            has_bodies,
            damage,
        } = loaded;
        if damage.any() {
            damaged = true;
            tracing::error!(
                row = key,
                ?damage,
                "the inbox's file is damaged here: where progress is lost its events are handled again"
            );
        }
        let Some(heads) = heads else {
            lost += 1;
            return;
        };
        let mut jobs_of = |head: &Head| {
            let names: Vec<HandlerName> = head
                .jobs
                .iter()
                .filter_map(|place| heads.names.get(usize::from(*place)).cloned())
                .collect();
            lists
                .entry(names)
                .or_insert_with_key(|names| names.iter().cloned().collect())
                .clone()
        };
        let jobs: Vec<Jobs> = heads.heads.iter().map(&mut jobs_of).collect();
        let row = Row {
            key,
            heads,
            jobs,
            progress,
            has_bodies,
        };
        index.load(row, shared.keep, |event, head| {
            let age = Duration::from_millis(now.saturating_sub(event.kept_at));
            let open = event.is_open();
            if head.replay_of.is_none() {
                if event.marks {
                    shared.noted.restore(event.identity, age, false);
                } else {
                    shared.seen.restore(event.identity, age, open);
                }
            }
            if !open {
                return;
            }
            if ready.in_file.is_none() {
                ready.in_file = Some(event.seq);
            }
            for (_, handler, job) in event.open_jobs() {
                // Those that hold their lane up are handed out in their place, to wait there.
                if let JobStage::Waiting {
                    since,
                    millis,
                    in_lane: false,
                } = job.stage
                {
                    let again = Again::of(event.seq, handler, &job);
                    let left = left(since, millis, now);
                    let after = spread(left, event.seq, shared.settings.spread);
                    ready.push_found(again, after);
                }
            }
        });
    })?;
    if lost > 0 {
        tracing::error!(
            rows = lost,
            "rows of the inbox's file cannot be read at all"
        );
    }
    shared.publish(index.totals);
    Ok(damaged)
}

/// How long a job still waits: never longer than it was to, whatever became of the clock.
pub(super) fn left(since: u64, millis: u64, now: u64) -> Duration {
    Duration::from_millis(millis.saturating_sub(now.saturating_sub(since)))
}

/// What is overdue comes within a few seconds and not all at once, after a time without a process.
pub(super) fn spread(left: Duration, seq: u64, over: Duration) -> Duration {
    if !left.is_zero() {
        return left;
    }
    let place = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let over = convert::as_millis(over).max(1);
    Duration::from_millis(place.checked_rem(over).unwrap_or_default())
}
