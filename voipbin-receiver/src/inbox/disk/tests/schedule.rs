//! Many inboxes that do at random what a receiver does, on disks that lose power and fail, each for
//! some lives in a row, against a model of what the disk may hold.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use futures_util::future::join_all;

use super::*;
use crate::inbox::disk::faults::Random;
use crate::inbox::{JobRecord, Record, RecordFilter, Stage as JobIs};

const SCHEDULES: u64 = 600;
const LIVES: u64 = 3;

/// What may be on the disk of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    attempts: u32,
    interrupted: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Open,
    Begun,
    Done,
    Dead,
}

/// Whether an event is in the file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    No,
    Maybe,
    Yes,
}

struct Job {
    name: &'static str,
    now: State,
    /// One of these is on the disk.
    possible: Vec<State>,
    hand: Hand,
    /// Whether it waited for its time when this life began, or was handed out in it.
    out_of_line: bool,
}

/// Where a job is in this life.
enum Hand {
    Inbox,
    Out(Taken),
    Beginning(Taken, Begun),
    Running(Taken),
}

struct Event {
    number: u64,
    delivery: Delivery,
    jobs: Vec<Job>,
    there: There,
    /// Whether the inbox of this life knows it; `None` where either is right.
    known: Option<bool>,
    /// A copy of it is being kept.
    in_flight: Option<Vec<Receipt>>,
}

const FRESH: State = State {
    attempts: 0,
    interrupted: false,
    stage: Stage::Open,
};

impl Job {
    fn becomes(&mut self, state: State) {
        self.now = state;
        self.possible.push(state);
    }

    fn is_stored(&mut self) {
        self.possible = vec![self.now];
    }

    fn has_ended(&self) -> bool {
        matches!(self.now.stage, Stage::Done | Stage::Dead)
    }

    fn may_have_ended(&self) -> bool {
        let mut possible = self.possible.iter();
        possible.any(|state| matches!(state.stage, Stage::Done | Stage::Dead))
    }
}

/// What a process finds.
fn after_death(state: State) -> State {
    match state.stage {
        Stage::Begun => State {
            attempts: state.attempts + 1,
            interrupted: true,
            stage: Stage::Open,
        },
        _ => state,
    }
}

fn found(job: &JobRecord) -> State {
    let last = job.history.last();
    if !matches!(job.stage, JobIs::Done { .. }) {
        assert_eq!(job.history.len(), job.attempts.min(16) as usize, "{job:?}");
    }
    State {
        attempts: job.attempts,
        interrupted: last.is_some_and(|last| last.ended == AttemptEnd::Interrupted),
        stage: match job.stage {
            JobIs::Queued | JobIs::Waiting { .. } => Stage::Open,
            JobIs::Running { .. } => Stage::Begun,
            JobIs::Done { .. } => Stage::Done,
            JobIs::Dead { .. } => Stage::Dead,
            JobIs::Replayed { .. } | JobIs::Held => panic!("nobody did that: {job:?}"),
        },
    }
}

struct Schedule {
    random: Random,
    disk: Disk,
    settings: Settings,
    inbox: DiskInbox,
    events: Vec<Event>,
    /// The place of the last job that was handed out in its turn.
    line: (u64, usize),
    faults: bool,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut settings = settings();
        settings.memory = [0, 300, 3000, 1 << 20][random.below(4)];
        settings.completion_delay = Duration::from_micros(random.below(2000) as u64);
        settings.tick = Duration::from_millis(1 + random.below(4) as u64);
        if random.below(2) == 0 {
            settings.retain_done = Duration::ZERO;
        }
        let disk = Disk::new();
        let inbox = open(&disk, settings.clone());
        Self {
            faults: random.below(2) == 0,
            random,
            disk,
            settings,
            inbox,
            events: Vec::new(),
            line: (0, 0),
        }
    }

    async fn run(mut self) {
        for _ in 0..LIVES {
            self.live().await;
            self.die().await;
        }
        self.finish().await;
    }

    async fn live(&mut self) {
        if self.random.below(4) > 0 {
            let after = 1 + self.random.below(150) as u64;
            self.disk.crash_at(self.disk.operations() + after);
        }
        for _ in 0..10 + self.random.below(50) {
            match self.random.below(20) {
                0..6 => self.send(),
                6..8 => self.receive().await,
                8..13 => self.take().await,
                13..16 => self.begin().await,
                16..18 => self.settle(),
                18 => self.flush().await,
                _ if self.faults => self.fail(),
                _ => {}
            }
            if self.disk.has_crashed() && self.random.below(4) == 0 {
                break;
            }
        }
    }

    /// Keeps an event with some copies at once, or sends one again.
    fn send(&mut self) {
        let place = self.random.below(self.events.len() * 2 + 3);
        let place = place.min(self.events.len());
        if place == self.events.len() {
            let number = place as u64 + 1;
            let none: &[&'static str] = &[];
            let names = [none, &["a"], &["a"], &["a", "b"]][self.random.below(4)];
            let len = [10, 200, 3000][self.random.below(3)];
            let job = |name: &&'static str| Job {
                name,
                now: FRESH,
                possible: vec![FRESH],
                hand: Hand::Inbox,
                out_of_line: false,
            };
            self.events.push(Event {
                number,
                delivery: event_at(number, len, SystemTime::now()),
                jobs: names.iter().map(job).collect(),
                there: There::No,
                known: Some(false),
                in_flight: None,
            });
        }
        let copies = 1 + self.random.below(3);
        let event = &mut self.events[place];
        if event.in_flight.is_none() {
            let names: Vec<_> = event.jobs.iter().map(|job| job.name).collect();
            let keep = |_| keep_for(&self.inbox, event.delivery.clone(), &names);
            event.in_flight = Some((0..copies).map(keep).collect());
            if event.there == There::No {
                event.there = There::Maybe;
            }
        }
    }

    /// Waits for some of the answers.
    async fn receive(&mut self) {
        for place in 0..self.events.len() {
            if self.random.below(2) == 0 {
                self.receive_one(place).await;
            }
        }
    }

    async fn receive_one(&mut self, place: usize) {
        let Some(receipts) = self.events[place].in_flight.take() else {
            return;
        };
        let answers = patiently(join_all(receipts)).await;
        let certain = !self.disk.has_crashed();
        let event = &mut self.events[place];
        let count = |kept| {
            let answers = answers.iter().flatten();
            answers.filter(|answer| **answer == kept).count()
        };
        let (new, copies) = (count(Kept::New), count(Kept::Duplicate));
        let told = (event.number, &answers, event.known);
        match event.known {
            Some(true) => assert_eq!(copies, answers.len(), "{told:?}"),
            Some(false) => assert!(new == 1 || (new, copies) == (0, 0), "{told:?}"),
            None => assert!(new < 2, "{told:?}"),
        }
        if new + copies > 0 {
            event.known = Some(true);
            if certain {
                event.there = There::Yes;
            }
        } else if event.known.is_none() {
            // What is known is told even while the disk fails.
            event.known = Some(false);
        }
        if event.known == Some(false) {
            let out = |job: &Job| job.out_of_line;
            assert!(
                !event.jobs.iter().any(out),
                "refused and handed out: {told:?}"
            );
        }
    }

    async fn take(&mut self) {
        let most = 1 + self.random.below(5);
        let patience = match self.random.below(3) {
            0 => Duration::ZERO,
            _ => Duration::from_micros(500),
        };
        let Ok(taken) = timeout(patience, self.inbox.take(most)).await else {
            return;
        };
        assert!((1..=most).contains(&taken.len()));
        for taken in taken {
            self.taken(taken);
        }
    }

    fn taken(&mut self, taken: Taken) {
        let number = number_of(taken.delivery());
        let event = &mut self.events[number as usize - 1];
        assert!(
            event.known == Some(true) || event.in_flight.is_some() || event.known.is_none(),
            "event {number} was refused"
        );
        assert_eq!(taken.delivery().body(), event.delivery.body());
        let names = event.jobs.iter();
        let mut names = names.map(|job| job.name);
        let place = names.position(|name| name == taken.handler().as_str());
        let place = place.unwrap();
        let job = &mut event.jobs[place];
        let told = (number, job.name, job.now);
        assert!(
            matches!(job.hand, Hand::Inbox),
            "handed out twice: {told:?}"
        );
        assert!(!job.has_ended(), "it had ended: {told:?}");
        let past = taken.past().cloned().unwrap_or_default();
        assert_eq!(
            (past.attempts, past.interrupted),
            (job.now.attempts, job.now.interrupted),
            "{told:?}"
        );
        let last = past.history.last();
        let told_of = (
            past.history.len(),
            last.is_some_and(|last| last.ended == AttemptEnd::Interrupted),
        );
        let known = past.attempts.min(16) as usize;
        assert_eq!(told_of, (known, past.interrupted), "{told:?}");
        if !job.out_of_line {
            let in_line = (taken.id(), place);
            assert!(self.line < in_line, "{:?} before {in_line:?}", self.line);
            self.line = in_line;
            job.out_of_line = true;
        }
        job.hand = Hand::Out(taken);
    }

    /// Lets some of the jobs begin.
    async fn begin(&mut self) {
        for job in self.events.iter_mut().flat_map(|event| &mut event.jobs) {
            if self.random.below(3) == 0 {
                continue;
            }
            job.hand = match std::mem::replace(&mut job.hand, Hand::Inbox) {
                Hand::Out(taken) => {
                    let begun = self.inbox.begin(&taken);
                    job.becomes(State {
                        stage: Stage::Begun,
                        ..job.now
                    });
                    Hand::Beginning(taken, begun)
                }
                Hand::Beginning(taken, mut begun) => match (&mut begun).now_or_never() {
                    None => Hand::Beginning(taken, begun),
                    Some(may) => {
                        assert!(may);
                        if !self.disk.has_crashed() {
                            job.is_stored();
                        }
                        Hand::Running(taken)
                    }
                },
                hand => hand,
            };
        }
    }

    fn settle(&mut self) {
        for job in self.events.iter_mut().flat_map(|event| &mut event.jobs) {
            if self.random.below(2) == 0 {
                continue;
            }
            let before = job.now;
            let open = State {
                stage: Stage::Open,
                ..before
            };
            let failed_once = State {
                attempts: before.attempts + 1,
                interrupted: false,
                ..open
            };
            let after = Duration::from_millis(self.random.below(3) as u64);
            let (outcome, state) = match (&job.hand, self.random.below(10)) {
                (Hand::Inbox, _) => continue,
                (Hand::Out(_) | Hand::Beginning(..), 2..) => continue,
                (Hand::Out(_) | Hand::Beginning(..), _) | (Hand::Running(_), 0) => {
                    (Settled::Released, open)
                }
                (Hand::Running(_), 1) => {
                    let failed = Some(failed());
                    let stage = Stage::Dead;
                    (
                        Settled::Dead { failed },
                        State {
                            stage,
                            ..failed_once
                        },
                    )
                }
                (Hand::Running(_), 2..5) => {
                    let failed = failed();
                    (Settled::Retry { failed, after }, failed_once)
                }
                (Hand::Running(_), _) => {
                    let stage = Stage::Done;
                    (Settled::Done, State { stage, ..before })
                }
            };
            // Of one that was cut short nobody awaits any more whether it may begin.
            let taken = match std::mem::replace(&mut job.hand, Hand::Inbox) {
                Hand::Out(taken) | Hand::Running(taken) | Hand::Beginning(taken, _) => taken,
                Hand::Inbox => continue,
            };
            job.becomes(state);
            self.inbox.settle(&taken, outcome);
        }
    }

    async fn flush(&mut self) {
        if !flushed(&self.inbox).await || self.disk.has_crashed() {
            return;
        }
        for event in &mut self.events {
            event.jobs.iter_mut().for_each(Job::is_stored);
            // What a failed write left is gone with the next one.
            if event.known == Some(false) && event.in_flight.is_none() {
                event.there = There::No;
            }
        }
    }

    fn fail(&mut self) {
        if self.random.below(3) == 0 {
            return self.disk.heal();
        }
        let target = [Target::Write, Target::Sync, Target::Sync, Target::Read];
        let error = [io::ErrorKind::StorageFull, io::ErrorKind::Other];
        self.disk.fail(Fault {
            target: target[self.random.below(4)],
            after: self.random.below(20) as u64,
            error: error[self.random.below(2)],
            lasting: self.random.below(3) == 0,
            forget: (self.random.below(2) == 0).then(|| self.random.next()),
        });
    }

    /// The process dies, by itself or with the machine, and another one goes on.
    async fn die(&mut self) {
        // Nothing that is told from here on counts.
        let disk = match self.random.below(4) {
            0 => self.disk.kill(),
            _ => self.disk.crash(self.random.next()),
        };
        self.disk = disk;
        self.inbox = open(&self.disk, self.settings.clone());
        self.line = (0, 0);
        self.look().await;
    }

    /// Compares what the next process finds.
    async fn look(&mut self) {
        let found = RecordFilter::new();
        let page = patiently(self.inbox.list(&found, None, usize::MAX)).await;
        let mut records: HashMap<u64, Record> = HashMap::new();
        for record in page.unwrap().records {
            let number = number_of(&record.delivery);
            let twice = records.insert(number, record);
            assert!(twice.is_none(), "event {number} is there twice");
        }
        for event in &mut self.events {
            event.in_flight = None;
            event.look(records.remove(&event.number), &self.settings);
        }
        assert!(records.is_empty());
    }

    /// A last process, on a disk that works: it brings everything to an end.
    async fn finish(mut self) {
        let since = Instant::now();
        while self.inbox.stats().events > 0 {
            assert!(since.elapsed() < PATIENCE, "{:?} is left", self.inbox);
            let Ok(jobs) = timeout(Duration::from_millis(2), self.inbox.take(64)).await else {
                continue;
            };
            for job in &jobs {
                self.taken(job.clone());
            }
            let begun = join_all(jobs.iter().map(|job| self.inbox.begin(job)));
            assert!(patiently(begun).await.iter().all(|may| *may));
            for job in &jobs {
                self.inbox.settle(job, Settled::Done);
                let event = &mut self.events[number_of(job.delivery()) as usize - 1];
                let mut own = event.jobs.iter_mut();
                let own = own.find(|own| own.name == job.handler().as_str());
                own.unwrap().now.stage = Stage::Done;
            }
        }
        let stats = self.inbox.stats();
        assert_eq!((stats.bytes, stats.waiting, stats.damaged), (0, 0, 0));
        let mut dead = BTreeSet::new();
        for place in 0..self.events.len() {
            let event = &self.events[place];
            if event.known == Some(true) {
                assert!(event.jobs.iter().all(Job::has_ended), "{}", event.number);
            }
            for job in &event.jobs {
                if event.known != Some(false) && job.now.stage == Stage::Dead {
                    dead.insert((event.number, job.name));
                }
            }
            let copy = keep_for(&self.inbox, event.delivery.clone(), &[]);
            let kept = patiently(copy).await.unwrap();
            let known = (kept == Kept::Duplicate, event.known);
            assert!(
                matches!(known, (_, None) | (true, Some(true)) | (false, Some(false))),
                "event {}: {known:?}",
                event.number
            );
        }
        assert_eq!(stats.dead, dead.len(), "{dead:?}");
    }
}

impl Event {
    fn look(&mut self, record: Option<Record>, settings: &Settings) {
        let number = self.number;
        let Some(record) = record else {
            let removed =
                settings.retain_done.is_zero() && self.jobs.iter().all(Job::may_have_ended);
            self.known = match self.there {
                There::No => Some(false),
                There::Yes => {
                    assert!(removed || self.jobs.is_empty(), "event {number} is lost");
                    Some(true)
                }
                There::Maybe if removed || self.jobs.is_empty() => None,
                There::Maybe => Some(false),
            };
            self.there = match self.known {
                Some(true) => There::Yes,
                Some(false) => There::No,
                None => There::Maybe,
            };
            for job in &mut self.jobs {
                job.hand = Hand::Inbox;
                job.out_of_line = false;
                job.now = match self.known {
                    Some(false) => FRESH,
                    _ => State {
                        stage: Stage::Done,
                        ..job.now
                    },
                };
                job.is_stored();
            }
            return;
        };
        assert_ne!(self.there, There::No, "event {number} was refused for good");
        self.there = There::Yes;
        self.known = Some(true);
        assert_eq!(record.delivery.body(), self.delivery.body());
        assert_eq!(record.jobs.len(), self.jobs.len());
        for (job, record) in self.jobs.iter_mut().zip(&record.jobs) {
            let found = found(record);
            let mut possible = job.possible.iter().map(|state| after_death(*state));
            // How many attempts it took is not kept of what is finished.
            let fits = possible.any(|state| match state.stage {
                Stage::Done => found.stage == Stage::Done,
                _ => state == found,
            });
            assert!(
                fits,
                "event {number}, {}: {found:?} and not one of {:?}",
                job.name, job.possible
            );
            job.now = found;
            job.is_stored();
            job.hand = Hand::Inbox;
            job.out_of_line = matches!(record.stage, JobIs::Waiting { .. });
        }
    }
}

/// `SCHEDULES=…` tries more of them, `SCHEDULE=…` one.
#[test]
fn whatever_the_moment_of_a_power_cut_and_whatever_fails_what_was_kept_is_handled() {
    let given = |name| Some(std::env::var(name).ok()?.parse::<u64>().unwrap());
    let seeds = match given("SCHEDULE") {
        Some(seed) => seed..seed + 1,
        None => 0..given("SCHEDULES").unwrap_or(SCHEDULES),
    };
    let next = AtomicUsize::new(seeds.start as usize);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed) as u64
                    && seeds.contains(&seed)
                {
                    let told = Told(seed);
                    on_runtime(Schedule::new(seed).run());
                    drop(told);
                }
            });
        }
    });
}

/// Says which schedule failed. Its threads have moments of their own: it may take some runs to see
/// the failure again.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("it failed with SCHEDULE={}", self.0);
        }
    }
}
