//! What the inbox has of a time.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::CandidateKind;
use super::error::{CatchUpError, CatchUpErrorKind};
use super::settings::Window;
use crate::Receiver;
use crate::catalog::EventType;
use crate::event::{Delivery, Identity, Proof, StoredDelivery, Time};
use crate::inbox::{Durability, RecordFilter, Stage};

/// How many records are read at once, with their bodies.
const AT_ONCE: usize = 256;

#[derive(Default)]
pub(super) struct Known {
    identities: HashSet<Identity>,
    states: HashSet<(EventType, String, Time)>,
    resources: HashSet<(CandidateKind, String)>,
}

impl Known {
    /// From what the inbox retains.
    pub(super) async fn read(receiver: &Receiver, window: &Window) -> Result<Self, CatchUpError> {
        let mut known = Self::default();
        let Some(records) = receiver.records() else {
            return Ok(known);
        };
        // A webhook may come before the history has the event.
        let from = window.from.checked_sub(Duration::from_secs(60));
        let filter = RecordFilter::new().received_after(from.unwrap_or(window.from));
        let mut after = None;
        loop {
            let page = records.list(&filter, after, AT_ONCE).await;
            let page = page.map_err(|error| CatchUpError::of(CatchUpErrorKind::Records, error))?;
            for record in &page.records {
                known.add(&record.delivery);
                let done = record
                    .jobs
                    .iter()
                    .filter(|job| matches!(job.stage, Stage::Done { .. }));
                // What is recovered may be older than what they completed.
                for job in done {
                    receiver
                        .dispatch()
                        .note_completed(&record.delivery, &job.handler);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(known);
            }
        }
    }

    fn add(&mut self, delivery: &Delivery) {
        self.identities.insert(delivery.identity());
        self.states.extend(state(delivery));
        let kind = delivery.event_type().as_ref().and_then(CandidateKind::of);
        if let (Some(kind), Some(id)) = (kind, delivery.resource_id()) {
            self.resources.insert((kind, id.to_owned()));
        }
    }

    /// Whether it has this event, or one of the same type that tells the same state of the same
    /// resource: the history may have rendered it anew.
    pub(super) fn has(&self, body: &Bytes, identity: Identity) -> bool {
        if self.identities.contains(&identity) {
            return true;
        }
        let row = StoredDelivery::new(
            body.clone(),
            identity,
            Proof::Unsigned,
            SystemTime::UNIX_EPOCH,
        );
        let state = row.restore().ok().and_then(|delivery| state(&delivery));
        state.is_some_and(|state| self.states.contains(&state))
    }

    /// Resources of which it has an event.
    pub(super) fn resources(&self) -> impl Iterator<Item = (CandidateKind, &str)> {
        self.resources.iter().map(|(kind, id)| (*kind, &**id))
    }
}

fn state(delivery: &Delivery) -> Option<(EventType, String, Time)> {
    let id = delivery.resource_id()?.to_owned();
    Some((delivery.event_type()?, id, delivery.last_change()?))
}

impl Receiver {
    /// From when on the inbox knows what it took, as long as there is not too much of it.
    pub(super) fn remembers_since(&self) -> SystemTime {
        let guarantees = self.dispatch().inbox.guarantees();
        let known = guarantees.knows_events_for();
        let since = self.dispatch().clock.wall().checked_sub(known);
        let since = since.unwrap_or(SystemTime::UNIX_EPOCH);
        match guarantees.durability {
            Durability::Process => since.max(self.built_at()),
            _ => since,
        }
    }
}
