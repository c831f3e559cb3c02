//! An event that kills the process.

use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use serde::Deserialize;
use support::{Wire, call_hangup, on_the_wire, within};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use voipbin_receiver::inbox::{
    AttemptEnd, DiskInbox, Inbox, RecordFilter, RecordState, Records, Stage,
};

#[derive(Deserialize)]
struct ProgramLine {
    id: String,
    attempt: u32,
}

/// How many processes one event kills.
const DEATHS: usize = 3;

/// See `programs/poison-event.rs`: one event kills it, and on its first run that waits until 20
/// others hang.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kills_the_process_is_a_dead_letter_after_its_attempts_and_no_other_is() {
    within(poisoned()).await;
}

async fn poisoned() {
    let directory = tempfile::tempdir().unwrap();
    let beside: Vec<String> = (0..20).map(|number| format!("beside-{number}")).collect();
    let mut first = beside.clone();
    first.insert(10, "poison-0".into());
    let mut expected: HashSet<String> = beside.into_iter().collect();
    // By which process last.
    let mut handled = HashMap::<String, usize>::new();

    for process in 0..=DEATHS {
        let mut child = Command::new(env!("CARGO_BIN_EXE_poison-event"))
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
            let ProgramLine { id, attempt } = serde_json::from_str(&line).unwrap();
            // Those beside it were cut short once, with the first one or by bad luck.
            assert!(attempt <= 2, "{id} was cut short {} times", attempt - 1);
            handled.insert(id, process);
        }
        drop(child.stdin.take());
        let status = child.wait().await.unwrap();
        let signal = dies.then_some(6);
        assert_eq!((status.signal(), status.success()), (signal, !dies));
    }

    let inbox = DiskInbox::open(directory.path()).await.unwrap();
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
            // A process that dies has not stored the end of all that it handled, and the last one
            // may be stopped before it has begun those anew. What it has begun, it has ended.
            Some(RecordState::Pending) if *by < DEATHS => {}
            state => panic!("{event}, handled by process {by}, is {state:?}"),
        }
    }
}
