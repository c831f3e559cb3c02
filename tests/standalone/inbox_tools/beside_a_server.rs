//! While a server has the inbox.

use std::fs::metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::standalone::{Finished, Server, command, run, within};
use support::{SECRET, call_hangup};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;
use voipbin_receiver::inbox::DiskInbox;

use crate::inbox_tools::seed::{CREDENTIAL, DEAD, DEAD_CREDENTIAL, InboxDir, ODD, PHONE};

fn mode(path: &Path) -> u32 {
    metadata(path).unwrap().permissions().mode() & 0o777
}

/// A server on this place that has handled what was pending there.
async fn server(place: &InboxDir) -> Server {
    let mut server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
    for _ in 0..2 {
        server.event().await;
    }
    // The lines come first, and then what became of them.
    while !place.ids(&["--state", "pending"]).await.is_empty() {}
    server
}

#[tokio::test]
async fn nobody_else_can_reach_the_inbox() {
    within(async {
        let place = InboxDir::empty();
        let _server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        assert_eq!(mode(&place.inbox()), 0o700);
        let mut files = 0;
        for file in std::fs::read_dir(place.inbox()).unwrap() {
            let path = file.unwrap().path();
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
        // inbox.db with its log, the lock, the requests of tools, that there is an inbox, a
        // take-over's door.
        assert_eq!(files, 7);
    })
    .await;
}

#[tokio::test]
async fn the_tools_print_the_same_as_without_a_server() {
    within(async {
        let place = InboxDir::seeded().await;
        let server = server(&place).await;
        let tools = [
            &["list"][..],
            &["list", "--json", "--limit", "2"],
            &["list", "--state", "dead", "--handler", "event"],
            &["show", "3"],
            &["show", "3", "--json", "--body"],
            &["show", "99"],
            &["export"],
            &["replay", "--state", "dead", "--dry-run"],
            &["discard", "3", "99", "--dry-run"],
            &["purge", "--dead", "--dry-run"],
        ];
        let mut beside = Vec::new();
        for tool in tools {
            beside.push(place.run(tool).await);
        }
        assert!(
            beside[6]
                .stdout
                .contains(&serde_json::to_string(ODD).unwrap())
        );
        for private in [PHONE, CREDENTIAL] {
            assert!(!beside[0].stdout.contains(private));
        }
        assert!(server.stop().await.status.success());
        for (tool, beside) in tools.iter().zip(beside) {
            let Finished {
                code,
                stdout,
                stderr,
            } = place.run(tool).await;
            assert_eq!((code, stdout), (beside.code, beside.stdout), "{tool:?}");
            assert_eq!(stderr, beside.stderr, "{tool:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_replayed_is_handled_at_once_and_its_line_names_the_original() {
    within(async {
        let place = InboxDir::seeded().await;
        let mut server = server(&place).await;
        let ran = place
            .run(&["replay", "--state", "dead", "--event", "call_hangup"])
            .await;
        assert_eq!((ran.code, ran.ids().len()), (0, 1), "{ran:?}");
        assert!(!ran.stderr.contains("when the server starts"));
        let event = server.event().await;
        assert_eq!(
            (&event["event"], &event["replay_of"]),
            (&"call_hangup".into(), &DEAD.into())
        );

        assert!(
            server
                .send(SECRET, &call_hangup("new"))
                .await
                .delivered()
                .is_some()
        );
        let event = server.event().await;
        assert!(event.as_object().unwrap().contains_key("replay_of"));
        assert_eq!(
            (&event["resource_id"], &event["replay_of"]),
            (&"new".into(), &Value::Null)
        );
    })
    .await;
}

#[tokio::test]
async fn events_are_given_up_under_a_server() {
    within(async {
        let place = InboxDir::seeded().await;
        let _server = server(&place).await;
        assert_eq!(place.get(&["discard", "3"]).await, "1 event discarded\n");
        assert_eq!(place.get(&["purge"]).await, "3 events discarded\n");
        assert_eq!(place.ids(&[]).await, [4, 5]);
        assert_eq!(
            place.get(&["purge", "--dead"]).await,
            "2 events discarded\n"
        );
        assert_eq!(place.run(&["show", "3"]).await.code, 1);
    })
    .await;
}

#[tokio::test]
async fn a_second_server_is_told_which_process_has_the_directory() {
    within(async {
        let place = InboxDir::empty();
        let server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        let arguments = ["--listen", "127.0.0.1:0", "--secret", SECRET];
        let second = run(place.path(), &arguments, &[]).await;
        assert_eq!(second.code, 2);
        assert!(
            second.stderr.contains(&server.pid().to_string()),
            "{second:?}"
        );
        // The first one is none the worse for it.
        assert_eq!(place.ids(&[]).await, [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_server_waits_a_moment_for_a_tool_that_has_the_directory() {
    within(async {
        let place = InboxDir::empty();
        // What a tool does while it looks.
        let looking = DiskInbox::open(place.inbox()).await.unwrap();
        let arguments = ["--listen", "127.0.0.1:0", "--secret", SECRET];
        let mut server = command(place.path(), &arguments, &[]).spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(!line.starts_with("listening on "), "{line}");
            if line.contains("waiting for it") {
                break;
            }
        }
        drop(looking);
        let listens = |line: &str| line.starts_with("listening on ");
        while !listens(&lines.next_line().await.unwrap().unwrap()) {}
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_server_leaves_is_no_hindrance() {
    within(async {
        let place = InboxDir::empty();
        let server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        assert!(
            server
                .send(SECRET, &call_hangup(1))
                .await
                .delivered()
                .is_some()
        );
        server.stop_with("KILL").await;
        assert_eq!(place.ids(&[]).await, [1]);

        let _server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        assert_eq!(place.ids(&[]).await, [1]);
    })
    .await;
}

/// Each is stopped at another moment of its life, while it looks, asks or copies, and stays so.
#[tokio::test]
async fn tools_that_are_stopped_in_the_middle_hold_up_neither_events_nor_a_new_server() {
    const TOOLS: [&[&str]; 6] = [
        &["list", "--limit", "0"],
        &["export"],
        &["replay", "--state", "dead"],
        &["discard", "--resource", "nobody"],
        &["erase", "--resource", "nobody"],
        &["backup"],
    ];
    within(async {
        let place = InboxDir::with_many(300).await;
        let mut server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        let mut stopped = Vec::new();
        let mut slowest = Duration::ZERO;
        for round in 0..30 {
            let mut arguments = vec!["inbox"];
            arguments.extend(TOOLS[round % TOOLS.len()]);
            let copy = format!("copy-{round}");
            if arguments.ends_with(&["backup"]) {
                arguments.push(&copy);
            }
            let tool = command(place.path(), &arguments, &[]).spawn().unwrap();
            // Not for something to happen: at any moment.
            sleep(Duration::from_millis(fastrand::u64(2..40))).await;
            signal(&tool, "STOP").await;
            stopped.push(tool);
            let since = Instant::now();
            let sent = server.send(SECRET, &call_hangup(round)).await;
            assert!(sent.delivered().is_some(), "{arguments:?}");
            slowest = slowest.max(since.elapsed());
            if round % 10 == 9 {
                assert!(server.stop_with("KILL").await.status.code().is_none());
                server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
            }
        }
        println!("beside stopped tools the slowest of 30 events was answered after {slowest:?}");
        for tool in &stopped {
            signal(tool, "CONT").await;
        }
        for tool in stopped {
            let ran = tool.wait_with_output().await.unwrap();
            let said = String::from_utf8(ran.stderr).unwrap();
            assert!(ran.status.success() || said.contains("try again"), "{said}");
        }
        assert_eq!(
            place
                .ids(&["--event", "call_hangup", "--limit", "0"])
                .await
                .len(),
            30
        );
    })
    .await;
}

async fn signal(tool: &Child, name: &str) {
    // One that has ended is not there to be stopped.
    let Some(pid) = tool.id() else { return };
    let kill = format!("kill -{name} {pid} 2>&1");
    Command::new("sh")
        .args(["-c", &kill])
        .output()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_backup_and_an_erasure_under_a_server() {
    within(async {
        let place = InboxDir::seeded().await;
        let _server = server(&place).await;
        let ran = place.run(&["backup", "copy/inbox.db"]).await;
        assert_eq!(ran.code, 1, "there is no such directory: {ran:?}");
        std::fs::create_dir(place.path().join("copy")).unwrap();
        let ran = place.run(&["backup", "copy/inbox.db"]).await;
        assert_eq!((ran.code, &*ran.stdout), (0, ""), "{ran:?}");
        assert!(
            ran.stderr.contains("6 events are copied to copy/inbox.db"),
            "{ran:?}"
        );

        let dry = ["erase", "--number", "+1 555 123 4567", "--dry-run"];
        assert_eq!(place.get(&dry).await, "5 events would be erased\n");
        assert_eq!(place.get(&dry[..3]).await, "5 events erased\n");
        assert_eq!(place.ids(&[]).await, [DEAD_CREDENTIAL]);
        let number = PHONE.as_bytes();
        for file in std::fs::read_dir(place.inbox()).unwrap() {
            let file = file.unwrap();
            // The socket of a take-over holds nothing.
            if !file.file_type().unwrap().is_file() {
                continue;
            }
            let bytes = std::fs::read(file.path()).unwrap();
            assert!(!bytes.windows(number.len()).any(|bytes| bytes == number));
        }
        assert_eq!(
            place.get(&["erase", "--resource", CREDENTIAL]).await,
            "1 event erased\n"
        );

        // The copy has them still, and a server goes on with it.
        let copied = ["--directory", "copy"];
        assert_eq!(place.ids(&copied).await.len(), 6);
        let arguments = ["--secret", SECRET, "--directory", "copy"];
        let restored = Server::start_in(place.path(), &arguments, &[]).await;
        assert_eq!(
            place
                .ids(&[&copied[..], &["--state", "dead"]].concat())
                .await
                .len(),
            3
        );
        assert!(restored.stop().await.status.success());
    })
    .await;
}

#[tokio::test]
async fn a_server_with_an_inbox_in_memory_leaves_the_directory_alone() {
    within(async {
        let place = InboxDir::empty();
        let arguments = ["--secret", SECRET, "--inbox", "memory"];
        let _server = Server::start_in(place.path(), &arguments, &[]).await;
        assert!(!place.inbox().exists());
        assert_eq!(place.run(&["list"]).await.code, 1);
    })
    .await;
}
