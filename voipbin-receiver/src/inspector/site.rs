use std::sync::Arc;
use std::time::SystemTime;

use super::access::{Actor, Permit, Reads, Revealer};
use super::authority::Authority;
use super::bulk::Bulk;
use super::guard::Guard;
use super::journal::Journal;
use super::live::Live;
use super::mask::Mask;
use crate::event::RecordId;
use crate::inbox::Records;
use crate::observe::{Inspection, Transition, WarnLimiter};
use crate::receiver::Receiver;

/// What all requests share.
pub(super) struct Site {
    pub(super) receiver: Receiver,
    pub(super) journal: Arc<Journal>,
    pub(super) authority: Authority,
    pub(super) guard: Guard,
    pub(super) settings: Vec<Setting>,
    pub(super) bulk: Arc<Bulk>,
    pub(super) live: Live,
    /// Of those that failed.
    pub(super) sign_ins: WarnLimiter,
}

/// A setting of the program.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) origin: String,
}

impl Site {
    pub(super) fn now(&self) -> SystemTime {
        self.journal.now()
    }

    /// What the inbox holds, for somebody who may read.
    pub(super) fn records<R: Reads>(&self, _: &Permit<R>) -> Option<&dyn Records> {
        self.receiver.records()
    }

    /// What the inbox holds, for somebody who may change it.
    pub(super) fn records_to_change(&self, _: &Permit<Actor>) -> Option<&dyn Records> {
        self.receiver.records()
    }

    /// Tells the observers of a change.
    pub(super) fn acted(&self, _: &Permit<Actor>, action: &str, record: Option<RecordId>) {
        let inspection = Inspection::new(action, record);
        self.receiver.emit(Transition::Inspected(inspection));
    }

    /// Tells the observers of what was seen.
    pub(super) fn told(&self, _: &Permit<Revealer>, action: &str) {
        let inspection = Inspection::new(action, None);
        self.receiver.emit(Transition::Inspected(inspection));
    }

    /// Lifts the mask, and tells the observers.
    pub(super) fn reveal(&self, permit: &Permit<Revealer>, record: Option<RecordId>) -> Mask {
        let inspection = Inspection::new("reveal", record);
        self.receiver.emit(Transition::Inspected(inspection));
        Mask::lifted(permit)
    }
}
