//! An hour of the platform in simulated time, of which a receiver misses ten minutes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use voipbin_receiver::catalog::{Any, EventType};
use voipbin_receiver::clock::Clock;
use voipbin_receiver::event::Time;
use voipbin_receiver::inbox::{DiskInbox, Inbox, MemoryInbox, RecordFilter};
use voipbin_receiver::platform::Platform;
use voipbin_receiver::source::{CatchUp, CatchUpReport};
use voipbin_receiver::testing::event;
use voipbin_receiver::{Context, Receiver, ReceiverBuilder};

use crate::platform::Platform as StandIn;
use crate::{ManualClock, api, builder, deliver};

/// When it begins: 2026-05-28.
const BEGINNING: Duration = Duration::from_secs(1_780_000_000);
/// A minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// When the receiver goes down.
pub const DOWN: Duration = Duration::from_secs(25 * 60);
/// When it is back.
pub const UP: Duration = Duration::from_secs(35 * 60);

/// Something that happens, from the beginning on.
#[derive(Clone)]
pub struct Event {
    /// After the beginning.
    pub at: Duration,
    /// Its name.
    pub name: &'static str,
    /// Of its resource.
    pub id: String,
    body: String,
}

impl Event {
    /// One of a resource that was made before, and belongs to a call.
    pub fn new(at: Duration, created: Duration, name: &'static str, id: &str, call: &str) -> Self {
        let time = |at: Duration| {
            let time = SystemTime::UNIX_EPOCH + BEGINNING + at;
            Time::try_from(time).unwrap().to_string()
        };
        let sample = event(name)
            .id(id)
            .set("tm_create", time(created))
            .set("tm_update", time(at))
            .set("reference_type", "call")
            .set("reference_id", call);
        Self {
            at,
            name,
            id: id.to_owned(),
            body: serde_json::to_string(&sample).unwrap(),
        }
    }

    /// What tells it from all others.
    pub fn key(&self) -> String {
        let at = SystemTime::UNIX_EPOCH + BEGINNING + self.at;
        format!("{} {} {}", self.name, self.id, Time::try_from(at).unwrap())
    }

    /// Whether the receiver is down.
    pub fn is_missed(&self) -> bool {
        DOWN <= self.at && self.at < UP
    }
}

/// An hour: a call every 20 s, some with recordings, messages, conferences and activeflows.
pub fn hour() -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..180_u32 {
        let start = Duration::from_secs(20) * number + Duration::from_millis(7);
        let call = format!("00000000-0000-4000-8000-{number:012}");
        let mut add = |after: u64, name, id: &str| {
            let at = start + Duration::from_millis(after);
            events.push(Event::new(at, start, name, id, &call));
        };
        let length = 20_000 + u64::from(number % 30) * 20_000;
        add(0, "call_created", &call);
        add(1_000, "call_ringing", &call);
        add(3_000, "call_progressing", &call);
        for update in 1..4 {
            add(length * update / 4, "call_updated", &call);
        }
        add(length, "call_hangup", &call);
        if number % 3 == 0 {
            let recording = call.replace("4000", "4001");
            add(4_000, "recording_started", &recording);
            add(length + 10, "recording_finished", &recording);
        }
        if number % 4 == 0 {
            add(500, "message_created", &call.replace("4000", "4002"));
        }
        if number % 5 == 0 {
            let conference = call.replace("4000", "4003");
            add(2_000, "conference_created", &conference);
            add(length, "conference_updated", &conference);
            let activeflow = call.replace("4000", "4004");
            add(100, "activeflow_created", &activeflow);
            add(length + 500, "activeflow_updated", &activeflow);
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

/// What handlers did.
#[derive(Clone, Default)]
struct Handled(Arc<Mutex<Runs>>);

#[derive(Default)]
struct Runs {
    /// How often each event was begun.
    times: HashMap<String, u32>,
    /// In this order: resource, last change, whether it was stale.
    order: Vec<(String, Time, bool)>,
    /// Those that do not come to their end.
    hanging: HashSet<String>,
    hangs: bool,
}

impl Handled {
    /// Whether the run is to hang.
    fn begin(&self, context: &Context) -> bool {
        let delivery = context.delivery();
        let (id, time) = (
            delivery.resource_id().unwrap(),
            delivery.last_change().unwrap(),
        );
        let key = format!("{} {id} {time}", delivery.event_type().unwrap());
        let mut runs = self.0.lock().unwrap();
        runs.order.push((id.to_owned(), time, context.is_stale()));
        if runs.hangs {
            runs.hanging.insert(key.clone());
        }
        *runs.times.entry(key).or_default() += 1;
        runs.hangs
    }
}

/// A platform and a receiver's handlers, by one clock.
pub struct World {
    /// The platform.
    pub stand_in: StandIn,
    /// The clock.
    pub clock: Arc<ManualClock>,
    handled: Handled,
}

impl World {
    /// At the beginning.
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        clock.advance(BEGINNING);
        let stand_in = StandIn::start().await;
        stand_in.set_time(clock.wall());
        Self {
            stand_in,
            clock,
            handled: Handled::default(),
        }
    }

    /// A receiver with a handler that counts.
    pub fn builder(&self, inbox: impl Inbox) -> ReceiverBuilder {
        let handled = self.handled.clone();
        let handler = move |context: Context| {
            let hangs = handled.begin(&context);
            async move {
                if hangs {
                    pending::<()>().await;
                }
            }
        };
        builder()
            .clock(self.clock.clone())
            .inbox(inbox)
            .on(Any, handler)
    }

    /// The same, built.
    pub fn receiver(&self, inbox: impl Inbox) -> Receiver {
        self.builder(inbox).build().unwrap()
    }

    /// An inbox on disk, by this clock.
    pub async fn disk(&self, directory: &Path) -> DiskInbox {
        let inbox = DiskInbox::builder(directory).clock(self.clock.clone());
        inbox.open().await.unwrap()
    }

    /// An inbox in memory, by this clock.
    pub fn memory(&self) -> MemoryInbox {
        MemoryInbox::builder().clock(self.clock.clone()).build()
    }

    /// Has them happen. The receiver gets webhooks, unless it is down.
    pub async fn happen(&self, events: &[Event], receiver: Option<&Receiver>) {
        for event in events {
            self.at(event.at);
            self.stand_in.publish(&event.body);
            if let Some(receiver) = receiver {
                let answer = deliver(&receiver.service(), event.body.clone()).await;
                assert_eq!(answer.word(), "received", "{}", event.key());
            }
        }
    }

    /// Sets all clocks.
    pub fn at(&self, at: Duration) {
        let now = self.clock.monotonic();
        self.clock.advance((BEGINNING + at).saturating_sub(now));
        self.stand_in.set_time(self.clock.wall());
    }

    /// A client of the platform.
    pub fn platform(&self) -> Platform {
        api(&self.stand_in).build().unwrap()
    }

    /// What was missed since then.
    pub fn catch_up(&self, since: Duration) -> CatchUp {
        CatchUp::new(&self.platform()).since(SystemTime::UNIX_EPOCH + BEGINNING + since)
    }

    /// How often an event was begun.
    pub fn times(&self, event: &Event) -> u32 {
        let handled = self.handled.0.lock().unwrap();
        handled.times.get(&event.key()).copied().unwrap_or_default()
    }

    /// Whether anything of a resource was begun.
    pub fn has_run(&self, id: &str) -> bool {
        let handled = self.handled.0.lock().unwrap();
        handled.order.iter().any(|(of, ..)| of == id)
    }

    /// Waits until each of these was handled.
    pub async fn settle(&self, events: impl IntoIterator<Item = &Event>) {
        for event in events {
            while self.times(event) == 0 {
                sleep(Duration::from_millis(2)).await;
            }
        }
    }

    /// Each event that is not lost is handled once, but for those that ran when the process died.
    pub async fn check(&self, events: &[Event], is_lost: impl Fn(&Event) -> bool) {
        let kept = |event: &&Event| !event.is_missed() || !is_lost(event);
        self.settle(events.iter().filter(kept)).await;
        for event in events {
            let hung = self
                .handled
                .0
                .lock()
                .unwrap()
                .hanging
                .contains(&event.key());
            while hung && self.times(event) < 2 {
                sleep(Duration::from_millis(2)).await;
            }
            let expected = u32::from(kept(&event)) + u32::from(hung);
            assert_eq!(self.times(event), expected, "{}", event.key());
        }
    }

    /// The hour with its downtime over an inbox. `restart` kills the receiver and gives the inbox
    /// as the next process finds it.
    pub async fn downtime<I: Inbox>(
        &self,
        inbox: I,
        restart: impl AsyncFnOnce(Receiver) -> I,
    ) -> CatchUpReport {
        let events = hour();
        let [before, missed, after] = split(&events);
        let (settled, open) = before.split_at(before.len() - 8);
        let receiver = self.receiver(inbox);
        self.happen(settled, Some(&receiver)).await;
        self.settle(settled).await;
        self.handled.0.lock().unwrap().hangs = true;
        self.happen(open, Some(&receiver)).await;
        self.settle(&open[..1]).await;
        // Which waits until all that came to its end is stored.
        let records = receiver.records().unwrap();
        records.list(&RecordFilter::new(), None, 1).await.unwrap();
        let inbox = restart(receiver).await;
        self.handled.0.lock().unwrap().hangs = false;
        self.happen(missed, None).await;
        self.at(UP);
        let receiver = self
            .builder(inbox)
            .hold_for_catch_up(60 * MINUTE)
            .build()
            .unwrap();
        let (held, live) = after.split_at(40);
        self.happen(held, Some(&receiver)).await;
        assert!(self.handled.0.lock().unwrap().order.len() <= settled.len() + open.len());
        self.handled.0.lock().unwrap().order.clear();
        let report = receiver.catch_up(&self.catch_up(DOWN)).await.unwrap();
        let lost = |event: &Event| is_uncovered(event) || is_unconfirmed(event, &events, &held[39]);
        self.happen(live, Some(&receiver)).await;
        self.check(&events, lost).await;
        self.assert_in_order();
        assert_eq!(report.recovered, count(missed, |event| !lost(event)));
        assert!(
            report.unconfirmed >= count(missed, |event| is_unconfirmed(event, &events, &held[39]))
        );
        assert!(report.uncovered.contains(&EventType::MessageCreated));
        assert!(report.checkpoint.is_none() && !report.to_string().contains("complete"));
        assert_eq!(
            (report.refused, report.unavailable, report.full_pages),
            (0, 0, 0)
        );
        assert!(receiver.shutdown(MINUTE).await.is_drained());
        report
    }

    /// Of each resource what was begun since is in the order in which it happened.
    pub fn assert_in_order(&self) {
        let runs = self.handled.0.lock().unwrap();
        let mut last: HashMap<&str, Time> = HashMap::new();
        for (id, time, is_stale) in &runs.order {
            let before = last.insert(id, *time);
            assert!(
                before.is_none_or(|before| before <= *time) && !is_stale,
                "{id}: {time}"
            );
        }
    }
}

/// Of a type of which there is no history.
pub fn is_uncovered(event: &Event) -> bool {
    event.name == "message_created"
}

/// A state of a recording that is not its last one when this has happened.
pub fn is_unconfirmed(event: &Event, events: &[Event], latest: &Event) -> bool {
    let mut later = events
        .iter()
        .filter(|later| event.at < later.at && later.at <= latest.at);
    event.name.starts_with("recording") && later.any(|later| later.id == event.id)
}

/// What came before the downtime, during it, and after it.
pub fn split(events: &[Event]) -> [&[Event]; 3] {
    let down = events.partition_point(|event| event.at < DOWN);
    let up = events.partition_point(|event| event.at < UP);
    [&events[..down], &events[down..up], &events[up..]]
}

/// How many of them there are.
pub fn count(events: &[Event], counts: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| counts(event)).count()
}

/// The files of an inbox as a process leaves them that is killed.
pub fn killed(directory: &Path, copy: &Path) {
    fs::create_dir(copy).unwrap();
    for file in fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
}
