//! Everything at once, by seeds: copies, disorder, handlers that fail in every way, a full inbox,
//! and a shutdown in the middle.
//!
//! `CHAOS_SEEDS=5000 cargo test -p voipbin-receiver-tests --test receiver chaos` tries more of
//! them, from `CHAOS_FIRST` on.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;
use support::{Watched, builder, deliver};
use tokio::runtime::{Builder, Handle};
use tokio::time::{Instant, sleep};
use voipbin_receiver::catalog::{Any, Custom, named};
use voipbin_receiver::inbox::{InboxStats, MemoryInbox, Settled};
use voipbin_receiver::testing::TokioClock;
use voipbin_receiver::{
    Context, Delivery, EventHandler, HandlerError, HandlerOptions, JobState, Registration,
    RetryPolicy, async_trait, blocking,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Handlers by place: their names, and whether they see every event.
const HANDLERS: [(&str, bool); 3] = [("all", true), ("calls", false), ("blocking", true)];
const BLOCKING: usize = 2;

/// The one type that the second handler is for.
const CALLS: &str = "call_updated";
const TYPES: [&str; 4] = [
    CALLS,
    "call_hangup",
    "message_created",
    "not_in_the_catalogue",
];

/// Numbers by chance that a seed repeats.
struct Dice(u64);

impl Dice {
    /// One number of `SplitMix64`.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between both, the last one included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll() % (most - least + 1)
    }

    fn size(&mut self, least: usize, most: usize) -> usize {
        usize::try_from(self.between(least as u64, most as u64)).unwrap()
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.roll().is_multiple_of(many)
    }

    fn millis(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.between(0, most))
    }
}

/// What a run does.
enum Act {
    Works(Duration),
    Fails(Duration),
    AsksFor(Duration),
    GivesUp,
    PanicsAfter(Option<Duration>),
    Hangs,
}

impl Act {
    /// The same for the same run of the same seed.
    fn of(seed: u64, event: u64, handler: usize, attempt: u32) -> Self {
        let mut dice = Dice(seed ^ (event << 40) ^ ((handler as u64) << 36) ^ u64::from(attempt));
        dice.roll();
        match dice.between(0, 19) {
            0..=7 => Self::Works(Duration::ZERO),
            8..=11 => Self::Works(dice.millis(4_000)),
            12..=13 => Self::Fails(dice.millis(2_000)),
            14 => Self::AsksFor(dice.millis(30_000)),
            15 => Self::GivesUp,
            16 => Self::PanicsAfter(None),
            17 => Self::PanicsAfter(Some(dice.millis(1_000))),
            _ => Self::Hangs,
        }
    }
}

/// Not by `panic!`, whose message nobody needs to see a thousand times.
fn panic_on_purpose() -> ! {
    std::panic::resume_unwind(Box::new("on purpose"))
}

/// What the runs of all handlers wrote down.
struct Ledger {
    seed: u64,
    /// How many runs there may be at once, in all and by handler.
    slots: usize,
    limits: [Option<usize>; 3],
    /// For which of them a failed attempt holds its lane back.
    strict: [bool; 3],
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    running: [usize; 3],
    lanes: HashSet<(usize, String)>,
    /// First attempts in the order in which they began.
    first: [Vec<u64>; 3],
    /// The events of each lane in the order in which their attempts began.
    runs: HashMap<(usize, String), Vec<u64>>,
    begun: [u64; 3],
    /// What must not be. A run cannot tell by a panic, which is one of its ways to fail.
    faults: Vec<String>,
}

/// A run that has begun, until it is dropped.
struct Visit<'a> {
    ledger: &'a Ledger,
    handler: usize,
    lane: Option<String>,
}

impl Ledger {
    fn enter(&self, handler: usize, context: &Context) -> (Visit<'_>, Act) {
        let delivery = context.delivery();
        let event = number(delivery);
        let lane = delivery.resource_id().map(ToOwned::to_owned);
        let mut pages = self.pages.lock().unwrap();
        pages.begun[handler] += 1;
        if context.attempt() == 1 {
            pages.first[handler].push(event);
        }
        pages.running[handler] += 1;
        if pages.running.iter().sum::<usize>() > self.slots
            || self.limits[handler].is_some_and(|limit| pages.running[handler] > limit)
        {
            let fault = format!("too many runs: {:?}", pages.running);
            pages.faults.push(fault);
        }
        if let Some(lane) = &lane {
            let runs = pages.runs.entry((handler, lane.clone()));
            runs.or_default().push(event);
        }
        if let Some(lane) = &lane
            && !pages.lanes.insert((handler, lane.clone()))
        {
            pages.faults.push(format!("two runs in the lane {lane}"));
        }
        let visit = Visit {
            ledger: self,
            handler,
            lane,
        };
        let act = Act::of(self.seed, event, handler, context.attempt());
        (visit, act)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut pages = self.ledger.pages.lock().unwrap();
        pages.running[self.handler] -= 1;
        if let Some(lane) = self.lane.take() {
            pages.lanes.remove(&(self.handler, lane));
        }
    }
}

/// One of the two handlers that do not block.
struct Unsteady {
    handler: usize,
    ledger: Arc<Ledger>,
}

#[async_trait]
impl EventHandler for Unsteady {
    async fn handle(&self, context: Context) -> Result<(), HandlerError> {
        let (_visit, act) = self.ledger.enter(self.handler, &context);
        match act {
            Act::Works(Duration::ZERO) => Ok(()),
            Act::Works(after) => {
                sleep(after).await;
                Ok(())
            }
            Act::Fails(after) => {
                sleep(after).await;
                Err(HandlerError::new("on purpose"))
            }
            Act::AsksFor(after) => Err(HandlerError::new("on purpose").retry_after(after)),
            Act::GivesUp => Err(HandlerError::permanent("on purpose")),
            Act::PanicsAfter(None) => panic_on_purpose(),
            Act::PanicsAfter(Some(after)) => {
                sleep(after).await;
                panic_on_purpose()
            }
            Act::Hangs => pending().await,
        }
    }
}

/// What the third handler does: it has no way to wait that the clock of the test knows.
fn block(ledger: &Ledger, context: &Context) -> Result<(), HandlerError> {
    let (_visit, act) = ledger.enter(BLOCKING, context);
    match act {
        Act::Works(_) | Act::Hangs => Ok(()),
        Act::Fails(_) => Err(HandlerError::new("on purpose")),
        Act::AsksFor(after) => Err(HandlerError::new("on purpose").retry_after(after)),
        Act::GivesUp => Err(HandlerError::permanent("on purpose")),
        Act::PanicsAfter(_) => panic_on_purpose(),
    }
}

/// The number that the test gave the event.
fn number(delivery: &Delivery) -> u64 {
    #[derive(serde::Deserialize)]
    struct Numbered {
        number: u64,
    }
    let numbered: Numbered = serde_json::from_str(delivery.payload_json()).unwrap();
    numbered.number
}

/// A delivery that the test makes.
#[derive(Clone)]
struct Sent {
    number: u64,
    /// `None` is a custom one.
    kind: Option<&'static str>,
    id: Option<String>,
    body: String,
}

impl Sent {
    fn by_chance(number: u64, dice: &mut Dice) -> Self {
        let filling = "x".repeat(dice.size(0, 200));
        let id = (!dice.one_in(8)).then(|| format!("lane {}", dice.between(1, 5)));
        let data = json!({"id": id, "number": number, "filling": filling});
        if dice.one_in(12) {
            return Self {
                number,
                kind: None,
                id: None,
                body: json!({"number": number, "filling": filling}).to_string(),
            };
        }
        let kind = TYPES[dice.size(0, TYPES.len() - 1)];
        Self {
            number,
            kind: Some(kind),
            id,
            body: json!({"type": kind, "data": data}).to_string(),
        }
    }

    /// The handlers that it is for.
    fn handlers(&self) -> impl Iterator<Item = usize> {
        let calls = self.kind == Some(CALLS);
        (0..HANDLERS.len()).filter(move |place| HANDLERS[*place].1 || calls)
    }
}

/// All deliveries in the order in which they are sent: copies among them, and out of order.
fn deliveries(dice: &mut Dice) -> Vec<Sent> {
    let mut sent: Vec<(u64, Sent)> = Vec::new();
    for number in 0..dice.between(10, 80) {
        let one = Sent::by_chance(number, dice);
        // One without an id would be handled each time that it comes.
        let copies = match one.id {
            Some(_) if dice.one_in(4) => dice.between(1, 3),
            _ => 0,
        };
        for _ in 0..=copies {
            sent.push((number * 10 + dice.between(0, 60), one.clone()));
        }
    }
    sent.sort_by_key(|(place, _)| *place);
    sent.into_iter().map(|(_, one)| one).collect()
}

/// What became of one handler for one event.
#[derive(Default)]
struct Fate {
    done: u32,
    dead: u32,
    retries: u32,
    left: Vec<JobState>,
}

#[test]
fn whatever_happens_each_accepted_event_comes_to_one_end_for_each_of_its_handlers() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let first: u64 = setting("CHAOS_FIRST").unwrap_or(0);
    let seeds: u64 = setting("CHAOS_SEEDS").unwrap_or(2_000);
    for seed in first..first + seeds {
        // The last of them is the one that failed.
        println!("CHAOS_FIRST={seed} CHAOS_SEEDS=1");
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        fastrand::seed(seed);
        runtime.block_on(one_life(seed));
    }
}

async fn one_life(seed: u64) {
    let mut dice = Dice(seed);
    let limit = |dice: &mut Dice| dice.one_in(2).then(|| dice.size(1, 6));
    let strict = [dice.one_in(3), dice.one_in(3), false];
    let ledger = Arc::new(Ledger {
        seed,
        slots: dice.size(1, 12),
        limits: [limit(&mut dice), limit(&mut dice), limit(&mut dice)],
        strict,
        pages: Mutex::default(),
    });
    let (max_events, max_bytes) = (dice.size(1, 60), dice.size(500, 8_000));
    let clock = Arc::new(TokioClock::new());
    let memory = MemoryInbox::builder()
        .max_events(max_events)
        .max_bytes(max_bytes)
        .clock(clock.clone());
    let inbox = Watched::new(memory.build());
    let registration = |place: usize| {
        let unsteady = Unsteady {
            handler: place,
            ledger: Arc::clone(&ledger),
        };
        if HANDLERS[place].1 {
            Registration::new((Any, Custom), unsteady)
        } else {
            Registration::new(named(CALLS), unsteady)
        }
    };
    let blocks = {
        let ledger = Arc::clone(&ledger);
        blocking(move |context: Context| block(&ledger, &context))
    };
    let registrations = [
        registration(0),
        registration(1).options(HandlerOptions::new().attempts(2)),
        Registration::new((Any, Custom), blocks)
            .options(HandlerOptions::new().retry(RetryPolicy::never())),
    ];
    let registrations = registrations
        .into_iter()
        .zip(HANDLERS)
        .zip(ledger.limits)
        .zip(strict)
        .map(|(((registration, (name, _)), limit), strict)| {
            let registration = registration.name(name);
            let registration = if strict {
                registration.options(HandlerOptions::new().strict())
            } else {
                registration
            };
            match limit {
                Some(limit) => registration.options(HandlerOptions::new().concurrency(limit)),
                None => registration,
            }
        });
    let receiver = builder()
        .runtime(Handle::current())
        .clock(clock)
        .inbox(Arc::clone(&inbox))
        .concurrency(ledger.slots)
        .handler_options(
            HandlerOptions::new()
                .timeout(5 * SECOND)
                .retry(RetryPolicy::default().attempts(u32::try_from(dice.between(1, 4)).unwrap())),
        )
        .handlers(registrations)
        .build()
        .unwrap();

    let service = receiver.service();
    let sent = deliveries(&mut dice);
    let shutdown_at = (!dice.one_in(4)).then(|| dice.size(0, sent.len() - 1));
    let deadline = if dice.one_in(4) {
        Duration::ZERO
    } else {
        dice.millis(60_000)
    };
    let mut accepted: Vec<Sent> = Vec::new();
    let mut largest = 0;
    let mut duplicates = 0;
    let mut refused = 0;
    let mut ending = None;
    for (place, one) in sent.into_iter().enumerate() {
        if shutdown_at == Some(place) {
            let receiver = receiver.clone();
            assert!(receiver.shutdown(deadline).now_or_never().is_none());
            let begun = Instant::now();
            ending = Some(tokio::spawn(async move {
                let report = receiver.shutdown(Duration::MAX).await;
                (report, begun.elapsed())
            }));
        }
        if !dice.one_in(3) {
            sleep(dice.millis(400)).await;
        }
        // As the platform does it.
        for attempt in 0..3 {
            if attempt > 0 {
                sleep(3 * SECOND).await;
            }
            let known = accepted.iter().any(|known| known.number == one.number);
            let answer = deliver(&service, one.body.clone()).await;
            let InboxStats { events, bytes, .. } = receiver.stats().inbox;
            // The last one may go beyond it.
            largest = largest.max(one.body.len());
            assert!(events <= max_events && bytes < max_bytes + largest);
            match answer.word() {
                "received" => {
                    assert!(ending.is_none() && !known);
                    accepted.push(one.clone());
                }
                "duplicate" => {
                    assert!(known);
                    duplicates += 1;
                }
                _ => {
                    assert_eq!(answer.status().as_u16(), 503);
                    assert!(!known || one.id.is_none());
                    refused += 1;
                    continue;
                }
            }
            break;
        }
    }

    let report = if let Some(ending) = ending {
        let (report, took) = ending.await.unwrap();
        assert!(took <= deadline + SECOND, "{took:?}");
        report
    } else {
        let left = async {
            while receiver.stats().inbox.events > 0 {
                sleep(SECOND).await;
            }
        };
        tokio::time::timeout(DAY, left).await.unwrap();
        let report = receiver.shutdown(Duration::ZERO).await;
        assert!(report.is_drained());
        report
    };
    // What would still happen, happens.
    sleep(DAY).await;

    let mut fates: HashMap<(u64, usize), Fate> = HashMap::new();
    let place = |name: &str| HANDLERS.iter().position(|(known, _)| *known == name);
    for (taken, settled) in inbox.settled() {
        let handler = place(taken.handler().as_str()).unwrap();
        let fate = fates.entry((number(taken.delivery()), handler));
        let fate = fate.or_default();
        match settled {
            Settled::Done => fate.done += 1,
            Settled::Dead { failed } => {
                assert!(failed.is_some());
                fate.dead += 1;
            }
            Settled::Retry { .. } => fate.retries += 1,
            Settled::Released => {}
            other => panic!("{other:?}"),
        }
    }
    for left in &report.unfinished {
        let handler = place(left.handler.as_str()).unwrap();
        let fate = fates.entry((number(&left.delivery), handler));
        fate.or_default().left.push(left.state);
    }

    let expected: HashSet<(u64, usize)> = accepted
        .iter()
        .flat_map(|one| one.handlers().map(|handler| (one.number, handler)))
        .collect();
    assert!(fates.keys().all(|job| expected.contains(job)));
    let mut unfinished = HashSet::new();
    let mut running = [0; 3];
    let mut ended = [0; 3];
    let (mut done, mut dead, mut retries) = (0, 0, 0);
    for job in &expected {
        let fate = fates.get(job).unwrap_or_else(|| panic!("{job:?} is lost"));
        match (fate.done, fate.dead, fate.left.as_slice()) {
            (1, 0, []) | (0, 1, [] | [JobState::Failed]) => {}
            (0, 0, [state]) => {
                unfinished.insert(job.0);
                running[job.1] += u64::from(*state == JobState::Running);
                // What ran before is not queued any more.
                assert!(fate.retries == 0 || *state != JobState::Queued);
            }
            (done, dead, left) => panic!("{job:?}: {done} done, {dead} dead, {left:?}"),
        }
        done += u64::from(fate.done);
        dead += u64::from(fate.dead);
        retries += u64::from(fate.retries);
        ended[job.1] += u64::from(fate.done + fate.dead + fate.retries);
    }

    let stats = receiver.stats();
    let counted = (
        (stats.accepted, stats.duplicates, stats.refused_total()),
        (stats.handled, stats.dead, stats.retried, stats.failed),
    );
    let expected = (
        (accepted.len() as u64, duplicates, refused),
        (done, dead, retries, dead + retries),
    );
    assert_eq!(counted, expected);
    assert_eq!(stats.running, 0);
    assert_eq!(stats.inbox.events, unfinished.len());
    assert_eq!(stats.inbox.dead as u64, dead);

    let pages = ledger.pages.lock().unwrap();
    assert!(pages.faults.is_empty(), "{:?}", pages.faults);
    assert_eq!(pages.running, [0; 3]);
    assert!(pages.lanes.is_empty());
    for handler in (0..HANDLERS.len()).filter(|handler| *handler != BLOCKING) {
        assert_eq!(pages.begun[handler], ended[handler] + running[handler]);
    }
    for ((handler, lane), runs) in &pages.runs {
        let mut events = runs.clone();
        events.dedup();
        let contiguous = events.iter().collect::<HashSet<_>>().len() == events.len();
        let strict = ledger.strict[*handler];
        assert!(contiguous || !strict, "{lane} of {handler}: {runs:?}");
    }
    let mut lanes: HashMap<&str, Vec<u64>> = HashMap::new();
    for one in &accepted {
        if let Some(id) = &one.id {
            lanes.entry(id).or_default().push(one.number);
        }
    }
    for (kept, first) in lanes
        .values()
        .flat_map(|kept| pages.first.iter().map(move |first| (kept, first)))
    {
        let begun = first.iter().filter(|number| kept.contains(number));
        let mut kept = kept.iter();
        for number in begun {
            assert!(
                kept.any(|kept| kept == number),
                "{number} began too late or twice"
            );
        }
    }
}
