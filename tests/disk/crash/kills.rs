//! Kills at random moments.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use support::standalone::program;
use tokio::task::JoinSet;
use tokio::time::sleep;
use voipbin_receiver::ReceiverBuilder;
use voipbin_receiver::inbox::{DiskInbox, Inbox, RecordFilter, RecordState, Records};

use crate::crash::field::{Field, Seen, exchange};
use crate::crash::process::Process;

const CONNECTIONS: usize = 128;

/// Kills a server at random moments, from its first instruction on, and each time another one goes
/// on with its directory; the last one stops when all that was acknowledged is handled.
/// `CRASH_KILLS=300` for more than 50.
async fn killed(program: &Path, directory: &Path) -> Arc<Field> {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|number| number.parse().unwrap())
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("CRASH_SEED").unwrap_or(now.subsec_nanos().into());
    let kills = number("CRASH_KILLS").unwrap_or(50) as usize;
    eprintln!("CRASH_SEED={seed} CRASH_KILLS={kills}");
    let mut random = Rng::with_seed(seed);
    let field = Arc::new(Field::new());

    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        senders.spawn(Arc::clone(&field).send_events());
    }
    for number in 0..kills {
        let mut process = Process::start(number, program, directory, &field);
        let moment = Duration::from_micros(random.u64(..30_000));
        // Some die while they open the directory.
        if random.u8(..5) > 0 {
            process.listens(&field).await;
            let answers = field.answers.load(Ordering::Relaxed) + random.usize(..500);
            let enough = |field: &Field| field.answers.load(Ordering::Relaxed) >= answers;
            field.until(enough).await;
        }
        // Not to wait for anything: it is to be any moment.
        sleep(moment).await;
        process.kill(&field).await;
    }

    let mut last = Process::start(kills, program, directory, &field);
    last.listens(&field).await;
    field.over.store(true, Ordering::Relaxed);
    senders.join_all().await;
    field.until(Field::all_acked_are_handled).await;

    // Copies of what was answered, by whichever process, are known.
    let copies: Vec<usize> = field.seen().acked.iter().copied().take(2000).collect();
    let (_, mut wire) = field.connect(None).await;
    for event in copies {
        let (status, word) = exchange(&mut wire, event).await.unwrap();
        assert_eq!((status, &*word), (200, "duplicate"), "event {event}");
    }
    // It is handled after all that came before it.
    let end = field.next_event.fetch_add(1, Ordering::Relaxed);
    assert_eq!(exchange(&mut wire, end).await.unwrap().1, "received");
    field.seen().acked.insert(end);
    field.until(Field::all_acked_are_handled).await;
    last.stop(&field).await;
    assert!(field.seen().acked.len() > 1000, "next to nothing was tried");
    field
}

/// However long it takes: starts take their time beside other work.
async fn patiently<F: Future>(test: F) -> F::Output {
    let hour = Duration::from_secs(3600);
    tokio::time::timeout(hour, test)
        .await
        .expect("the test hangs")
}

/// What was answered 200 is handled at least once. What is handled again after a kill was begun by
/// the process that died, and its end was not written yet. There is no more of that than there are
/// handlers at once: the beginning of a run is on disk before the handler is called, and the slot
/// that it takes was freed by a run whose end is written with or before that beginning. So the
/// bound for each kill is [`ReceiverBuilder::DEFAULT_CONCURRENCY`], whatever
/// `DiskInboxBuilder::completion_delay`
/// is. And because a beginning is counted, each further run of an event has a higher number of the
/// attempt than the one before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_200_survives_fifty_kills_and_is_handled() {
    let began = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let field = patiently(killed(program(), directory.path())).await;
    let stats = DiskInbox::open(directory.path()).await.unwrap().stats();
    assert_eq!((stats.events, stats.delayed, stats.damaged), (0, 0, 0));

    let Seen {
        acked,
        answered_late,
        runs,
    } = &*field.seen();
    let mut again = BTreeMap::<usize, usize>::new();
    let mut twice = 0;
    for (event, runs) in runs {
        for pair in runs.windows(2) {
            let [before, after] = pair else {
                unreachable!()
            };
            assert!(
                before.process < after.process,
                "event {event} ran twice in one process: {runs:?}"
            );
            assert!(
                before.attempt < after.attempt && after.attempt >= 2,
                "event {event}: {runs:?}"
            );
            *again.entry(before.process).or_default() += 1;
        }
        twice += usize::from(runs.len() > 1);
    }
    let most = again.values().max().copied().unwrap_or_default();
    let unacked = runs.keys().filter(|event| !acked.contains(event)).count();
    eprintln!(
        "{} acked ({answered_late} of them only as duplicates), {} handled, {twice} of them more than once (at most {most} after one kill), \
         {unacked} handled without an answer, {} dead, {:?}",
        acked.len(),
        runs.len(),
        stats.dead,
        began.elapsed(),
    );
    assert!(most <= ReceiverBuilder::DEFAULT_CONCURRENCY);
}

/// See `programs/misbehaving.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn no_kill_and_no_handler_that_fails_hangs_or_panics_lets_an_attempt_come_again() {
    let began = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_misbehaving"));
    let field = patiently(killed(program, directory.path())).await;

    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    assert_eq!(inbox.stats().damaged, 0);
    let pending = RecordFilter::new().state(RecordState::Pending);
    let pending = inbox.list(&pending, None, usize::MAX).await.unwrap();
    let Seen { acked, runs, .. } = &*field.seen();
    for record in pending.records {
        let event: usize = record.delivery.resource_id().unwrap().parse().unwrap();
        assert!(
            !acked.contains(&event),
            "it ended, and that is not stored: {record:?}"
        );
    }
    let mut badly = 0;
    for (event, runs) in runs {
        for pair in runs.windows(2) {
            assert!(
                pair[0].process <= pair[1].process && pair[0].attempt < pair[1].attempt,
                "event {event}: {runs:?}"
            );
        }
        badly += runs.iter().filter(|run| !run.over).count();
    }
    eprintln!(
        "{} acked, {} handled, {badly} attempts that failed, hung or panicked, {} dead letters, {:?}",
        acked.len(),
        runs.len(),
        inbox.stats().dead,
        began.elapsed(),
    );
    assert!(
        badly > 10 && inbox.stats().dead > 10,
        "next to nothing was tried"
    );
}
