//! Damaged pages.

use std::collections::HashSet;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use support::life::body;
use tokio::runtime::Builder;
use tokio::time::timeout;
use voipbin_receiver::Repeats;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{
    Consumer, DiskInbox, HandlerSet, Inbox, Incoming, Job, Kept, Prefetch, Settled,
};
use voipbin_receiver::testing::delivery;

use crate::faults::check::whole;
use crate::faults::disk::{Image, image, restore};
use crate::faults::record::scratch;
use crate::faults::{number, seed, side_by_side};

const PAGE: usize = 4096;
const EVENTS: u64 = 1000;

/// So many of them are done, the first ones, and as many after them are dead letters.
const OVER: u64 = 200;

/// Far longer than any takes.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
enum Damage {
    Zeros,
    Noise,
    Bit,
}

impl Damage {
    fn apply(self, page: &mut [u8], chance: &mut Rng) {
        match self {
            Self::Zeros => page.fill(0),
            Self::Noise => chance.fill(page),
            Self::Bit => page[chance.usize(..page.len())] ^= 1 << chance.u8(..8),
        }
    }
}

/// The files of an inbox with the events.
fn filled() -> Image {
    let directory = scratch();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(fill(directory.path()));
    image(directory.path())
}

async fn fill(directory: &Path) {
    let inbox = DiskInbox::open(directory).await.unwrap();
    let jobs: HandlerSet = [HandlerName::new("handler")].into_iter().collect();
    for first in (0..EVENTS).step_by(50) {
        let kept = (first..first + 50).map(|number| {
            let delivery = delivery(body(number)).unwrap();
            inbox.keep(Incoming::new(delivery, jobs.clone(), Repeats::Drop))
        });
        for kept in join_all(kept).await {
            assert_eq!(kept.unwrap(), Kept::New);
        }
    }
    let consumer = inbox.consume().unwrap();
    for end in [Settled::Done, Settled::Dead { failed: None }] {
        let mut over = 0;
        while over < OVER {
            let room = Prefetch::for_jobs((OVER - over) as usize);
            for job in consumer.take(room).await.unwrap() {
                assert!(consumer.begin(&job).await.is_ok());
                consumer.settle(&job, end.clone());
                over += 1;
            }
        }
    }
    consumer.flush().await.unwrap();
    drop(consumer);
    inbox.closed().await;
}

/// Jobs, unless none come. A machine that stops for a while takes one of the waits, and no more.
async fn taken(consumer: &dyn Consumer) -> Option<Vec<Job>> {
    for _ in 0..20 {
        let take = consumer.take(Prefetch::for_jobs(64));
        if let Ok(jobs) = timeout(Duration::from_secs(1), take).await {
            return jobs;
        }
    }
    None
}

/// What was handed out of an inbox, and how much it says is damaged. `None` when it does not open.
fn handed_out(directory: &Path) -> Option<(HashSet<u64>, usize)> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let inbox = runtime.block_on(DiskInbox::open(directory)).ok()?;
    Some(runtime.block_on(async {
        let mut handed = HashSet::new();
        let consumer = inbox.consume().unwrap();
        while inbox.stats().events > 0 {
            let Some(jobs) = taken(&*consumer).await else {
                break;
            };
            for job in jobs {
                let event = whole(job.delivery()).unwrap();
                assert!(handed.insert(event), "event {event} is handed out twice");
                consumer.settle(&job, Settled::Done);
            }
            let _ = consumer.flush().await;
        }
        let stats = inbox.stats();
        drop(consumer);
        inbox.closed().await;
        (handed, stats.damaged)
    }))
}

/// What came of one damage.
#[derive(Debug, Default)]
struct Outcome {
    /// It was not opened.
    refused: bool,
    /// Events that could not be handed out, and whose loss was told, of what was opened.
    lost: usize,
    /// The same of what was salvaged; `None` when that was refused too.
    lost_of_salvaged: Option<usize>,
}

fn outcome(files: &Image) -> Outcome {
    let pending: HashSet<u64> = (2 * OVER..EVENTS).collect();
    let directory = scratch();
    let (damaged, new) = (
        directory.path().join("damaged"),
        directory.path().join("new"),
    );
    std::fs::create_dir(&damaged).unwrap();
    restore(files, &damaged);
    let mut outcome = Outcome::default();
    if let Ok(report) = DiskInbox::salvage(&damaged, &new) {
        let (handed, also_damaged) = handed_out(&new).expect("what was salvaged does not open");
        let lost = pending.difference(&handed).count();
        assert!(
            lost == 0 || !report.is_whole(),
            "{lost} events are lost and not told: {report:?}"
        );
        assert_eq!(also_damaged, 0, "{report:?}");
        outcome.lost_of_salvaged = Some(lost);
    }
    assert!(image(&damaged) == *files, "salvage changed what it read");
    match handed_out(&damaged) {
        None => outcome.refused = true,
        Some((handed, told)) => {
            let again = handed.difference(&pending).count();
            assert_eq!(again, 0, "events that are over are handed out again");
            outcome.lost = pending.difference(&handed).count();
            assert!(
                outcome.lost <= told,
                "{} are lost, {told} are told",
                outcome.lost
            );
        }
    }
    outcome
}

/// `DAMAGE_STEP=1` for all pages instead of each eighth.
#[test]
fn a_damaged_page_loses_nothing_in_silence() {
    let step = number("DAMAGE_STEP", 8);
    let seed = seed();
    let files = filled();
    let largest = files
        .iter()
        .max_by_key(|(_, file)| file.as_ref().map(Vec::len));
    let name = largest.unwrap().0;
    let pages = files[name].as_ref().unwrap().len().div_ceil(PAGE);
    let first = seed as usize % step;
    let cases: Vec<(usize, Damage)> = (first..pages)
        .step_by(step)
        .flat_map(|page| [Damage::Zeros, Damage::Noise, Damage::Bit].map(|damage| (page, damage)))
        .collect();
    let tally = std::sync::Mutex::new((0, 0, 0, 0));
    side_by_side(cases.len(), |number| {
        let (page, damage) = cases[number];
        let mut files = files.clone();
        let bytes = files.get_mut(name).unwrap().as_mut().unwrap();
        let end = bytes.len().min((page + 1) * PAGE);
        let mut chance = Rng::with_seed(seed.wrapping_add(number as u64));
        damage.apply(&mut bytes[page * PAGE..end], &mut chance);
        let (told, outcome_of) = mpsc::channel();
        thread::spawn(move || told.send(outcome(&files)));
        let outcome = outcome_of.recv_timeout(PATIENCE);
        let outcome =
            outcome.unwrap_or_else(|error| panic!("SEED={seed}, page {page}, {damage:?}: {error}"));
        assert!(
            !outcome.refused || outcome.lost_of_salvaged.is_some(),
            "SEED={seed}, page {page}, {damage:?}: neither opened nor salvaged"
        );
        let mut tally = tally.lock().unwrap();
        tally.0 += usize::from(outcome.refused);
        tally.1 += outcome.lost;
        tally.2 += outcome.lost_of_salvaged.unwrap_or_default();
        tally.3 = tally.3.max(outcome.lost_of_salvaged.unwrap_or_default());
        0
    });
    let (refused, lost, of_salvaged, most) = tally.into_inner().unwrap();
    eprintln!(
        "{} damages of {pages} pages: {refused} refused, {lost} events lost of those opened and told; salvage lost {of_salvaged}, at most {most} at once, and told",
        cases.len()
    );
}
