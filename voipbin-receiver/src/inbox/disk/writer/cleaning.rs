//! Removing what is over, and giving its room back.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Plan, Writer};
use crate::inbox::disk::index::{Cleaning, Index};

/// How many rows one commit cleans, and how soon the next one goes on where there are more.
pub(super) const CLEANINGS: usize = 256;
pub(super) const NEXT_CLEANING: Duration = Duration::from_millis(20);

/// The file is made smaller when nothing came for a tick, it is at least so large, less than a
/// quarter of it is used, and so little is used that to move it takes a moment.
const COMPACT_FROM: u64 = 16 << 20;
const COMPACT_MOST: u64 = 32 << 20;

impl Writer {
    /// Gives room that is not used any more back to the file system, where that is quick.
    pub(super) fn compact(&mut self) {
        let shared = Arc::clone(&self.shared);
        let len = shared.disk_bytes.load(Ordering::Relaxed);
        if len < COMPACT_FROM || self.is_in_need() {
            return;
        }
        let used = shared.index().used();
        let worth = match self.compacted {
            Some((before, after)) => used < before / 2 || len > after.saturating_mul(2),
            None => true,
        };
        if !worth || used > len / 4 || used > COMPACT_MOST {
            return;
        }
        let mut store = shared.store.write().unwrap_or_else(PoisonError::into_inner);
        let Some(store) = store.as_mut() else { return };
        match store.compact() {
            Ok(_) => {
                self.compacted = Some((used, store.file_len()));
                shared.disk_bytes.store(store.file_len(), Ordering::Relaxed);
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Finds what is over, and takes it out of the file. Tells whether there may be more.
    pub(super) fn clean(&self, index: &mut Index, plan: &mut Plan, now: u64) -> bool {
        let most = self.shared.settings.max_bytes;
        let keep = self.shared.keep;
        let mut stored = index.totals.stored;
        let mut early = true;
        for _ in 0..CLEANINGS {
            let due = match index.next_due(now) {
                Some(key) => Some((key, index.cleaning(key, now, keep))),
                None if stored > most && early => index.next_early(),
                None => None,
            };
            let Some((key, cleaning)) = due else {
                return false;
            };
            let changes = &mut plan.changes;
            let mut left = 0;
            match &cleaning {
                Cleaning::Nothing => {
                    index.postpone(key, now, keep);
                    continue;
                }
                Cleaning::Bodies => {
                    changes.drop_chunks.push(key);
                    changes.drop_attempts.push(index.numbers(key));
                }
                Cleaning::All => {
                    changes.drop_chunks.push(key);
                    changes.drop_attempts.push(index.numbers(key));
                    changes.drop_heads.push(key);
                    changes.drop_progress.push(key);
                }
                Cleaning::BodiesBut(wanted) => match self.without(key, wanted) {
                    Some((row, bytes)) => {
                        changes.chunks.push((key, row));
                        changes.drop_attempts.extend(index.unwanted(key, wanted));
                        left = bytes;
                    }
                    None => {
                        early = false;
                        index.postpone(key, now.saturating_add(60_000), keep);
                        continue;
                    }
                },
            }
            stored = stored.saturating_sub(index.stored_in(key)) + left;
            plan.cleanings.push((key, cleaning, left));
        }
        true
    }

    /// A chunk with these events alone, and the bytes of their bodies.
    fn without(&self, key: u64, wanted: &[u64]) -> Option<(Vec<u8>, u64)> {
        let store = self.store();
        let mut chunk = store.as_ref()?.chunk(key).ok().flatten()?;
        drop(store);
        chunk
            .events
            .retain(|(head, _)| wanted.binary_search(&head.seq).is_ok());
        let bytes = chunk.events.iter().map(|(_, body)| body.len() as u64).sum();
        Some((chunk.encode(key).ok()?, bytes))
    }
}
