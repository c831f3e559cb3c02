//! While a server has the inbox.

use std::fs::metadata;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use serde_json::Value;
use support::standalone::{Server, command, within};
use support::{SECRET, call_hangup};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use voipbin_receiver::inbox::DiskInbox;

use crate::seed::{CREDENTIAL, DEAD, ODD, PHONE, Place, Ran};

fn mode(path: &Path) -> u32 {
    metadata(path).unwrap().permissions().mode() & 0o777
}

/// A server on this place that has handled what was pending there.
async fn server(place: &Place) -> Server {
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
        let place = Place::empty();
        let _server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        assert_eq!(mode(&place.inbox()), 0o700);
        for file in ["inbox.sock", "inbox.lock", "events.redb"] {
            assert_eq!(mode(&place.inbox().join(file)), 0o600, "{file}");
        }
        assert!(metadata(place.socket()).unwrap().file_type().is_socket());
    })
    .await;
}

#[tokio::test]
async fn the_tools_print_the_same_as_without_a_server() {
    within(async {
        let place = Place::seeded().await;
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
            let Ran {
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
        let place = Place::seeded().await;
        let mut server = server(&place).await;
        let ran = place
            .run(&["replay", "--state", "dead", "--event", "call_hangup"])
            .await;
        assert_eq!((ran.code, &*ran.stdout), (0, "7\n"));
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
        let place = Place::seeded().await;
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
        let place = Place::empty();
        let server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        let arguments = ["--listen", "127.0.0.1:0", "--secret", SECRET];
        let second = command(place.path(), &arguments, &[]).output().await;
        let second = Ran::of(second.unwrap());
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
        let place = Place::empty();
        // What a tool does while it looks.
        let looking = DiskInbox::open(place.inbox()).unwrap();
        let arguments = ["--listen", "127.0.0.1:0", "--secret", SECRET];
        let mut server = command(place.path(), &arguments, &[]).spawn().unwrap();
        let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let waits = lines.next_line().await.unwrap().unwrap();
        assert!(waits.contains("waiting a moment"), "{waits}");
        drop(looking);
        let listens = lines.next_line().await.unwrap().unwrap();
        assert!(listens.starts_with("listening on "), "{listens}");
    })
    .await;
}

#[tokio::test]
async fn the_socket_goes_with_the_server_and_what_a_killed_one_leaves_is_no_hindrance() {
    within(async {
        let place = Place::empty();
        for signal in ["TERM", "INT"] {
            let server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
            assert!(place.socket().exists());
            server.stop_with(signal).await;
            assert!(!place.socket().exists(), "{signal}");
        }
        let server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        assert!(
            server
                .send(SECRET, &call_hangup(1))
                .await
                .delivered()
                .is_some()
        );
        server.stop_with("KILL").await;
        assert!(place.socket().exists());
        assert_eq!(place.ids(&[]).await, [1]);

        let _server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        assert_eq!(mode(&place.socket()), 0o600);
        assert_eq!(place.ids(&[]).await, [1]);
    })
    .await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_costs_the_tools_and_not_the_server() {
    within(async {
        let place = Place::empty();
        let long = "d".repeat(120);
        let arguments = ["--secret", SECRET, "--directory", &long];
        let server = Server::start_in(place.path(), &arguments, &[]).await;
        assert!(
            server
                .send(SECRET, &call_hangup(1))
                .await
                .delivered()
                .is_some()
        );
        let ran = place.run(&["list", "--directory", &long]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains(&server.pid().to_string()), "{ran:?}");
        assert!(ran.stderr.contains("stop"), "{ran:?}");
        let end = server.stop().await;
        assert!(end.status.success());
        let list = place.get(&["list", "--json", "--directory", &long]).await;
        assert_eq!(list.lines().count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_with_an_inbox_in_memory_leaves_the_directory_alone() {
    within(async {
        let place = Place::empty();
        let arguments = ["--secret", SECRET, "--inbox", "memory"];
        let _server = Server::start_in(place.path(), &arguments, &[]).await;
        assert!(!place.inbox().exists());
        assert_eq!(place.run(&["list"]).await.code, 1);
    })
    .await;
}

/// Says something to the server; its first answer.
async fn say(place: &Place, said: &str) -> Value {
    let mut stream = UnixStream::connect(place.socket()).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

#[tokio::test]
async fn what_is_no_request_is_answered_and_one_of_another_version_told_so() {
    within(async {
        let place = Place::empty();
        let _server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        for said in [
            "\n",
            "granite\n",
            "{}\n",
            "{\"version\":1}\n",
            &"x".repeat(300_000),
        ] {
            let answer = say(&place, said).await;
            assert!(answer["failed"]["why"].is_string(), "{answer}");
        }
        let answer = say(&place, "{\"version\":99,\"ask\":\"dance\"}\n").await;
        let why = answer["failed"]["why"].as_str().unwrap();
        assert!(why.contains("version 99"), "{why}");
        assert_eq!(place.ids(&[]).await, [0; 0]);
    })
    .await;
}

#[tokio::test]
async fn tools_that_say_nothing_take_the_places_and_not_the_server() {
    within(async {
        let place = Place::empty();
        let server = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(UnixStream::connect(place.socket()).await.unwrap());
        }
        let ran = place.run(&["list"]).await;
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("try again"), "{ran:?}");
        assert!(
            server
                .send(SECRET, &call_hangup(1))
                .await
                .delivered()
                .is_some()
        );
        drop(silent);
        while place.run(&["list"]).await.code != 0 {}
        assert!(server.stop().await.status.success());
    })
    .await;
}
