//! Processes that die, again and again, while events come and are handled.
//!
//! `CRASH_SEED=…` repeats the moments of a run, as far as the machine's own timing lets it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "this is test code"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use support::standalone::program;
use support::{SECRET, Wire, call_hangup, on_the_wire, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use voipbin_receiver::ReceiverBuilder;
use voipbin_receiver::inbox::{
    AttemptEnd, DiskInbox, Inbox, RecordFilter, RecordState, Records, Stage,
};

const KILLS: usize = 50;
const CONNECTIONS: usize = 128;

/// As the platform does it.
const TRIES: usize = 3;

/// Numbers that a seed decides: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok();
    given.map_or_else(
        || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            u64::from(now.subsec_nanos())
        },
        |seed| seed.parse().unwrap(),
    )
}

/// A line that the standalone server prints for a handled event.
#[derive(Deserialize)]
struct Line {
    resource_id: String,
    attempt: u32,
}

/// One run of a handler: in which process, and which attempt it was.
#[derive(Clone, Copy, Debug)]
struct Run {
    process: usize,
    attempt: u32,
}

/// What was seen of all events, by their number.
#[derive(Default)]
struct Seen {
    /// Answered 200.
    acked: HashSet<usize>,
    /// How many of them were kept by a process that died before it could say so.
    answered_late: usize,
    /// In the order in which the lines came.
    runs: HashMap<usize, Vec<Run>>,
}

/// What the senders and the killer share.
struct Field {
    next_event: AtomicUsize,
    answers: AtomicUsize,
    over: AtomicBool,
    seen: Mutex<Seen>,
    /// Changes with every answer and every line.
    news: watch::Sender<()>,
    /// The process that listens, and where.
    server: watch::Sender<Option<(usize, SocketAddr)>>,
}

impl Field {
    fn new() -> Self {
        Self {
            next_event: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            seen: Mutex::default(),
            news: watch::Sender::new(()),
            server: watch::Sender::new(None),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Waits for something that an answer or a line brings about.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut news = self.news.subscribe();
        while !holds(self) {
            news.changed().await.unwrap();
        }
    }

    fn all_acked_are_handled(&self) -> bool {
        let Seen { acked, runs, .. } = &*self.seen();
        acked.iter().all(|event| runs.contains_key(event))
    }

    /// Sends event after event. One whose connection breaks goes to the next process.
    async fn send_events(self: Arc<Self>) {
        let mut connection: Option<(usize, Wire)> = None;
        while !self.over.load(Ordering::Relaxed) {
            let event = self.next_event.fetch_add(1, Ordering::Relaxed);
            let mut broken = None;
            for attempt in 0..TRIES {
                let (process, mut wire) = match connection.take() {
                    Some(connection) => connection,
                    None => self.connect(broken).await,
                };
                let Some((status, word)) = exchange(&mut wire, event).await else {
                    broken = Some(process);
                    continue;
                };
                assert_eq!(status, 200, "event {event}: {word}");
                assert!(
                    word == "received" || attempt > 0,
                    "event {event} is new and answered {word}"
                );
                connection = Some((process, wire));
                {
                    let mut seen = self.seen();
                    seen.acked.insert(event);
                    seen.answered_late += usize::from(word == "duplicate");
                }
                self.answers.fetch_add(1, Ordering::Relaxed);
                self.news.send_replace(());
                break;
            }
        }
    }

    /// To the process that listens, another one than that.
    async fn connect(&self, other_than: Option<usize>) -> (usize, Wire) {
        let mut server = self.server.subscribe();
        loop {
            let listens = |server: &Option<(usize, _)>| {
                server.is_some_and(|(one, _)| Some(one) != other_than)
            };
            let (process, address) = server.wait_for(listens).await.unwrap().unwrap();
            if let Some(wire) = Wire::try_connect(address).await {
                return (process, wire);
            }
            server.changed().await.unwrap();
        }
    }
}

/// Status and word of the answer. `None` when the connection breaks.
async fn exchange(wire: &mut Wire, event: usize) -> Option<(u16, String)> {
    let request = on_the_wire("POST", &call_hangup(event));
    let reply = wire.try_exchange(&request).await?;
    Some((reply.status, reply.word()))
}

/// A standalone server on a directory.
struct Process {
    number: usize,
    child: Child,
    stderr: tokio::io::Lines<BufReader<ChildStderr>>,
    lines: JoinHandle<()>,
}

impl Process {
    fn start(number: usize, directory: &Path, field: &Arc<Field>) -> Self {
        let mut program = Command::new(program());
        program.env_clear();
        Self::run(number, program, directory, field)
    }

    fn run(number: usize, mut program: Command, directory: &Path, field: &Arc<Field>) -> Self {
        let mut child = program
            .args(["--listen", "127.0.0.1:0", "--secret", SECRET, "--directory"])
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = tokio::spawn(read_lines(number, stdout, Arc::clone(field)));
        Self {
            number,
            child,
            stderr,
            lines,
        }
    }

    /// Until it listens, and from then on tells the senders.
    async fn listens(&mut self, field: &Field) {
        loop {
            let line = self.stderr.next_line().await.unwrap();
            let line = line.expect("it ended before it listened");
            if let Some(url) = line.strip_prefix("listening on http://") {
                let address = url.split('/').next().unwrap().parse().unwrap();
                field.server.send_replace(Some((self.number, address)));
                return;
            }
        }
    }

    /// Kills it. All that it had written is read.
    async fn kill(mut self, field: &Field) {
        self.child.start_kill().unwrap();
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(9), "it ended before it was killed");
        field.server.send_replace(None);
        self.lines.await.unwrap();
    }

    async fn stop(mut self, field: &Field) {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        let told = Command::new("sh").args(["-c", &kill]).status();
        assert!(told.await.unwrap().success());
        let mut said = Vec::new();
        while let Some(line) = self.stderr.next_line().await.unwrap() {
            said.push(line);
        }
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{status}: {said:#?}");
        field.server.send_replace(None);
        self.lines.await.unwrap();
    }
}

async fn read_lines(process: usize, stdout: ChildStdout, field: Arc<Field>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let line: Line = serde_json::from_str(&line).expect("a whole line of JSON");
        let run = Run {
            process,
            attempt: line.attempt,
        };
        let event = line.resource_id.parse().unwrap();
        field.seen().runs.entry(event).or_default().push(run);
        field.news.send_replace(());
    }
}

/// A server is killed at 50 random moments, from its first instruction on, and each time another one
/// goes on with its directory.
///
/// What was answered 200 is handled at least once. What is handled again after a kill was begun by
/// the process that died, and its end was not written yet. There is no more of that than there are
/// handlers at once: the beginning of a run is on disk before the handler is called, and the slot
/// that it takes was freed by a run whose end is written with or before that beginning. So the
/// bound for each kill is [`ReceiverBuilder::DEFAULT_CONCURRENCY`], whatever
/// [`DiskInboxBuilder::completion_delay`](voipbin_receiver::inbox::DiskInboxBuilder::completion_delay)
/// is. And because a beginning is counted, each further run of an event has a higher number of the
/// attempt than the one before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_200_survives_fifty_kills_and_is_handled() {
    // However long it takes to build.
    program();
    // Fifty starts take their time beside other work.
    let patience = Duration::from_secs(600);
    let kills = tokio::time::timeout(patience, fifty_kills());
    kills.await.expect("the test hangs");
}

async fn fifty_kills() {
    let seed = seed();
    eprintln!("CRASH_SEED={seed}");
    let mut random = Random(seed);
    let directory = tempfile::tempdir().unwrap();
    let field = Arc::new(Field::new());
    let began = Instant::now();

    let mut senders = JoinSet::new();
    for _ in 0..CONNECTIONS {
        senders.spawn(Arc::clone(&field).send_events());
    }
    for number in 0..KILLS {
        let mut process = Process::start(number, directory.path(), &field);
        let moment = Duration::from_micros(random.below(30_000));
        // Some die while they open the directory.
        if random.below(5) > 0 {
            process.listens(&field).await;
            let answers = field.answers.load(Ordering::Relaxed) + random.below(500) as usize;
            let enough = |field: &Field| field.answers.load(Ordering::Relaxed) >= answers;
            field.until(enough).await;
        }
        // Not to wait for anything: it is to be any moment.
        sleep(moment).await;
        process.kill(&field).await;
    }

    let mut last = Process::start(KILLS, directory.path(), &field);
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

    let inbox = DiskInbox::open(directory.path()).unwrap();
    let stats = inbox.stats();
    assert_eq!((stats.events, stats.waiting, stats.damaged), (0, 0, 0));

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
        "{KILLS} kills, {} acked ({answered_late} of them only as duplicates), {} handled, {twice} of them more than once (at most {most} after one kill), \
         {unacked} handled without an answer, {} dead, {:?}",
        acked.len(),
        runs.len(),
        stats.dead,
        began.elapsed(),
    );
    assert!(acked.len() > 1000, "next to nothing was tried");
    assert!(most <= ReceiverBuilder::DEFAULT_CONCURRENCY);
}

/// Runs the standalone server with a small file system of its own at this place, which nobody else
/// sees and which goes with it. That takes root, `unshare` and `mount`.
async fn with_small_file_system(at: &Path) -> Option<Command> {
    const SCRIPT: &str = r#"mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@""#;
    let command = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", SCRIPT]);
        command.arg(at).arg(program).kill_on_drop(true);
        command
    };
    let trial = command(Path::new("true")).output().await.ok()?;
    trial.status.success().then(|| command(program()))
}

async fn exchange_large(wire: &mut Wire, event: usize) -> u16 {
    let body = call_hangup(event);
    let padding = format!(r#""padding":"{}","status""#, "x".repeat(20_000));
    let body = body.replacen(r#""status""#, &padding, 1);
    wire.exchange(&on_the_wire("POST", &body)).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_events_and_loses_none_and_goes_on_by_itself_when_there_is_room() {
    program();
    within(full_disk()).await;
}

async fn full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let Some(program) = with_small_file_system(directory.path()).await else {
        eprintln!("SKIPPED: a test of a full disk, which takes root, unshare and mount");
        return;
    };
    let field = Arc::new(Field::new());
    let inbox = directory.path().join("inbox");
    let mut server = Process::run(0, program, &inbox, &field);
    server.listens(&field).await;
    let (_, mut wire) = field.connect(None).await;

    // As that process sees it.
    let root = format!("/proc/{}/root", server.child.id().unwrap());
    let ballast = Path::new(&root)
        .join(directory.path().strip_prefix("/").unwrap())
        .join("ballast");
    std::fs::write(&ballast, vec![1; 5 << 20]).unwrap();

    let mut refused = 0;
    while refused < 20 {
        let event = field.next_event.fetch_add(1, Ordering::Relaxed);
        assert!(event < 1000, "it never runs full");
        match exchange_large(&mut wire, event).await {
            200 => assert!(field.seen().acked.insert(event)),
            503 => refused += 1,
            status => panic!("{status}"),
        }
    }
    let before = field.seen().acked.len();
    assert!(before > 10, "it was full at once");

    std::fs::remove_file(&ballast).unwrap();
    let since = Instant::now();
    for event in 0..field.next_event.load(Ordering::Relaxed) {
        // The sender's next tries, and copies of what is kept.
        while exchange_large(&mut wire, event).await == 503 {
            assert!(since.elapsed() < Duration::from_secs(60), "it stays full");
            sleep(Duration::from_millis(10)).await;
        }
        field.seen().acked.insert(event);
    }
    field.until(Field::all_acked_are_handled).await;
    server.stop(&field).await;
    let Seen { acked, runs, .. } = &*field.seen();
    eprintln!(
        "full after {before} events, {refused} refused, {} handled after",
        runs.len()
    );
    assert_eq!(
        (acked.len(), runs.len()),
        (before + refused, before + refused)
    );
    assert!(runs.values().all(|runs| runs.len() == 1));
}

#[derive(Deserialize)]
struct DoomedLine {
    id: String,
    attempt: u32,
}

/// How many processes one event kills.
const DEATHS: usize = 3;

/// See `doomed/main.rs`: one event kills it, and on its first run that waits until 20 others hang.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_process_is_a_dead_letter_after_its_attempts_and_no_other_is() {
    within(doomed()).await;
}

async fn doomed() {
    let directory = tempfile::tempdir().unwrap();
    let beside: Vec<String> = (0..20).map(|number| format!("beside-{number}")).collect();
    let mut first = beside.clone();
    first.insert(10, "poison-0".into());
    let mut expected: HashSet<String> = beside.into_iter().collect();
    // By which process last.
    let mut handled = HashMap::<String, usize>::new();

    for process in 0..=DEATHS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_doomed"))
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let later = (0..10).map(|number| format!("later-{process}-{number}"));
        let events = if process == 0 {
            first.clone()
        } else {
            later.collect()
        };
        // It may be dead before it can say so much.
        if let Some(address) = lines.next_line().await.unwrap()
            && let Some(mut wire) = Wire::try_connect(address.parse().unwrap()).await
        {
            for event in events {
                let request = on_the_wire("POST", &call_hangup(&event));
                match wire.try_exchange(&request).await {
                    Some(reply) => assert_eq!(reply.word(), "received"),
                    None => break,
                }
                if !event.starts_with("poison") {
                    expected.insert(event);
                }
            }
        }
        let dies = process < DEATHS;
        while (dies || expected.iter().any(|event| !handled.contains_key(event)))
            && let Some(line) = lines.next_line().await.unwrap()
        {
            let DoomedLine { id, attempt } = serde_json::from_str(&line).unwrap();
            // Those beside it were cut short once, with the first one or by bad luck.
            assert!(attempt <= 2, "{id} was cut short {} times", attempt - 1);
            handled.insert(id, process);
        }
        drop(child.stdin.take());
        let status = child.wait().await.unwrap();
        let signal = dies.then_some(6);
        assert_eq!((status.signal(), status.success()), (signal, !dies));
    }

    let inbox = DiskInbox::open(directory.path()).unwrap();
    assert_eq!(inbox.stats().dead, 1);
    let dead = RecordFilter::new().state(RecordState::Dead);
    let dead = inbox.list(&dead, None, 10).await.unwrap().records;
    let [poison] = &*dead else { panic!("{dead:?}") };
    assert_eq!(poison.delivery.resource_id(), Some("poison-0"));
    let [job] = &*poison.jobs else {
        panic!("{poison:?}")
    };
    assert!(matches!(job.stage, Stage::Dead { .. }));
    let ends: Vec<_> = job.history.iter().map(|attempt| &attempt.ended).collect();
    assert_eq!((job.attempts, ends), (3, vec![&AttemptEnd::Interrupted; 3]));
    for event in &expected {
        assert!(handled.contains_key(event), "{event} never ran");
    }
    let kept = inbox.list(&RecordFilter::new(), None, 1000).await.unwrap();
    let states: HashMap<_, _> = kept
        .records
        .iter()
        .filter_map(|record| Some((record.delivery.resource_id()?, record.state)))
        .collect();
    for (event, by) in &handled {
        match states.get(&**event) {
            Some(RecordState::Done) => {}
            // A process that dies has not stored the end of all that it handled, and the last one may be stopped
            // before it has begun those anew. What it has begun, it has ended.
            Some(RecordState::Pending) if *by < DEATHS => {}
            state => panic!("{event}, handled by process {by}, is {state:?}"),
        }
    }
}
