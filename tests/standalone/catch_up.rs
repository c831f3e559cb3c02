//! `--catch-up` and `standalone catch-up`: what was sent while no server ran.

use std::path::Path;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use serde_json::{Value, json};
use support::SECRET;
use support::platform::{ACCESS_KEY, Platform};
use support::standalone::{Server, command, refuses, within};
use tokio::time::sleep;
use voipbin_receiver::event::Time;
use voipbin_receiver::inbox::{DiskRecords, RecordFilter, RecordState, Records};
use voipbin_receiver::testing::event;

fn now() -> String {
    Time::try_from(SystemTime::now()).unwrap().to_string()
}

struct Call<'a> {
    stand_in: &'a Platform,
    id: String,
    created: String,
}

impl<'a> Call<'a> {
    fn new(stand_in: &'a Platform, number: u32) -> Self {
        Self {
            stand_in,
            id: format!("00000000-0000-4000-8000-{number:012}"),
            created: now(),
        }
    }

    /// Something happens to it.
    fn has(&self, name: &'static str) -> String {
        let event = event(name)
            .id(&*self.id)
            .set("tm_create", &*self.created)
            .set("tm_update", now());
        let body = serde_json::to_string(&event).unwrap();
        self.stand_in.publish(&body);
        body
    }
}

async fn send(server: &Server, body: &str) {
    let report = server.send(SECRET, body).await;
    assert_eq!(report.answer().unwrap().status(), StatusCode::OK);
}

fn is_of(line: &Value, name: &str, call: &Call<'_>) -> bool {
    line["event"] == json!(name) && line["resource_id"] == json!(call.id)
}

/// What the tool prints.
async fn catch_up(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let arguments = [&["catch-up"], arguments].concat();
    let output = command(directory, &arguments, environment)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8([output.stderr, output.stdout].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[tokio::test]
async fn a_server_recovers_at_its_start_what_was_sent_while_none_ran() {
    within(async {
        let stand_in = Platform::start().await;
        let directory = tempfile::tempdir().unwrap();
        let url = stand_in.url();
        let environment = [
            ("VOIPBIN_API", &*url),
            ("VOIPBIN_ACCESS_KEY", ACCESS_KEY),
            ("VOIPBIN_SECRET", SECRET),
        ];
        let start = || Server::start_in(directory.path(), &["--catch-up"], &environment);
        let mut server = start().await;
        server.logged("the inbox is new").await;
        let (one, other) = (Call::new(&stand_in, 1), Call::new(&stand_in, 2));
        send(&server, &one.has("call_created")).await;
        assert!(is_of(&server.event().await, "call_created", &one));
        // What is not stored as done runs again.
        let records = DiskRecords::open(directory.path().join("voipbin-inbox")).unwrap();
        let done = RecordFilter::new().state(RecordState::Done);
        while records
            .list(&done, None, 1)
            .await
            .unwrap()
            .records
            .is_empty()
        {
            sleep(Duration::from_millis(5)).await;
        }
        server.stop_with("KILL").await;
        one.has("call_progressing");
        let said = catch_up(directory.path(), &["--dry-run"], &environment).await;
        assert!(
            said.starts_with("dry run: 1 events recovered, 1 were known"),
            "{said}"
        );

        let mut server = start().await;
        send(&server, &one.has("call_hangup")).await;
        for name in ["call_progressing", "call_hangup"] {
            assert!(is_of(&server.event().await, name, &one), "{name}");
        }
        server.logged("events were missed").await;
        let dry = ["--dry-run", "--since", "30m"];
        let said = catch_up(directory.path(), &dry, &environment).await;
        assert!(
            said.starts_with("dry run: 0 events recovered, 3 were known"),
            "{said}"
        );
        let end = server.stop().await;
        assert!(
            end.status.success() && end.stdout.is_empty(),
            "{:?}",
            end.stdout
        );

        // By hand, for a server that does not do it.
        other.has("call_created");
        let said = catch_up(directory.path(), &[], &environment).await;
        assert!(said.starts_with("1 events recovered"), "{said}");
        let said = catch_up(directory.path(), &["--since", "30m"], &environment).await;
        assert!(
            said.starts_with("0 events recovered, 4 were known"),
            "{said}"
        );
        let mut server = Server::start_in(directory.path(), &[], &environment).await;
        assert!(is_of(&server.event().await, "call_created", &other));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_caught_up_is_told_before_anything_is_asked() {
    within(async {
        let key = ("VOIPBIN_ACCESS_KEY", ACCESS_KEY);
        let secret = ("VOIPBIN_SECRET", SECRET);
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 5] = [
            (&["--catch-up"], &[secret], "no credential"),
            (
                &["--catch-up", "--inbox", "memory"],
                &[secret, key],
                "--inbox disk",
            ),
            (
                &["catch-up", "--inbox", "memory"],
                &[secret, key],
                "in memory",
            ),
            (&["catch-up"], &[key], "no secret"),
            (
                &["catch-up", "--since", "yesterday"],
                &[key],
                "an age such as",
            ),
        ];
        for (arguments, environment, part) in cases {
            let said = refuses(arguments, environment).await;
            assert!(said.contains(part), "{arguments:?}: {said}");
        }
    })
    .await;
}
