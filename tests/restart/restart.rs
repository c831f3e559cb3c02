//! Restarts while VoIPBIN sends, of the standalone server and of the programs that the pages show:
//! each is stopped while its handlers hang, and another one takes its place, or takes it over.
//!
//! Nothing is lost: each event is answered 200 within its three tries, and each that was is handled
//! by one of the two processes.
//!
//! | variable | what it is | default |
//! | --- | --- | --- |
//! | `RESTART_ROUNDS` | how many restarts of each program | 1 |
//! | `RESTART_SEED` | when they are | another one each time; it is printed |
//! | `RESTART_GAP` | milliseconds for which no process is there | 0 |
//! | `RESTART_RATE` | events a second | 40 |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "this is test code"
)]

mod program;

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use program::{
    Door, Handled, PATIENT, PATIENT_IN_MEMORY, PROGRAMS, Program, STANDALONE, TAKING_OVER,
};
use support::{Reply, Wire, call_hangup, on_the_wire, within};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// For all that a round waits for.
const PATIENCE: Duration = Duration::from_secs(120);

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The client, and what it has told.
struct Client {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    acked: BTreeSet<u64>,
    lost: BTreeSet<u64>,
}

impl Client {
    fn start(address: SocketAddr) -> Self {
        let rate = variable("RESTART_RATE", 40).to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_offering-client"))
            .args([&address.to_string(), &rate])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            acked: BTreeSet::new(),
            lost: BTreeSet::new(),
        }
    }

    /// Whether there was one more event to tell of.
    async fn hear(&mut self) -> bool {
        let Some(line) = self.lines.next_line().await.unwrap() else {
            return false;
        };
        let (word, event) = line.split_once(' ').unwrap();
        let decided = match word {
            "acked" => &mut self.acked,
            _ => &mut self.lost,
        };
        decided.insert(event.parse().unwrap());
        true
    }

    /// Until so many more events are answered 200.
    async fn acks(&mut self, more: usize) {
        let enough = self.acked.len() + more;
        while self.acked.len() < enough {
            assert!(self.hear().await, "the client has ended");
        }
    }

    /// Offers nothing new, and waits until all is decided.
    async fn end(&mut self) {
        drop(self.child.stdin.take());
        while self.hear().await {}
        assert!(self.child.wait().await.unwrap().success());
    }
}

/// What became of the events of a round.
struct Figures {
    offered: usize,
    lost: usize,
    unhandled: usize,
    /// From the signal, or the start of the next process, to the end of this one.
    drained: Duration,
}

/// How one process follows the other.
#[derive(Clone, Copy)]
enum Turn {
    /// It starts once the other one has ended.
    Stopped,
    /// It takes over from the other one, which runs.
    TakesOver,
}

/// One restart.
async fn restart(
    program: &Program,
    turn: Turn,
    door: &Door,
    random: &mut fastrand::Rng,
) -> Figures {
    let directory = tempfile::tempdir().unwrap();
    let handled = Handled::default();
    let hangs = program.start(door, directory.path(), true, &handled);
    door.opens().await;
    let mut client = Client::start(door.address());
    client.acks(random.usize(10..60)).await;

    let stopped = Instant::now();
    let start_next = || program.start(door, directory.path(), false, &handled);
    let followed = async {
        match turn {
            Turn::Stopped => {
                hangs.stop().await;
                let ended = Instant::now();
                // What a supervisor waits before it starts the next one.
                sleep(Duration::from_millis(variable("RESTART_GAP", 0))).await;
                (ended, start_next())
            }
            Turn::TakesOver => {
                let next = start_next();
                hangs.ends().await;
                (Instant::now(), next)
            }
        }
    };
    tokio::pin!(followed);
    // Heard meanwhile, so that its pipe does not fill.
    let (ended, next) = loop {
        tokio::select! {
            followed = &mut followed => break followed,
            _ = client.hear() => {}
        }
    };
    let drained = ended - stopped;
    client.acks(40).await;
    client.end().await;
    let all = handled.wait_for(&client.acked);
    let unhandled = match timeout(Duration::from_secs(30), all).await {
        Ok(()) => 0,
        Err(_) => handled.missing(&client.acked),
    };
    next.stop().await;
    Figures {
        offered: client.acked.len() + client.lost.len(),
        lost: client.lost.len(),
        unhandled,
        drained,
    }
}

/// So many restarts of a program; says what came of them.
async fn restarts(program: &Program, turn: Turn, door: impl AsyncFn() -> Door) -> Vec<Figures> {
    program.file();
    let seed = variable("RESTART_SEED", fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rounds = Vec::new();
    for _ in 0..variable("RESTART_ROUNDS", 1) {
        let door = door().await;
        let round = restart(program, turn, &door, &mut random);
        rounds.push(timeout(PATIENCE, round).await.expect("the test hangs"));
    }
    let sum = |of: fn(&Figures) -> usize| rounds.iter().map(of).sum::<usize>();
    let longest = rounds.iter().map(|round| round.drained).max();
    eprintln!(
        "{}: {} restarts, RESTART_SEED={seed}: {} offered, {} lost, {} answered 200 and not handled; \
         it drained for up to {longest:?}",
        program.name,
        rounds.len(),
        sum(|round| round.offered),
        sum(|round| round.lost),
        sum(|round| round.unhandled),
    );
    rounds
}

async fn loses_nothing(program: &Program, turn: Turn, door: impl AsyncFn() -> Door) {
    for round in restarts(program, turn, door).await {
        assert!(round.offered > 40, "next to nothing was tried");
        assert_eq!((round.lost, round.unhandled), (0, 0), "{}", program.name);
    }
}

#[tokio::test]
async fn the_standalone_server_with_a_handed_down_socket() {
    loses_nothing(&STANDALONE, Turn::Stopped, Door::inherited).await;
}

#[tokio::test]
async fn the_standalone_server_that_is_taken_over() {
    loses_nothing(&TAKING_OVER, Turn::TakesOver, Door::own).await;
}

/// Only those that take one: the others are the same but for that.
#[tokio::test]
async fn a_program_of_a_page_with_a_handed_down_socket() {
    for program in PROGRAMS.iter().filter(|program| program.inherits) {
        loses_nothing(program, Turn::Stopped, Door::inherited).await;
    }
}

/// How long nobody listens then is the machine's affair.
#[tokio::test]
async fn whatever_was_answered_200_is_handled_without_a_handed_down_socket_too() {
    for program in PROGRAMS.iter().chain([&STANDALONE]) {
        for round in restarts(program, Turn::Stopped, Door::own).await {
            assert_eq!(round.unhandled, 0, "{}", program.name);
        }
    }
}

/// The answer to an event, over a connection of its own.
async fn answer(door: &Door, event: u64) -> Reply {
    let mut wire = Wire::connect(door.address()).await;
    let event = call_hangup(format_args!("restart-{event}"));
    wire.exchange(&on_the_wire("POST", &event)).await
}

/// Until it has taken up the signal.
async fn drains(door: &Door) {
    let ready = b"GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n";
    while Wire::connect(door.address())
        .await
        .exchange(ready)
        .await
        .status
        != 503
    {}
}

#[tokio::test]
async fn an_inbox_on_disk_keeps_for_as_long_as_its_handlers_run() {
    let (directory, door, handled) = (
        tempfile::tempdir().unwrap(),
        Door::own().await,
        Handled::default(),
    );
    let server = PATIENT.start(&door, directory.path(), true, &handled);
    within(async {
        door.opens().await;
        assert_eq!(answer(&door, 1).await.word(), "received");
        server.terminate().await;
        drains(&door).await;
        assert_eq!(answer(&door, 2).await.word(), "received");
        assert_eq!(answer(&door, 1).await.word(), "duplicate");
        // The second signal.
        server.stop().await;
        let next = PATIENT.start(&door, directory.path(), false, &handled);
        handled.wait_for(&BTreeSet::from([1, 2])).await;
        next.stop().await;
    })
    .await;
}

#[tokio::test]
async fn an_inbox_in_memory_answers_503_for_as_long_as_its_handlers_run() {
    let (directory, door, handled) = (
        tempfile::tempdir().unwrap(),
        Door::own().await,
        Handled::default(),
    );
    let server = PATIENT_IN_MEMORY.start(&door, directory.path(), true, &handled);
    within(async {
        door.opens().await;
        assert_eq!(answer(&door, 1).await.word(), "received");
        server.terminate().await;
        drains(&door).await;
        let refused = answer(&door, 2).await;
        assert_eq!((refused.status, &*refused.code()), (503, "shutting_down"));
        assert_eq!(refused.header("connection"), Some("close"));
        // A copy of what is kept is known, and needs no other try.
        assert_eq!(answer(&door, 1).await.word(), "duplicate");
        // The second signal.
        server.stop().await;
    })
    .await;
}
