//! The jobs that were taken out of the inbox and are not settled.

use super::shutdown::{JobState, Unfinished};
use crate::inbox::{Inbox, Parked, Settled, Taken};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Open jobs, by places that are used again. They do not live in the pump, which can go away with its
/// runtime.
#[derive(Default)]
pub(super) struct OpenJobs {
    shelves: [Mutex<Shelf>; SHELVES],
    next: AtomicU64,
}

/// Jobs that run at the same time on different threads seldom wait for each other.
const SHELVES: usize = 8;

/// A part of the jobs: what one lock covers.
#[derive(Default)]
struct Shelf {
    places: Vec<Option<Open>>,
    /// The last one is used again first, as it is the one that is in the processor's cache.
    vacant: Vec<u32>,
}

struct Open {
    number: u64,
    job: Held,
    state: JobState,
}

/// An open job: its number, in the order in which jobs were taken, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct JobId {
    number: u64,
    place: u32,
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

impl Shelf {
    fn put(&mut self, open: Open) -> u32 {
        let vacant = self.vacant.pop();
        let place = vacant.unwrap_or(self.places.len() as u32);
        match self.places.get_mut(place as usize) {
            Some(of_place) => *of_place = Some(open),
            None => self.places.push(Some(open)),
        }
        place
    }

    /// The job, unless it is closed: another may lie in its place.
    fn get_mut(&mut self, id: JobId) -> Option<&mut Open> {
        let open = self.places.get_mut(id.place as usize)?.as_mut();
        open.filter(|open| open.number == id.number)
    }

    fn remove(&mut self, id: JobId) -> Option<Open> {
        self.get_mut(id)?;
        let open = self.places.get_mut(id.place as usize)?.take();
        self.vacant.push(id.place);
        if self.vacant.len() == self.places.len() && self.places.len() > CROWD {
            *self = Self::default();
        }
        open
    }

    fn open(&self) -> impl Iterator<Item = (JobId, &Open)> {
        let places = self.places.iter().zip(0..);
        places.filter_map(|(open, place)| {
            let open = open.as_ref()?;
            let number = open.number;
            Some((JobId { number, place }, open))
        })
    }
}

/// A shelf of more than so many gives its room back when it is empty. There are seldom more, as the pump takes
/// some thousands at most before they can run.
const CROWD: usize = 1024;

impl OpenJobs {
    pub(super) fn add(&self, job: Held, state: JobState) -> JobId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let open = Open { number, job, state };
        let place = self.shelf(number).put(open);
        JobId { number, place }
    }

    /// A job begins to run, with its bytes.
    pub(super) fn begin(&self, id: JobId, taken: &Taken) {
        if let Some(open) = self.shelf(id.number).get_mut(id) {
            open.state = JobState::Running;
            if let Held::Parked(_) = open.job {
                open.job = Held::Here(taken.clone());
            }
        }
    }

    /// Does what a job needs to go on and says how far it has come, unless it is closed. Whoever closes it
    /// does so before all of this or after.
    pub(super) fn go_on(&self, id: JobId, step: impl FnOnce() -> (Held, JobState)) {
        if let Some(open) = self.shelf(id.number).get_mut(id) {
            (open.job, open.state) = step();
        }
    }

    /// Whether it was open: whoever closes a job settles it, and nobody else.
    pub(super) fn close(&self, id: JobId) -> bool {
        let closed = self.shelf(id.number).remove(id);
        // What it holds is let go outside of the lock.
        closed.is_some()
    }

    /// Puts all of them back into the inbox, in the order in which they were taken.
    pub(super) fn release_all(&self, inbox: &dyn Inbox) {
        let mut ids: Vec<JobId> = Vec::new();
        for shelf in &self.shelves {
            ids.extend(lock(shelf).open().map(|(id, _)| id));
        }
        ids.sort_unstable();
        for id in ids {
            let open = self.shelf(id.number).remove(id);
            match open.map(|open| open.job) {
                Some(Held::Here(taken)) => inbox.settle(&taken, Settled::Released),
                Some(Held::Parked(parked)) => inbox.put_back(&parked),
                None => {}
            }
        }
    }

    /// First those that run, each in the order in which they were taken. `all` of them, or only those
    /// that run.
    pub(super) fn unfinished(&self, all: bool) -> Vec<Unfinished> {
        let mut unfinished: Vec<(JobId, Unfinished)> = Vec::new();
        for shelf in &self.shelves {
            let shelf = lock(shelf);
            unfinished.extend(shelf.open().filter_map(|(id, open)| {
                let Held::Here(taken) = &open.job else {
                    return None;
                };
                let counts = all || open.state == JobState::Running;
                counts.then(|| (id, Unfinished::new(taken.clone(), open.state)))
            }));
        }
        unfinished.sort_by_key(|(id, job)| (job.state != JobState::Running, *id));
        unfinished.into_iter().map(|(_, job)| job).collect()
    }

    /// Where the job of this number lies.
    fn shelf(&self, number: u64) -> MutexGuard<'_, Shelf> {
        let [first, ..] = &self.shelves;
        let shelf = self.shelves.get(number as usize % SHELVES);
        lock(shelf.unwrap_or(first))
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
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
            let shelf = &open.shelves[id.number as usize % SHELVES];
            assert!(shelf.try_lock().is_err());
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

    #[test]
    fn a_place_is_used_again_and_its_last_job_is_not_taken_for_the_next() {
        let open = OpenJobs::default();
        let first = open.add(job(), JobState::Queued);
        assert!(open.close(first));
        let others: Vec<JobId> = (0..SHELVES)
            .map(|_| open.add(job(), JobState::Queued))
            .collect();
        assert!(others.iter().any(|other| {
            let is_there = other.number as usize % SHELVES == first.number as usize % SHELVES;
            is_there && other.place == first.place
        }));
        assert!(!open.close(first));
        open.begin(first, &taken());
        assert!(open.unfinished(false).is_empty());
        assert_eq!(open.unfinished(true).len(), SHELVES);
    }

    #[test]
    fn jobs_are_told_in_the_order_in_which_they_were_taken_and_those_that_run_first() {
        let open = OpenJobs::default();
        let named = |name: &str| {
            let delivery = Delivery::unsigned("{}".into(), SystemTime::UNIX_EPOCH).unwrap();
            let entry = Arc::new(Entry::new(1, delivery, 1));
            Taken::new(entry, HandlerName::new(name))
        };
        let names: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let add = |name: &String| open.add(Held::Here(named(name)), JobState::Queued);
        let ids: Vec<JobId> = names.iter().map(add).collect();
        open.close(ids[3]);
        for runs in [20, 9] {
            open.begin(ids[runs], &named(&names[runs]));
        }
        let told = open.unfinished(true);
        let told: Vec<&str> = told.iter().map(|job| job.handler.as_str()).collect();
        let queued = (0..40).filter(|number| ![3, 9, 20].contains(number));
        let expected = [9, 20].into_iter().chain(queued);
        assert_eq!(
            told,
            expected.map(|number| &*names[number]).collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_room_of_a_crowd_is_given_back() {
        let open = OpenJobs::default();
        let ids: Vec<JobId> = (0..10_000)
            .map(|_| open.add(job(), JobState::Queued))
            .collect();
        assert!(ids.into_iter().all(|id| open.close(id)));
        let room: usize = open
            .shelves
            .iter()
            .map(|shelf| lock(shelf).places.capacity())
            .sum();
        assert!(room <= SHELVES * CROWD, "{room}");
    }
}
