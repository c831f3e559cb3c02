//! The jobs that were taken out of the inbox and are not settled.

use foldhash::fast::RandomState;

use super::shutdown::{JobState, Unfinished};
use crate::inbox::{Inbox, Parked, Settled, Taken};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::map::DashMap;

/// Open jobs, by numbers of their own. They do not live in the pump, which can go away with its
/// runtime.
#[derive(Default)]
pub(super) struct OpenJobs {
    jobs: DashMap<u64, Open, RandomState>,
    next: AtomicU64,
}

struct Open {
    job: Held,
    state: JobState,
}

/// A job with the bytes of its event, or one that the inbox can find again.
#[derive(Clone)]
pub(super) enum Held {
    Here(Taken),
    Parked(Parked),
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Here(taken) => taken.delivery().body().len(),
            Self::Parked(_) => 0,
        }
    }
}

impl OpenJobs {
    pub(super) fn add(&self, job: Held, state: JobState) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.jobs.insert(id, Open { job, state });
        id
    }

    /// A job begins to run, with its bytes.
    pub(super) fn begin(&self, id: u64, taken: &Taken) {
        if let Some(mut open) = self.jobs.get_mut(&id) {
            open.state = JobState::Running;
            if let Held::Parked(_) = open.job {
                open.job = Held::Here(taken.clone());
            }
        }
    }

    /// Does what a job needs to go on and says how far it has come, unless it is closed. Whoever closes it
    /// does so before all of this or after.
    pub(super) fn go_on(&self, id: u64, step: impl FnOnce() -> (Held, JobState)) {
        if let Some(mut open) = self.jobs.get_mut(&id) {
            let (job, state) = step();
            *open = Open { job, state };
        }
    }

    /// Whether it was open: whoever closes a job settles it, and nobody else.
    pub(super) fn close(&self, id: u64) -> bool {
        self.jobs.remove(&id).is_some()
    }

    /// Gives the room back that those took which are closed.
    pub(super) fn shrink(&self) {
        self.jobs.shrink_to_fit();
    }

    /// Puts all of them back into the inbox, in the order in which they were taken.
    pub(super) fn release_all(&self, inbox: &dyn Inbox) {
        let mut ids: Vec<u64> = self.jobs.iter().map(|open| *open.key()).collect();
        ids.sort_unstable();
        for id in ids {
            match self.jobs.remove(&id).map(|(_, open)| open.job) {
                Some(Held::Here(taken)) => inbox.settle(&taken, Settled::Released),
                Some(Held::Parked(parked)) => inbox.put_back(&parked),
                None => {}
            }
        }
    }

    /// First those that run, each in the order in which they were taken. `all` of them, or only those
    /// that run.
    pub(super) fn unfinished(&self, all: bool) -> Vec<Unfinished> {
        let mut open: Vec<(u64, Unfinished)> = self
            .jobs
            .iter()
            .filter_map(|entry| {
                let Open { job, state } = entry.value();
                let Held::Here(taken) = job else { return None };
                let counts = all || *state == JobState::Running;
                counts.then(|| (*entry.key(), Unfinished::new(taken.clone(), *state)))
            })
            .collect();
        open.sort_by_key(|(id, job)| (job.state != JobState::Running, *id));
        open.into_iter().map(|(_, job)| job).collect()
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::event::Delivery;
    use crate::handler::HandlerName;
    use crate::inbox::Entry;

    fn taken() -> Taken {
        let delivery = Delivery::unsigned("{}".into(), SystemTime::UNIX_EPOCH).unwrap();
        let entry = Arc::new(Entry::new(1, delivery, 1));
        Taken::new(entry, HandlerName::new("crm"))
    }

    fn job() -> Held {
        Held::Here(taken())
    }

    #[test]
    fn nobody_closes_a_job_between_two_steps_of_its_going_on() {
        let open = OpenJobs::default();
        let id = open.add(job(), JobState::Running);
        let mut went_on = false;
        open.go_on(id, || {
            assert!(open.jobs.try_get(&id).is_locked());
            went_on = true;
            (job(), JobState::Failed)
        });
        assert!(went_on);
        assert_eq!(open.unfinished(true)[0].state, JobState::Failed);
    }

    #[test]
    fn a_closed_job_does_not_go_on() {
        let open = OpenJobs::default();
        let id = open.add(job(), JobState::Running);
        assert!(open.close(id));
        open.go_on(id, || panic!("it is closed"));
        open.begin(id, &taken());
        assert!(open.unfinished(true).is_empty());
    }
}
