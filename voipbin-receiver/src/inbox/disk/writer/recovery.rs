//! What cannot be written, and going on when it can.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Writer;
use crate::inbox::disk::store::Store;
use crate::inbox::disk::store_error::StoreError;
use crate::sync::time::Moment as Instant;

impl Writer {
    pub(super) fn fail(&mut self, error: &StoreError) {
        /// What lasts is told of now and then.
        const QUIET: Duration = Duration::from_secs(60);
        self.shared.failing.store(true, Ordering::Relaxed);
        self.flushes.clear();
        let now = Instant::now();
        self.next_tick = now + self.shared.settings.tick;
        if let Some((kind, at)) = self.told
            && kind == error.kind()
            && now - at < QUIET
        {
            return;
        }
        self.told = Some((error.kind(), now));
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(
            %error,
            cause,
            "the inbox cannot write: new events are refused until it can"
        );
    }

    /// Looks whether the file is where it was. What is written into one that is not would be lost.
    pub(super) fn look(&mut self) {
        match self.place.look() {
            Err(error) => {
                self.moved = true;
                self.fail(&error);
            }
            Ok(()) if self.moved => {
                self.moved = false;
                self.recovered();
            }
            Ok(()) => {}
        }
    }

    pub(super) fn recovered(&mut self) {
        tracing::info!("the inbox's file can be written again");
        self.told = None;
        self.shared.failing.store(false, Ordering::Relaxed);
        self.shared.arrived.notify_waiters();
    }

    /// Whether a write failed, or somebody's read.
    pub(super) fn is_in_need(&self) -> bool {
        self.shared.failing.load(Ordering::Relaxed)
            || self.store().as_ref().is_none_or(Store::is_broken)
    }

    /// Opens the file anew, which drops whatever the failed write left in memory.
    pub(super) fn reopen(&mut self) -> bool {
        if self.shared.failing.load(Ordering::Relaxed) && Instant::now() < self.next_tick {
            return false;
        }
        let mut store = self
            .shared
            .store
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *store = None;
        match self.place.open(false) {
            Ok(opened) => {
                *store = Some(opened);
                drop(store);
                self.recovered();
                true
            }
            Err(error) => {
                drop(store);
                self.fail(&error);
                false
            }
        }
    }
}
