//! The standalone example, as a newcomer and as a service manager meet it.
//!
//! Needs `sh` and `curl`.

use std::collections::HashSet;
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use support::standalone::{Server, command, paste, run, within};
use support::{PATH, SECRET, call_hangup, http_client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::testing::{Sender, Signer};
use voipbin_receiver::{Origin, Receiver, Registration, Role};

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
        server.logged("what an earlier run printed").await;
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
async fn a_probe_is_told_whether_the_server_lives_and_whether_events_are_taken() {
    within(async {
        let mut server = Server::start(&["--secret", SECRET], &[]).await;
        assert!(
            server
                .send(SECRET, &call_hangup(1))
                .await
                .delivered()
                .is_some()
        );
        server.event().await;
        for (path, expected) in [
            ("live", json!({"status": "live"})),
            (
                "ready",
                json!({"status": "ready", "problems": [], "warnings": []}),
            ),
        ] {
            let url = format!("http://{}/health/{path}", server.address);
            let told = paste(&format!("curl -sS --fail-with-body {url}")).await;
            assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), expected);
            paste(&format!("curl -sS --fail --head {url}")).await;
        }
        assert_eq!(server.stop().await.stdout, [""; 0]);
    })
    .await;
}

/// A container has no `curl`.
#[tokio::test]
async fn the_program_itself_asks_a_server_how_it_is() {
    within(async {
        let server = Server::start(&["--secret", SECRET], &[]).await;
        let place = tempfile::tempdir().unwrap();
        let address = server.address.to_string();
        let by_setting = (
            "VOIPBIN_LISTEN",
            &*format!("0.0.0.0:{}", server.address.port()),
        );
        let ready = run(place.path(), &["health"], &[by_setting]).await;
        assert_eq!((ready.code, &ready.json()["status"]), (0, &json!("ready")));
        let live = run(place.path(), &["health", "--live", &address], &[]).await;
        assert_eq!((live.code, &live.json()["status"]), (0, &json!("live")));
        server.stop().await;
        let gone = run(place.path(), &["health", &address], &[]).await;
        assert_eq!((gone.code, &*gone.stdout), (1, ""));
        assert!(gone.stderr.contains(&address), "{gone:?}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_ready_or_none_fails_the_check() {
    within(async {
        let place = tempfile::tempdir().unwrap();
        let unready = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 27\r\n\r\n{\"problems\":[\"inbox_full\"]}";
        for (answer, told) in [(unready, "inbox_full"), ("SSH-2.0-OpenSSH_9\r\n", "no server")] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let metrics = [("VOIPBIN_METRICS_LISTEN", &*address), ("VOIPBIN_LISTEN", "127.0.0.1:9")];
            let asked = run(place.path(), &["health"], &metrics);
            let answered = async {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                assert_ne!(client.read(&mut request).await.unwrap(), 0);
                client.write_all(answer.as_bytes()).await.unwrap();
            };
            let (asked, ()) = tokio::join!(asked, answered);
            assert_eq!((asked.code, &*asked.stdout), (1, ""));
            assert!(asked.stderr.contains(told), "{asked:?}");
        }
        let tls = [("VOIPBIN_TLS_CERT", "cert.pem"), ("VOIPBIN_TLS_KEY", "key.pem")];
        let asked = run(place.path(), &["health"], &tls).await;
        assert_eq!(asked.code, 1);
        assert!(asked.stderr.contains("metrics_listen"), "{asked:?}");
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
            let place = tempfile::tempdir().unwrap();
            let printed = stopped_behind_a_hundred(place.path(), "memory", signal).await;
            assert_eq!(printed.len(), 100, "{signal}");
        }
    })
    .await;
}

/// What the inbox on disk holds and no handler has begun is safe there, and stays for the next
/// process.
#[tokio::test]
async fn what_ctrl_c_and_sigterm_leave_on_disk_comes_to_the_next_process() {
    within(async {
        for signal in ["INT", "TERM"] {
            let place = tempfile::tempdir().unwrap();
            let mut printed = stopped_behind_a_hundred(place.path(), "disk", signal).await;
            let mut next = Server::start_in(place.path(), &["--secret", SECRET], &[]).await;
            while printed.len() < 100 {
                assert!(printed.insert(identity(&next.event().await)), "{signal}");
            }
            assert_eq!(next.stop().await.stdout, [""; 0], "{signal}");
        }
    })
    .await;
}

/// Identities of the events that a server prints which is stopped as soon as it has answered a
/// hundred.
async fn stopped_behind_a_hundred(place: &Path, inbox: &str, signal: &str) -> HashSet<String> {
    let server = Server::start_in(place, &["--secret", SECRET, "--inbox", inbox], &[]).await;
    let sender = server.sender(SECRET);
    let sent = join_all((0..100).map(|id| sender.send(call_hangup(id)))).await;
    assert!(sent.iter().all(|report| report.delivered().is_some()));
    // Its connections are still open.
    let end = server.stop_with(signal).await;
    assert_eq!(end.status.code(), Some(0), "{signal}: {:?}", end.stderr);
    let printed = end
        .stdout
        .iter()
        .map(|line| identity(&serde_json::from_str(line).unwrap()));
    let identities: HashSet<String> = printed.collect();
    assert_eq!(
        identities.len(),
        end.stdout.len(),
        "{signal}: one ran twice"
    );
    drop(sender);
    identities
}

fn identity(event: &Value) -> String {
    event["identity"].as_str().unwrap().to_owned()
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
            assert_eq!(server.answer(SECRET, &body).await, 200);
            assert_eq!(server.answer(SECRET, &body).await, 200);
            assert_eq!(server.answer(SECRET, "Meet me").await, 400);
            assert_eq!(server.answer("another", &body).await, 401);
            assert_eq!(server.answer_unsigned(&body).await, 401);
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

fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// The end of a pipe that nobody reads any more.
fn dead() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

#[tokio::test]
async fn a_server_whose_standard_error_cannot_be_written_serves() {
    within(async {
        for (name, stderr) in [("full", full()), ("dead", dead())] {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let directory = tempfile::tempdir().unwrap();
            let listen = address.to_string();
            let log = [("VOIPBIN_SECRET", SECRET), ("RUST_LOG", "debug")];
            let mut server = command(directory.path(), &["--listen", &listen], &log);
            let mut server = server.stderr(stderr).spawn().unwrap();
            let sender = Sender::new(http_client(), Signer::new(SECRET));
            let sender = sender.uri(format!("http://{address}{PATH}").parse().unwrap());
            // It gives up after three tries, a second apart.
            while sender.send(call_hangup(1)).await.status().is_none() {
                assert!(server.try_wait().unwrap().is_none(), "{name}");
            }
            let forged = Sender::new(http_client(), Signer::new("another secret of somebody"));
            let forged = forged.uri(format!("http://{address}{PATH}").parse().unwrap());
            let refused = forged.send(call_hangup(2)).await;
            assert_eq!(refused.status().unwrap(), 401);
            let stop = format!("kill -TERM {}", server.id().unwrap());
            paste(&stop).await;
            assert!(server.wait().await.unwrap().success(), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_could_not_be_printed_does_not_look_like_success() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let code = async |arguments: &[&str], stdout, stderr| {
            let mut program = command(directory.path(), arguments, &[]);
            let ended = program.stdout(stdout).stderr(stderr).status().await;
            ended.unwrap().code()
        };
        for arguments in [
            &["--check", "--inbox", "memory"][..],
            &["--help"],
            &["--version"],
            &["inbox", "list", "--help"],
        ] {
            let null = Stdio::null;
            assert_eq!(
                code(arguments, null(), full()).await,
                Some(0),
                "{arguments:?}"
            );
            assert_eq!(
                code(arguments, full(), null()).await,
                Some(1),
                "{arguments:?}"
            );
            assert_eq!(
                code(arguments, full(), full()).await,
                Some(1),
                "{arguments:?}"
            );
            // Whoever read it has seen enough.
            assert_eq!(
                code(arguments, dead(), dead()).await,
                Some(0),
                "{arguments:?}"
            );
        }
        // What is wrong is told by the exit code where it cannot be told in words.
        for arguments in [
            &["--listen", "nowhere"][..],
            &["--listen", "192.0.2.1:1"],
            &["--check", "--listen", "0.0.0.0:1"],
            &["--config", "/there/is/no/such/file"],
        ] {
            for stderr in [full(), dead()] {
                assert_eq!(
                    code(arguments, Stdio::null(), stderr).await,
                    Some(2),
                    "{arguments:?}"
                );
            }
        }
        for tool in ["list", "export", "purge"] {
            let arguments = ["inbox", tool, "--directory", "/there/is/no/such/directory"];
            for stderr in [full(), dead()] {
                assert_eq!(
                    code(&arguments, Stdio::null(), stderr).await,
                    Some(1),
                    "{tool}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_given_up_runs_all_that_is_kept_and_ends() {
    within(async {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::open(directory.path().join("voipbin-inbox"));
        let ingress = Receiver::builder()
            .role(Role::Ingress)
            .secret(SECRET)
            .inbox(inbox.await.unwrap())
            .handlers([Registration::elsewhere(Any, "event")])
            .build()
            .unwrap();
        for id in 0..3 {
            let kept = ingress.accept(call_hangup(id), Origin::History).await;
            kept.unwrap();
        }
        drop(ingress);
        let arguments = ["--secret", SECRET, "--until-empty"];
        let server = Server::start_in(directory.path(), &arguments, &[]).await;
        let end = server.end().await;
        assert!(end.status.success());
        assert_eq!(end.stdout.len(), 3);
        assert!(end.stderr.iter().any(|line| line.contains("remaining=0")));
    })
    .await;
}
