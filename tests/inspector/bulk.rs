use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, poll, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use support::{http_client, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use voipbin_receiver::inbox::{DiskInbox, Inbox, MemoryInbox, RecordFilter, RecordState, Records};
use voipbin_receiver::{
    Accepted, Context, HandlerError, HandlerOptions, Origin, Receiver, Registration, RetryPolicy,
    catalog,
};

use crate::fixture::{ACCESS, Fixture, form, hidden};

const ACT: [(&str, &str); 1] = [(ACCESS, "act")];

/// Those with `busy` in the text of their error, in the address of a page.
const BUSY: &str = "handler%3Acrm+error%3Abusy";

/// An event that fails with `cannot store` and itself.
fn event(number: usize, word: &str) -> String {
    format!(r#"{{"type":"call_hangup","data":{{"id":"fails-{number}","note":"{word}"}}}}"#)
}

/// Dead letters of two kinds, in turns.
async fn fixture(busy: usize, other: usize) -> Fixture {
    let fixture = Fixture::new().await;
    for number in 0..busy.max(other) {
        if number < busy {
            fixture.deliver(event(number, "busy")).await;
        }
        if number < other {
            fixture.deliver(event(number, "other")).await;
        }
    }
    fixture.settled().await;
    fixture
}

async fn until_done(fixture: &Fixture) -> String {
    within(async {
        loop {
            let page = fixture.get("/bulk", "act").await.text;
            if page.contains("; it ") {
                return page;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// The originals of all events that were handled again, one for each time.
async fn originals(records: &dyn Records) -> Vec<u64> {
    let (mut after, mut originals) = (None, Vec::new());
    loop {
        let page = records
            .list(&RecordFilter::new(), after, 500)
            .await
            .unwrap();
        let replays = page.records.iter().filter_map(|record| record.replay_of);
        originals.extend(replays.map(|original| original.get()));
        after = page.next;
        if after.is_none() {
            return originals;
        }
    }
}

#[tokio::test]
async fn what_is_looked_at_is_told_and_nothing_is_done() {
    let fixture = fixture(3, 2).await;
    let page = fixture
        .get(&format!("/bulk?q={BUSY}&action=retry"), "act")
        .await
        .text;
    assert!(
        page.contains("<strong>3 events</strong>") && page.contains("crm (3)"),
        "{page}"
    );
    assert_eq!(
        page.matches("<th scope=\"row\"><a href").count(),
        3,
        "{page}"
    );
    assert!(!page.contains("fails-"), "bodies are hidden");
    assert_eq!(
        *fixture.audit.lock().unwrap(),
        ["reveal"],
        "it looks into errors"
    );
    let page = fixture
        .get("/bulk?q=error%3Apanicked&action=discard", "act")
        .await
        .text;
    assert!(page.contains("No dead letter is meant by it"));
    for bad in ["/bulk?action=burn", "/bulk?action=retry&q=colour%3Ared"] {
        let page = fixture.get(bad, "act").await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(fixture.receiver.stats().inbox.dead, 5);
}

#[tokio::test]
async fn exactly_what_was_confirmed_is_retried_once() {
    for fixture in [fixture(30, 20).await, Fixture::in_memory()] {
        if fixture.receiver.stats().inbox.dead == 0 {
            for number in 0..50 {
                let word = if number < 30 { "busy" } else { "other" };
                fixture.deliver(event(number, word)).await;
            }
            fixture.settled().await;
        }
        let confirmed = fixture.preview("retry", BUSY, 10_000).await;
        // It comes after what was looked at.
        fixture.deliver(event(100, "busy")).await;
        fixture.settled().await;
        let started = fixture.ask("POST", "/bulk", &ACT, &confirmed).await;
        assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.text);
        assert_eq!(started.header("location"), "./bulk");
        let page = until_done(&fixture).await;
        assert!(page.contains("30 of 30; it is done"), "{page}");
        fixture.settled().await;
        // They have failed again, as dead letters of their own.
        let stats = fixture.receiver.stats();
        assert_eq!((stats.dead, stats.inbox.dead), (81, 51));
        assert_eq!(*fixture.audit.lock().unwrap(), ["reveal", "retry all"]);
        let left = fixture.receiver.records().unwrap().note().await.unwrap();
        assert_eq!(left, None);
    }
}

#[tokio::test]
async fn one_is_under_way_at_a_time_and_can_be_cancelled() {
    let fixture = fixture(5, 5).await;
    let slow = fixture.preview("retry", BUSY, 1).await;
    let started = fixture.ask("POST", "/bulk", &ACT, &slow).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER);
    let other = fixture.preview("discard", "error%3Aother", 10).await;
    let refused = fixture.ask("POST", "/bulk", &ACT, &other).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let told = fixture.get("/dead", "read").await.text;
    assert!(told.contains("They are being retried"), "{told}");
    let cancelled = fixture.ask("POST", "/bulk/cancel", &ACT, "").await;
    assert_eq!(cancelled.status, StatusCode::SEE_OTHER);
    assert_eq!(cancelled.header("location"), "../bulk");
    let page = until_done(&fixture).await;
    assert!(page.contains("it was cancelled"), "{page}");
    let replays = originals(fixture.receiver.records().unwrap()).await;
    assert!(replays.len() < 5, "{replays:?}");
    // The next one may begin.
    let started = fixture.ask("POST", "/bulk", &ACT, &other).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER);
    until_done(&fixture).await;
    let audit = fixture.audit.lock().unwrap().clone();
    let told: Vec<_> = audit.iter().filter(|told| *told != "reveal").collect();
    assert_eq!(told, ["retry all", "cancel", "discard all"]);
}

#[tokio::test]
async fn it_begins_although_whoever_confirmed_it_hangs_up() {
    let fixture = fixture(3, 0).await;
    let confirmed = fixture.preview("retry", BUSY, 10_000).await;
    let mut asked = pin!(fixture.ask("POST", "/bulk", &ACT, &confirmed));
    assert!(poll!(&mut asked).is_pending());
    asked.set(fixture.ask("GET", "/", &ACT, ""));
    asked.await;
    let page = until_done(&fixture).await;
    assert!(page.contains("3 of 3; it is done"), "{page}");
    let audit = fixture.audit.lock().unwrap().clone();
    assert_eq!(audit, ["reveal", "retry all"]);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_retried_in_a_second_than_was_confirmed() {
    let fixture = Fixture::in_memory();
    for number in 0..50 {
        fixture.deliver(event(number, "busy")).await;
    }
    let confirmed = fixture.preview("retry", BUSY, 10).await;
    let began = Instant::now();
    fixture.ask("POST", "/bulk", &ACT, &confirmed).await;
    let passed = |page: &str| -> u32 {
        let status = page.split("id=\"bulk\">").nth(1).unwrap();
        status.split(' ').next().unwrap().parse().unwrap()
    };
    let mut seen = vec![0];
    while seen.last() != Some(&50) {
        sleep(Duration::from_secs(1)).await;
        seen.push(passed(&fixture.get("/bulk", "act").await.text));
    }
    let keeps_to_it = seen.windows(2).all(|both| both[1] - both[0] <= 11);
    assert!(keeps_to_it, "{seen:?}");
    assert!(began.elapsed() <= Duration::from_secs(6), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_thousand_in_memory_seven_thousand_are_retried_once() {
    const ALL: usize = 20_000;
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&runs);
    let crm = move |context: Context| {
        let original = context.replay_of().map(|original| original.get());
        seen.lock().unwrap().extend(original);
        let busy = context.delivery().payload_json().contains("busy");
        async move {
            match (original, busy) {
                (Some(_), _) => Ok(()),
                (None, true) => Err(HandlerError::permanent("the store is busy")),
                (None, false) => Err(HandlerError::permanent("out of order")),
            }
        }
    };
    let receiver = support::builder()
        .inbox(
            MemoryInbox::builder()
                .max_events(2 * ALL)
                .max_dead(ALL)
                .build(),
        )
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([Registration::new(catalog::Any, crm).name("crm")])
        .build()
        .unwrap();
    let fixture = Fixture::of(receiver);
    for number in 0..ALL {
        let word = if number % 20 < 7 { "busy" } else { "other" };
        let accepted = fixture
            .receiver
            .accept(event(number, word), Origin::History);
        assert_eq!(accepted.await.unwrap(), Accepted::New);
    }
    within(fixture.receiver.idle()).await;
    assert_eq!(fixture.receiver.stats().inbox.dead, ALL);
    let confirmed = fixture.preview("retry", BUSY, 10_000).await;
    fixture.ask("POST", "/bulk", &ACT, &confirmed).await;
    let page = until_done(&fixture).await;
    assert!(page.contains("7000 of 7000; it is done"), "{page}");
    within(fixture.receiver.idle()).await;
    let runs = runs.lock().unwrap().clone();
    let each: BTreeSet<u64> = runs.iter().copied().collect();
    assert_eq!((runs.len(), each.len()), (7_000, 7_000));
    assert_eq!(fixture.receiver.stats().inbox.dead, ALL - 7_000);
}

#[tokio::test]
async fn what_is_discarded_is_gone_and_the_rest_stays() {
    let fixture = fixture(4, 3).await;
    let confirmed = fixture.preview("discard", BUSY, 100).await;
    fixture.ask("POST", "/bulk", &ACT, &confirmed).await;
    until_done(&fixture).await;
    let records = fixture.receiver.records().unwrap();
    let page = records.list(&RecordFilter::new(), None, 100).await.unwrap();
    let bodies = page
        .records
        .iter()
        .map(|record| record.delivery.body().clone());
    let bodies: Vec<_> = bodies
        .map(|body| String::from_utf8(body.to_vec()).unwrap())
        .collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| body.contains("other")));
    let again = fixture.ask("POST", "/bulk", &ACT, &confirmed).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "there is nothing left");
}

/// To discard an event takes it from all of its handlers.
#[tokio::test]
async fn an_event_that_another_handler_is_not_done_with_is_not_discarded() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    let later = RetryPolicy::default()
        .attempts(2)
        .initial(Duration::from_secs(3600));
    let receiver = Receiver::builder()
        .secret(support::SECRET)
        .inbox(inbox)
        .handlers([
            Registration::new(catalog::Any, |_: Context| async {
                Err::<(), _>(HandlerError::permanent("busy"))
            })
            .name("crm"),
            Registration::new(catalog::Any, |_: Context| async {
                Err::<(), _>(HandlerError::new("later"))
            })
            .options(HandlerOptions::new().retry(later))
            .name("mail"),
        ])
        .build()
        .unwrap();
    let fixture = Fixture::of(receiver);
    let accepted = fixture.receiver.accept(event(1, ""), Origin::History).await;
    accepted.unwrap();
    while fixture.receiver.stats().dead == 0 || fixture.receiver.stats().inbox.delayed == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let page = fixture
        .get(&format!("/bulk?q={BUSY}&action=discard"), "act")
        .await;
    assert!(page.text.contains("No dead letter"), "{}", page.text);
    let page = fixture
        .get(&format!("/bulk?q={BUSY}&action=retry"), "act")
        .await;
    assert_eq!(hidden(&page.text, "upto"), "1");
}

#[tokio::test]
async fn an_event_is_retried_by_the_handlers_that_are_meant_alone() {
    let fails = |word: &'static str| {
        move |_: Context| async move { Err::<(), _>(HandlerError::permanent(word)) }
    };
    let receiver = Receiver::builder()
        .secret(support::SECRET)
        .inbox(MemoryInbox::new())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([
            Registration::new(catalog::Any, fails("busy")).name("crm"),
            Registration::new(catalog::Any, fails("full")).name("mail"),
        ])
        .build()
        .unwrap();
    let fixture = Fixture::of(receiver);
    fixture
        .receiver
        .accept(event(1, ""), Origin::History)
        .await
        .unwrap();
    fixture.settled().await;
    for q in [
        "error%3Abusy",
        "handler%3Acrm",
        "handler%3Acrm+error%3Afailed",
    ] {
        let confirmed = fixture.preview("retry", q, 100).await;
        fixture.ask("POST", "/bulk", &ACT, &confirmed).await;
        until_done(&fixture).await;
        fixture.settled().await;
        let records = fixture.receiver.records().unwrap();
        let page = records.list(&RecordFilter::new(), None, 100).await.unwrap();
        let jobs = page.records.iter().flat_map(|record| &record.jobs);
        let mut dead: Vec<_> = jobs.map(|job| job.handler.as_str()).collect();
        dead.sort_unstable();
        assert_eq!(dead, ["crm", "mail"], "{q}: each has failed once at a time");
    }
    assert_eq!(fixture.receiver.stats().dead, 5);
}

/// Dead letters in a directory, as an earlier process left them: the last of two kinds.
async fn fill(directory: &Path, busy: usize, other: usize) {
    let inbox = DiskInbox::open(directory.join("inbox")).await.unwrap();
    let crm = |context: Context| async move {
        let busy = context.delivery().payload_json().contains("busy");
        let error = if busy {
            "the store is busy"
        } else {
            "out of order"
        };
        Err::<(), _>(HandlerError::permanent(error))
    };
    let receiver = support::builder()
        .inbox(inbox.clone())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::never()))
        .handlers([Registration::new(catalog::Any, crm).name("crm")])
        .build()
        .unwrap();
    stream::iter(0..busy + other)
        .for_each_concurrent(500, |number| {
            let word = if number % 20 < 7 { "busy" } else { "other" };
            let accepted = receiver.accept(event(number, word), Origin::History);
            async { assert_eq!(accepted.await.unwrap(), Accepted::New) }
        })
        .await;
    while inbox.stats().dead < busy + other {
        sleep(Duration::from_millis(20)).await;
    }
    drop(receiver.shutdown(Duration::from_secs(60)).await);
    drop(receiver);
    inbox.closed().await;
}

struct Inspected {
    child: Child,
    address: String,
}

impl Inspected {
    async fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_inspected"))
            .arg(directory)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.next_line().await.unwrap().unwrap();
        Self { child, address }
    }

    async fn ask(&self, method: &str, path: &str, form: String) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Full::new(Bytes::from(form)))
            .unwrap();
        let (head, body) = http_client().request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(body.to_vec()).unwrap())
    }
}

fn runs(directory: &Path) -> Vec<u64> {
    let runs = std::fs::read_to_string(directory.join("runs")).unwrap_or_default();
    runs.lines().map(|line| line.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_in_the_middle_leaves_the_rest_to_the_next_one() {
    const BUSY: usize = 7_000;
    const OTHER: usize = 13_000;
    /// Runs that had begun when it was killed are run again: as many as there may be at once.
    const AT_ONCE: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    fill(directory, BUSY, OTHER).await;
    within(async {
        let mut killed = Inspected::start(directory).await;
        let q = "error%3A%22store+is+busy%22";
        let (_, page) = killed
            .ask("GET", &format!("/bulk?q={q}&action=retry"), String::new())
            .await;
        assert!(page.contains("<strong>7000 events</strong>"), "{page}");
        let (q, upto) = (form(hidden(&page, "q")), hidden(&page, "upto"));
        let confirmed = format!("action=retry&q={q}&upto={upto}&rate=2000");
        let (status, page) = killed.ask("POST", "/bulk", confirmed).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
        // Nobody looks at it any more.
        while runs(directory).len() < 1000 {
            sleep(Duration::from_millis(5)).await;
        }
        killed.child.kill().await.unwrap();
        let before = runs(directory).len();
        assert!(before < BUSY, "it was killed at its end");

        let mut next = Inspected::start(directory).await;
        loop {
            let (_, page) = next.ask("GET", "/bulk", String::new()).await;
            if page.contains("7000 of 7000; it is done") {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        while runs(directory).iter().collect::<BTreeSet<_>>().len() < BUSY {
            sleep(Duration::from_millis(5)).await;
        }
        next.child.kill().await.unwrap();
        let runs = runs(directory);
        assert!(
            runs.len() <= BUSY + AT_ONCE,
            "{} runs of {BUSY}",
            runs.len()
        );

        let inbox = DiskInbox::open(directory.join("inbox")).await.unwrap();
        let originals = originals(&inbox).await;
        assert_eq!(originals.len(), BUSY, "each once");
        let originals: BTreeSet<u64> = originals.into_iter().collect();
        assert_eq!(originals, runs.into_iter().collect());
        let dead = RecordFilter::new().state(RecordState::Dead);
        let left = inbox.list(&dead, None, usize::MAX).await.unwrap().records;
        assert_eq!(left.len(), OTHER);
        assert!(left.iter().all(|left| !originals.contains(&left.id.get())));
    })
    .await;
}
