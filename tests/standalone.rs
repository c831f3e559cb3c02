//! The standalone example, as a newcomer and as a service manager meet it.
//!
//! Needs `sh` and `curl`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "this is test code"
)]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{PATH, SECRET, call_hangup, within};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use voipbin_receiver::testing::{Report, Sender, Signer, connect};

/// The example, built from the sources as they are.
fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = std::process::Command::new(cargo);
        // With the features of a build of everything, so that such a build has done the work.
        build.args([
            "build",
            "--workspace",
            "--all-features",
            "--example=standalone",
        ]);
        build.arg("--message-format=json-render-diagnostics");
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit());
        let output = build.output().unwrap();
        assert!(output.status.success(), "the example cannot be built");
        let messages = output.stdout.split(|byte| *byte == b'\n');
        messages
            .filter_map(|message| serde_json::from_slice::<Value>(message).ok())
            .filter(|message| message["target"]["name"] == "standalone")
            .find_map(|message| Some(message["executable"].as_str()?.into()))
            .unwrap()
    });
    &PROGRAM
}

/// With an environment of its own: whatever the tests run in does not matter.
fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A server that has said that it listens.
struct Server {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    url: String,
    address: SocketAddr,
}

/// Everything that a process writes, read as it comes so that it never waits for a reader.
struct Lines(mpsc::UnboundedReceiver<String>);

impl Lines {
    fn of(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send(line);
            }
        });
        Self(receiver)
    }

    async fn next(&mut self) -> String {
        self.0.recv().await.expect("it has ended")
    }

    async fn rest(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.0.recv().await {
            rest.push(line);
        }
        rest
    }
}

/// How a server ended, and what it wrote that nobody had read.
struct End {
    status: ExitStatus,
    stdout: Vec<String>,
    stderr: Vec<String>,
}

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

impl Server {
    /// Starts it on a free port.
    async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments: Vec<_> = ANY_PORT.iter().chain(arguments).copied().collect();
        Self::from(command(&arguments, environment)).await
    }

    async fn from(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let mut stderr = Lines::of(child.stderr.take().unwrap());
        let url = loop {
            let line = stderr.next().await;
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        let address = url["http://".len()..]
            .split('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        Self {
            child,
            stdout,
            stderr,
            url,
            address,
        }
    }

    /// The command that the greeting shows, exactly as it stands there.
    async fn printed_command(&mut self) -> String {
        let mut command = String::new();
        loop {
            let line = self.stderr.next().await;
            if line.is_empty() && !command.is_empty() {
                return command;
            }
            if line.starts_with("curl ") || !command.is_empty() {
                command.push_str(&line);
                command.push('\n');
            }
        }
    }

    fn sender(&self, secret: &str) -> Sender<voipbin_receiver::testing::Transport> {
        Sender::new(connect(self.address), Signer::new(secret)).uri(self.url.parse().unwrap())
    }

    async fn send(&self, secret: &str, body: &str) -> Report {
        self.sender(secret).send(body.to_owned()).await
    }

    async fn send_unsigned(&self, body: &str) -> Report {
        let sender = Sender::unsigned(connect(self.address)).uri(self.url.parse().unwrap());
        sender.send(body.to_owned()).await
    }

    /// The next line on standard output.
    async fn event(&mut self) -> Value {
        serde_json::from_str(&self.stdout.next().await).unwrap()
    }

    async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id().unwrap());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    async fn stop(self) -> End {
        self.stop_with("TERM").await
    }

    async fn stop_with(mut self, signal: &str) -> End {
        self.signal(signal).await;
        let status = self.child.wait().await.unwrap();
        End {
            status,
            stdout: self.stdout.rest().await,
            stderr: self.stderr.rest().await,
        }
    }
}

/// Runs it to its end without a signal; exit code and standard error. It prints nothing else.
async fn refuses(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = command(arguments, environment).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty());
    assert!(said.len() > 30 && said.contains(' '), "no sentence: {said}");
    said
}

/// What a person sees who pastes a command into a terminal.
async fn paste(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert_ne!(
        output.status.code(),
        Some(127),
        "this test needs curl; `.ci/test` installs it"
    );
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_printed_curl_command_shows_one_event_and_its_copy_is_a_duplicate() {
    within(async {
        let mut server = Server::start(&[], &[]).await;
        assert_eq!(server.url, format!("http://{}{PATH}", server.address));
        let curl = server.printed_command().await;
        assert_eq!(paste(&curl).await, r#"{"status":"received"}"#);

        let event = server.event().await;
        assert_eq!(event["event"], "call_hangup");
        assert_eq!(event["resource_id"], "5371e9db-d035-4db6-a8d6-0994d33e744e");
        assert_eq!(event["attempt"], 1);
        let identity = event["identity"].as_str().unwrap();
        assert!(identity.len() == 32 && identity.bytes().all(|byte| byte.is_ascii_hexdigit()));

        assert_eq!(paste(&curl).await, r#"{"status":"duplicate"}"#);
        let forged = curl.replace("normal", "busied");
        assert!(paste(&forged).await.contains("signature_mismatch"));
        let end = server.stop().await;
        assert_eq!(end.stdout, [""; 0]);
        assert!(end.status.success());
    })
    .await;
}

#[tokio::test]
async fn the_printed_curl_command_works_without_a_signature_where_anybody_may_send() {
    within(async {
        let mut server = Server::start(&["--allow-unsigned"], &[]).await;
        let curl = server.printed_command().await;
        assert!(!curl.to_lowercase().contains("signature"));
        assert_eq!(paste(&curl).await, r#"{"status":"received"}"#);
        assert_eq!(server.event().await["event"], "call_hangup");
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn the_unsigned_event_of_the_tutorial_is_shown_under_the_name_it_came_with() {
    within(async {
        let body = r#"{"type":"call_hungup","data":{"id":"test-call-id","hangup_reason":"normal","source":{"type":"tel","target":"+15551234567"},"destination":{"type":"tel","target":"+15559876543"}}}"#;
        let mut server = Server::start(&["--allow-unsigned"], &[]).await;
        assert_eq!(server.send_unsigned(body).await.body(), r#"{"status":"received"}"#);
        let event = server.event().await;
        assert_eq!(event["event"], "call_hungup");
        assert_eq!(event["resource_id"], "test-call-id");
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn a_custom_delivery_and_an_unknown_type_are_shown_as_well() {
    within(async {
        let mut server = Server::start(&["--secret", SECRET], &[]).await;
        assert!(server.send(SECRET, "[1,2]").await.delivered().is_some());
        let event = server.event().await;
        assert_eq!(
            (&event["event"], &event["resource_id"]),
            (&Value::Null, &Value::Null)
        );
        assert!(
            server
                .send(SECRET, r#"{"type":"brand_new","data":{}}"#)
                .await
                .delivered()
                .is_some()
        );
        assert_eq!(server.event().await["event"], "brand_new");
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_and_sigterm_drain_what_was_received_and_end_well() {
    within(async {
        for signal in ["INT", "TERM"] {
            let server = Server::start(&["--secret", SECRET], &[]).await;
            let sender = server.sender(SECRET);
            let sent = join_all((0..100).map(|id| sender.send(call_hangup(id)))).await;
            assert!(sent.iter().all(|report| report.delivered().is_some()));
            // Its connections are still open.
            let end = server.stop_with(signal).await;
            assert_eq!(end.status.code(), Some(0), "{signal}: {:?}", end.stderr);
            let identities: HashSet<String> = end
                .stdout
                .iter()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["identity"].to_string())
                .collect();
            assert_eq!((end.stdout.len(), identities.len()), (100, 100), "{signal}");
            drop(sender);
        }
    })
    .await;
}

#[tokio::test]
async fn a_signal_right_behind_the_greeting_is_not_too_early() {
    within(async {
        for _ in 0..20 {
            let end = Server::start(&["--secret", SECRET], &[]).await.stop().await;
            assert_eq!(end.status.code(), Some(0));
        }
    })
    .await;
}

#[tokio::test]
async fn quiet_prints_no_line() {
    within(async {
        let server = Server::start(&["--secret", SECRET, "--quiet"], &[]).await;
        assert_eq!(
            server.send(SECRET, &call_hangup(1)).await.body(),
            r#"{"status":"received"}"#
        );
        let end = server.stop().await;
        assert_eq!(end.stdout, [""; 0]);
        assert_eq!(end.status.code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn each_of_several_secrets_is_accepted_and_no_other() {
    within(async {
        let flags = ["--secret", "old-secret", "--secret", "new-secret"];
        for (arguments, environment) in [
            (&flags[..], &[][..]),
            (&[], &[("VOIPBIN_SECRET", "old-secret,new-secret")]),
        ] {
            let server = Server::start(arguments, environment).await;
            for secret in ["old-secret", "new-secret"] {
                assert_eq!(
                    server
                        .send(secret, &call_hangup(secret))
                        .await
                        .status()
                        .unwrap(),
                    200
                );
            }
            assert_eq!(
                server
                    .send("another", &call_hangup(3))
                    .await
                    .status()
                    .unwrap(),
                401
            );
            assert_eq!(
                server
                    .send_unsigned(&call_hangup(4))
                    .await
                    .status()
                    .unwrap(),
                401
            );
            assert_eq!(server.stop().await.stdout.len(), 2);
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_signature_is_refused_where_a_missing_one_is_allowed() {
    within(async {
        let server = Server::start(&["--secret", SECRET, "--allow-unsigned"], &[]).await;
        assert_eq!(
            server
                .send_unsigned(&call_hangup(1))
                .await
                .status()
                .unwrap(),
            200
        );
        assert_eq!(
            server
                .send("another", &call_hangup(2))
                .await
                .status()
                .unwrap(),
            401
        );
        assert_eq!(server.stop().await.stdout.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn every_option_can_be_given_by_its_variable() {
    within(async {
        let server = Server::from(command(
            &[],
            &[
                ("VOIPBIN_LISTEN", "127.0.0.1:0"),
                ("VOIPBIN_PATH", "/elsewhere"),
                ("VOIPBIN_SECRET", SECRET),
                ("VOIPBIN_ALLOW_UNSIGNED", "true"),
                ("VOIPBIN_INBOX", "memory"),
                ("VOIPBIN_QUIET", "true"),
            ],
        ))
        .await;
        assert_eq!(server.url, format!("http://{}/elsewhere", server.address));
        assert_eq!(
            server.send(SECRET, &call_hangup(1)).await.status().unwrap(),
            200
        );
        assert_eq!(
            server
                .send_unsigned(&call_hangup(2))
                .await
                .status()
                .unwrap(),
            200
        );
        let elsewhere = Sender::unsigned(connect(server.address))
            .send(call_hangup(3))
            .await;
        assert_eq!(elsewhere.status().unwrap(), 404);
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn an_option_wins_over_its_variable() {
    within(async {
        let environment = [
            ("VOIPBIN_PATH", "/variable"),
            ("VOIPBIN_SECRET", "of-the-variable"),
        ];
        let server = Server::start(&["--path", "/option", "--secret", SECRET], &environment).await;
        assert!(server.url.ends_with("/option"));
        assert_eq!(
            server.send(SECRET, &call_hangup(1)).await.status().unwrap(),
            200
        );
        assert_eq!(
            server
                .send("of-the-variable", &call_hangup(2))
                .await
                .status()
                .unwrap(),
            401
        );
    })
    .await;
}

#[tokio::test]
async fn the_variable_of_a_switch_is_read_as_people_write_it() {
    within(async {
        let secret = ("VOIPBIN_SECRET", SECRET);
        for (value, on) in [
            ("true", true),
            ("1", true),
            ("TRUE", true),
            ("yes", true),
            ("on", true),
            ("false", false),
            ("0", false),
            ("", false),
            ("no", false),
            ("off", false),
        ] {
            let server = Server::start(&[], &[secret, ("VOIPBIN_ALLOW_UNSIGNED", value)]).await;
            let status = server
                .send_unsigned(&call_hangup(1))
                .await
                .status()
                .unwrap();
            assert_eq!(
                status,
                if on { 200 } else { 401 },
                "VOIPBIN_ALLOW_UNSIGNED={value}"
            );

            let server = Server::start(&[], &[secret, ("VOIPBIN_QUIET", value)]).await;
            assert_eq!(
                server.send(SECRET, &call_hangup(1)).await.status().unwrap(),
                200
            );
            let lines = server.stop().await.stdout.len();
            assert_eq!(lines, if on { 0 } else { 1 }, "VOIPBIN_QUIET={value}");
        }
        for variable in ["VOIPBIN_ALLOW_UNSIGNED", "VOIPBIN_QUIET"] {
            assert!(
                refuses(&[], &[secret, (variable, "nope")])
                    .await
                    .contains("true or false")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_missing_secret_is_an_error_where_others_can_connect() {
    within(async {
        for address in ["0.0.0.0:0", "[::]:0"] {
            let said = refuses(&["--listen", address], &[]).await;
            assert!(said.contains("VOIPBIN_SECRET") && said.contains("--allow-unsigned"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_was_cut_or_copied_badly_is_an_error_that_does_not_show_it() {
    within(async {
        for secret in [
            "",
            " ",
            "Pa55-word ",
            " Pa55-word",
            "Pa55-word\n",
            "Pa55-word,",
            "Pa55-word, x",
        ] {
            let flag = refuses(&["--listen", "127.0.0.1:0", "--secret", secret], &[]).await;
            let variable = [
                ("VOIPBIN_LISTEN", "127.0.0.1:0"),
                ("VOIPBIN_SECRET", secret),
            ];
            for said in [flag, refuses(&[], &variable).await] {
                assert!(said.contains("secret"), "{said}");
                assert!(!said.contains("Pa55-word"), "{said}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn options_that_make_no_sense_are_refused() {
    within(async {
        for arguments in [
            ["--inbox", "granite"],
            ["--listen", "localhost"],
            ["--path", "no-slash"],
            ["--path", "/with?query"],
            ["--path", "/with#fragment"],
            ["--unknown", "option"],
        ] {
            refuses(&arguments, &[]).await;
        }
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        assert!(
            refuses(&["--listen", &address], &[])
                .await
                .contains(&address)
        );
    })
    .await;
}

#[tokio::test]
async fn help_names_every_option_and_its_variable_and_never_a_secret() {
    within(async {
        for help in ["--help", "-h"] {
            let environment = [("VOIPBIN_SECRET", "Pa55-word")];
            let output = command(&[help], &environment).output().await.unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            for name in [
                "listen",
                "path",
                "secret",
                "allow-unsigned",
                "inbox",
                "quiet",
            ] {
                assert!(text.contains(&format!("--{name}")), "{help}: {name}");
                let variable = format!("VOIPBIN_{}", name.to_uppercase().replace('-', "_"));
                assert!(text.contains(&variable), "{help}: {variable}");
            }
            assert!(!text.contains("Pa55-word"));
        }
    })
    .await;
}

#[tokio::test]
async fn neither_the_secret_nor_what_it_signs_is_ever_logged() {
    const ID: &str = "7c1c1f8e-5b7f-4d0c-8d55-7a4b6b0e9a02";
    within(async {
        let trace = ("RUST_LOG", "trace");
        for (arguments, environment) in [
            (&["--secret", SECRET][..], &[trace][..]),
            (&[], &[trace, ("VOIPBIN_SECRET", SECRET)]),
        ] {
            let server = Server::start(arguments, environment).await;
            let body = json!({
                "type": "message_created",
                "data": { "id": ID, "text": "Meet me", "source": { "target": "+15551234567" } },
            })
            .to_string();
            assert_eq!(server.send(SECRET, &body).await.status().unwrap(), 200);
            assert_eq!(server.send(SECRET, &body).await.status().unwrap(), 200);
            assert_eq!(server.send(SECRET, "Meet me").await.status().unwrap(), 400);
            assert_eq!(server.send("another", &body).await.status().unwrap(), 401);
            assert_eq!(server.send_unsigned(&body).await.status().unwrap(), 401);
            let end = server.stop().await;
            let logs = end.stderr.join("\n");
            assert!(
                logs.contains("message_created") && logs.contains(ID),
                "nothing is logged"
            );
            let signature = Signer::new(SECRET)
                .sign(body.as_bytes())
                .replace("sha256=", "");
            let forged = Signer::new("another")
                .sign(body.as_bytes())
                .replace("sha256=", "");
            for private in [SECRET, &signature, &forged, "Meet me", "+15551234567"] {
                assert!(!logs.contains(private), "{private} in {logs}");
                assert!(!end.stdout.join("\n").contains(private), "{private}");
            }
        }
    })
    .await;
}

/// A pause would come with a retry, and there is none.
#[tokio::test]
async fn a_delivery_to_a_server_that_has_stopped_is_not_answered() {
    within(async {
        let server = Server::start(&["--secret", SECRET], &[]).await;
        let sender = server.sender(SECRET).pause(Duration::ZERO);
        assert!(sender.send(call_hangup(1)).await.delivered().is_some());
        server.stop().await;
        assert!(sender.send(call_hangup(2)).await.answer().is_none());
    })
    .await;
}
