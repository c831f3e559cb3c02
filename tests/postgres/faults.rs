//! Processes that are killed and paused: what becomes of events, lanes and attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use tokio_postgres::Client;

use crate::PATIENCE;
use crate::server::{builder, client, count, schema, url};

pub(crate) fn rounds(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |rounds| rounds.parse().unwrap())
}

/// A process of `process.rs`.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Process {
    fn start(role: &str, schema: &str, lease: Duration) -> Self {
        Self::at(&url(), role, schema, lease)
    }

    pub(crate) fn at(url: &str, role: &str, schema: &str, lease: Duration) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postgres-process"))
            .args([role, url, schema, &lease.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                drop(told.send(line));
            }
        });
        let input = child.stdin.take().unwrap();
        Self {
            child,
            input,
            lines,
        }
    }

    fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args([format!("-{signal}"), self.pid().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    /// Kills it, or finds that it has ended by itself.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The ids that were acked since the last call.
    pub(crate) fn acked(&self) -> impl Iterator<Item = String> {
        self.lines.try_iter().filter(|line| line != "ready")
    }

    pub(crate) fn keep(&mut self, id: &str) {
        // One that was killed a moment ago takes nothing.
        let _ = writeln!(self.input, "{id}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of a handler, in its lane, by the server's clock.
#[derive(Debug)]
struct Run {
    id: String,
    attempt: i32,
    pid: i32,
    began: SystemTime,
    /// Or when its process died, at the earliest; `None` when it was not told that it ended.
    ended: Option<SystemTime>,
}

struct Field {
    schema: String,
    client: Client,
}

impl Field {
    async fn new() -> Self {
        let schema = schema();
        drop(builder(schema.clone()).connect().await.unwrap());
        let client = client(&url()).await;
        client
            .batch_execute(&format!(
                "CREATE TABLE {schema}_run (id text, attempt integer, pid integer, \
                 began_at timestamptz DEFAULT clock_timestamp(), ended_at timestamptz)"
            ))
            .await
            .unwrap();
        Self { schema, client }
    }

    async fn now(&self) -> SystemTime {
        self.client
            .query_one("SELECT clock_timestamp()", &[])
            .await
            .unwrap()
            .get(0)
    }

    async fn runs(&self) -> Vec<Run> {
        let sql = format!(
            "SELECT id, attempt, pid, began_at, ended_at FROM {}_run ORDER BY began_at",
            self.schema
        );
        let rows = self.client.query(&sql, &[]).await.unwrap();
        let run = |row: tokio_postgres::Row| Run {
            id: row.get(0),
            attempt: row.get(1),
            pid: row.get(2),
            began: row.get(3),
            ended: row.get(4),
        };
        rows.into_iter().map(run).collect()
    }

    /// However many there are: as long as they become fewer.
    async fn finished(&self) {
        let sql = format!("SELECT count(*) FROM {}.job", self.schema);
        let (mut least, mut patience) = (i64::MAX, Instant::now() + PATIENCE);
        loop {
            match count(&self.client, &sql).await {
                0 => return,
                left if left < least => (least, patience) = (left, Instant::now() + PATIENCE),
                left => assert!(Instant::now() < patience, "{left} events are left"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each acked event is there once, and is done or dead as its handler would have it.
    async fn ended_once(&self, acked: &BTreeSet<String>) {
        let sql = format!("SELECT resource_id, state FROM {}.event", self.schema);
        let mut found: BTreeMap<String, i16> = BTreeMap::new();
        for row in self.client.query(&sql, &[]).await.unwrap() {
            let twice = found.insert(row.get(0), row.get(1));
            assert!(twice.is_none(), "{row:?} is kept twice");
        }
        for id in acked {
            let state = found
                .get(id)
                .unwrap_or_else(|| panic!("{id} was acked and is lost"));
            match id.starts_with("fail") {
                true => assert_eq!(*state, 2, "{id}"),
                // Of one whose process died each time the attempts can be used up.
                false => assert!(*state == 1 || *state == 2, "{id} is {state}"),
            }
        }
    }
}

fn lane(run: &Run) -> Option<char> {
    run.id.chars().last()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_processes_that_die_had_is_handled_by_others_and_no_lane_overlaps() {
    let kills = rounds("POSTGRES_KILLS", 15);
    let lease = Duration::from_secs(2);
    let field = Field::new().await;
    let mut workers: Vec<_> = (0..3)
        .map(|_| Process::start("worker", &field.schema, lease))
        .collect();
    let mut ingresses: Vec<_> = (0..2)
        .map(|_| Process::start("ingress", &field.schema, lease))
        .collect();
    let mut acked = BTreeSet::new();
    let mut died: BTreeMap<i32, SystemTime> = BTreeMap::new();
    let mut number = 0;
    let seed = rounds("POSTGRES_SEED", 7);
    let mut random = seed;
    for _ in 0..kills {
        for _ in 0..40 {
            // Of an odd period, so that each kind comes to each lane.
            let kind = match number % 41 {
                7 => "kill",
                17 => "hang",
                27 => "fail",
                n if n % 4 == 0 => "slow",
                _ => "ok",
            };
            ingresses[number % 2].keep(&format!("{kind}-{number}"));
            number += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let victim = (random >> 33) % 5;
        let (all, at, role) = match victim {
            0..3 => (&mut workers, victim, "worker"),
            _ => (&mut ingresses, victim - 3, "ingress"),
        };
        died.insert(all[at].pid(), field.now().await);
        all[at].signal("KILL");
        all[at].child.wait().unwrap();
        acked.extend(all[at].lines.try_iter().filter(|line| line != "ready"));
        all[at] = Process::start(role, &field.schema, lease);
        // Those that ended by an event of theirs.
        for worker in &mut workers {
            if worker.child.try_wait().unwrap().is_some() {
                died.entry(worker.pid()).or_insert(SystemTime::UNIX_EPOCH);
                *worker = Process::start("worker", &field.schema, lease);
            }
        }
    }
    // What is under way is told once it is kept.
    let stay = tokio::time::sleep(Duration::from_secs(1));
    stay.await;
    let finishing = field.finished();
    tokio::pin!(finishing);
    loop {
        tokio::select! {
            () = &mut finishing => break,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        for worker in &mut workers {
            if worker.child.try_wait().unwrap().is_some() {
                died.entry(worker.pid()).or_insert(SystemTime::UNIX_EPOCH);
                *worker = Process::start("worker", &field.schema, lease);
            }
        }
    }
    for ingress in &ingresses {
        acked.extend(ingress.lines.try_iter());
    }
    field.ended_once(&acked).await;

    let runs = field.runs().await;
    let mut by_event: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &runs {
        by_event.entry(&run.id).or_default().push(run);
    }
    let mut again = 0;
    for (id, runs) in &by_event {
        for pair in runs.windows(2) {
            let [before, after] = pair else { continue };
            assert!(after.attempt > before.attempt, "{id} goes back: {runs:?}");
            let fails = id.starts_with("fail") || id.starts_with("hang");
            let died = died.contains_key(&before.pid);
            assert!(
                fails || died,
                "{id} runs again, and its process lives: {runs:?}"
            );
            again += 1;
        }
    }
    for mut of_lane in lanes(&runs).into_values() {
        of_lane.sort_by_key(|run| run.began);
        for pair in of_lane.windows(2) {
            let [before, after] = pair else { continue };
            // Of one that did not come to its end, its process died, or its two seconds were over,
            // which are counted from a moment before it could say that it began.
            let died = died.get(&before.pid).copied();
            let is_over = before.id.starts_with("hang");
            let is_over = is_over.then(|| before.began + Duration::from_secs(1));
            let end = before.ended.or(died.into_iter().chain(is_over).min());
            assert!(
                end.is_none_or(|end| end <= after.began),
                "a lane overlaps: {pair:?}"
            );
        }
    }
    println!(
        "{kills} kills, seed {seed}: {} of {number} events acked, {} runs, {again} of them again",
        acked.len(),
        runs.len()
    );
}

fn lanes(runs: &[Run]) -> BTreeMap<Option<char>, Vec<&Run>> {
    let mut lanes: BTreeMap<_, Vec<&Run>> = BTreeMap::new();
    for run in runs {
        lanes.entry(lane(run)).or_default().push(run);
    }
    lanes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_paused_starts_nothing_before_it_owns_again() {
    let pauses = rounds("POSTGRES_PAUSES", 8);
    let lease = Duration::from_millis(1500);
    let field = Field::new().await;
    let workers: Vec<_> = (0..2)
        .map(|_| Process::start("worker", &field.schema, lease))
        .collect();
    let mut ingress = Process::start("ingress", &field.schema, lease);
    let mut stops: Vec<(i32, SystemTime)> = Vec::new();
    let mut number = 0;
    for round in 0..pauses {
        let paused = &workers[round % 2];
        for step in 0..60 {
            if step == 15 {
                paused.signal("STOP");
                stops.push((paused.pid(), field.now().await));
            }
            ingress.keep(&format!("slow-{number}"));
            number += 1;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        paused.signal("CONT");
    }
    let acked = || ingress.lines.try_iter();
    let mut all: BTreeSet<String> = BTreeSet::new();
    let patience = Instant::now() + PATIENCE;
    while all.len() < number {
        assert!(
            Instant::now() < patience,
            "{} of {number} are acked",
            all.len()
        );
        all.extend(acked());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    field.finished().await;
    field.ended_once(&all).await;
    let runs = field.runs().await;
    let mut overlaps = 0;
    for mut of_lane in lanes(&runs).into_values() {
        of_lane.sort_by_key(|run| run.began);
        for (at, run) in of_lane.iter().enumerate() {
            // One that was dropped at its await has no end: it ran at most its 200 ms of its
            // process's time.
            let Some(end) = run.ended else { continue };
            for later in &of_lane[at + 1..] {
                if later.began >= end {
                    break;
                }
                let ran_when_stopped = |run: &Run| {
                    stops.iter().any(|(pid, at)| {
                        *pid == run.pid && run.began <= *at && run.ended.is_none_or(|end| end > *at)
                    })
                };
                assert!(
                    ran_when_stopped(run),
                    "it began after its pause: {run:?} {later:?}"
                );
                overlaps += 1;
            }
        }
    }
    println!(
        "{pauses} pauses: {} runs of {number} events, {overlaps} overlaps",
        runs.len()
    );
}
