//! A disk that is full for a while.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::standalone::program;
use support::{Wire, call_hangup, on_the_wire, within};
use tokio::process::Command;
use tokio::time::sleep;

use crate::crash::field::{Field, Seen};
use crate::crash::process::Process;

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
