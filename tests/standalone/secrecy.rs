//! What the commands show nobody: not other users of the machine, not who reads the log.

use support::platform::{ACCESS_KEY, LOGIN, Platform, TOKENS};
use support::standalone::{command, within};
use support::{SECRET, call_hangup};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::trigger::endpoint;

const HOOK: &str = "https://hooks.example.com/voipbin/webhook";
/// What only a body has.
const NUMBER: &str = "+15550199";

#[tokio::test]
async fn no_credential_secret_or_body_is_in_arguments_logs_or_errors() {
    within(async {
        let stand_in = Platform::start().await;
        let (url, mut requests) = endpoint(http::StatusCode::OK).await;
        let directory = tempfile::tempdir().unwrap();
        let body = call_hangup("c-1").replace("normal", NUMBER);
        for (file, text) in [
            ("body.json", &*body),
            ("secret", SECRET),
            ("key", ACCESS_KEY),
        ] {
            std::fs::write(directory.path().join(file), text).unwrap();
        }
        let closed = "http://127.0.0.1:1/hook";
        let nowhere = "http://127.0.0.1:1";
        let commands: [(&[&str], i32); 16] = [
            (&["webhook", "show"], 0),
            (&["webhook", "show", "--credential-file", "key"], 0),
            (&["webhook", "show", "--save-secret", "saved"], 0),
            (&["webhook", "set", HOOK, "--no-probe"], 0),
            (&["webhook", "set", &url, "--allow-private"], 0),
            (&["webhook", "undo"], 0),
            (&["webhook", "off", "--json"], 0),
            (&["webhook", "list"], 0),
            (&["webhook", "create", "--uri", HOOK], 3),
            (&["webhook", "delete", "5e4a0680", "--yes"], 0),
            (&["webhook", "show", "--api", nowhere], 1),
            (&["catch-up", "--since", "1h", "--dry-run"], 0),
            (&["catch-up", "--since", "1h", "--api", nowhere], 1),
            (&["trigger", "--file", "body.json", "--to", &url], 0),
            (
                &[
                    "trigger",
                    "--file",
                    "body.json",
                    "--secret-file",
                    "secret",
                    "--to",
                    &url,
                ],
                0,
            ),
            (&["trigger", "--file", "body.json", "--to", closed], 1),
        ];
        let api = stand_in.url();
        let environment = [
            ("VOIPBIN_API", &*api),
            ("VOIPBIN_ACCESS_KEY", ACCESS_KEY),
            ("VOIPBIN_SECRET", SECRET),
            ("RUST_LOG", "trace"),
        ];
        for (arguments, code) in commands {
            let child = command(directory.path(), arguments, &environment)
                .spawn()
                .unwrap();
            let shown = arguments_of(&child);
            let output = child.wait_with_output().await.unwrap();
            let printed = [output.stdout, output.stderr].concat();
            let printed = String::from_utf8(printed).unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
            assert_hidden(&shown);
            assert_hidden(&printed);
        }

        // What listens goes on until it is ended.
        let arguments = ["listen", "call_hangup", "--forward", &url];
        let mut child = command(directory.path(), &arguments, &environment)
            .spawn()
            .unwrap();
        let shown = arguments_of(&child);
        assert!(shown.contains("--forward"));
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut printed = String::new();
        while !printed.contains("listening") {
            printed += &lines.next_line().await.unwrap().unwrap();
        }
        while requests.try_recv().is_ok() {}
        stand_in.publish(&body);
        assert_eq!(requests.recv().await.unwrap().body(), body.as_bytes());
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut printed).await.unwrap();
        assert!(printed.contains("c-1"), "{printed}");
        child.kill().await.unwrap();
        stdout.read_to_string(&mut printed).await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            printed += &line;
        }
        assert_hidden(&shown);
        assert_hidden(&printed);
    })
    .await;
}

/// What every user of the machine sees of a process; nothing once it has ended.
fn arguments_of(child: &tokio::process::Child) -> String {
    let directory = format!("/proc/{}", child.id().unwrap());
    loop {
        let arguments = std::fs::read(format!("{directory}/cmdline")).unwrap();
        let stat = std::fs::read_to_string(format!("{directory}/stat")).unwrap();
        // It has none for a moment at the beginning, and when it is a zombie.
        if !arguments.is_empty() || stat.contains(") Z ") {
            return String::from_utf8_lossy(&arguments).replace('\0', " ");
        }
    }
}

#[track_caller]
fn assert_hidden(text: &str) {
    for hidden in [
        ACCESS_KEY,
        SECRET,
        TOKENS[0].0,
        LOGIN.1,
        NUMBER,
        "owner@example.com",
    ] {
        assert!(!text.contains(hidden), "{hidden} is in {text}");
    }
}
