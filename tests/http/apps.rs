//! The examples that mount the receiver in an app: beside what people use, and to the end of both.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use support::standalone::Server;
use support::{PATH, Reply, SECRET, Wire, call_hangup, example, on_the_wire, within};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

const TOKEN: &str = "what-people-show";

/// Each of these runs against each app.
macro_rules! with_every_app {
    ($($test:ident)+) => {
        mod actix_app {
            $(#[tokio::test]
            async fn $test() {
                let app = super::example("actix-app").await;
                super::within(super::$test(&app)).await;
            })+
        }

        mod axum_app {
            $(#[tokio::test]
            async fn $test() {
                let app = super::example("axum-app").await;
                super::within(super::$test(&app)).await;
            })+
        }
    };
}

with_every_app! {
    what_guards_the_app_is_not_around_the_webhook
    the_path_of_the_webhook_has_no_redirect
    what_runs_ends_before_the_app_does_and_what_comes_meanwhile_is_for_the_next
    a_second_signal_ends_the_app_at_once
    neither_token_nor_secret_nor_event_is_logged
}

/// In a directory that goes with it.
async fn start(app: &Path, arguments: &[&str]) -> (Server, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let server = start_in(&directory, app, arguments).await;
    (server, directory)
}

async fn start_in(directory: &TempDir, app: &Path, arguments: &[&str]) -> Server {
    let mut command = Command::new(app);
    command
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("VOIPBIN_SECRET", SECRET)
        .env("DESK_TOKEN", TOKEN)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Server::run(command).await
}

/// What a person's client asks of the app.
async fn ask(address: SocketAddr, request: &str, token: &str, body: &str) -> Reply {
    let request = format!(
        "{request} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut wire = Wire::connect(address).await;
    wire.exchange(request.as_bytes()).await
}

async fn calls(address: SocketAddr) -> Vec<Value> {
    let reply = ask(address, "GET /calls", TOKEN, "").await;
    assert_eq!(reply.status, 200);
    serde_json::from_slice(&reply.body).unwrap()
}

async fn what_guards_the_app_is_not_around_the_webhook(app: &Path) {
    let (server, _directory) = start(app, &[]).await;
    let address = server.address;
    for token in ["", "another"] {
        assert_eq!(ask(address, "GET /calls", token, "").await.status, 401);
    }
    let long = "x".repeat(5000);
    let note = ask(address, "PUT /calls/1/note", TOKEN, &long).await;
    assert_eq!(note.status, 413);
    assert_eq!(ask(address, "GET /health", "", "").await.status, 200);

    // It is longer than a note may be, and shows no token.
    let mut event: Value = serde_json::from_str(&call_hangup(1)).unwrap();
    event["data"]["groupcall_id"] = Value::String(long);
    let event = event.to_string();
    let report = server.send(SECRET, &event).await;
    assert_eq!(report.body(), r#"{"status":"received"}"#);
    assert_eq!(server.send("another", &event).await.status().unwrap(), 401);

    let shown = loop {
        let shown = calls(address).await;
        if !shown.is_empty() {
            break shown;
        }
    };
    assert_eq!(
        (&shown[0]["id"], &shown[0]["reason"]),
        (&"1".into(), &"normal".into())
    );
    let note = ask(address, "PUT /calls/1/note", TOKEN, "call back").await;
    assert_eq!(note.status, 204);
    assert_eq!(calls(address).await[0]["note"], "call back");
    assert_eq!(
        ask(address, "PUT /calls/2/note", TOKEN, "").await.status,
        404
    );

    let end = server.stop().await;
    assert_eq!((end.status.code(), end.stdout), (Some(0), vec![]));
}

async fn the_path_of_the_webhook_has_no_redirect(app: &Path) {
    let (server, _directory) = start(app, &[]).await;
    let request = String::from_utf8(on_the_wire("POST", &call_hangup(1))).unwrap();
    for path in [
        "/voipbin/webhook/",
        "/voipbin//webhook",
        "/Voipbin/webhook",
        "/voipbin",
    ] {
        let request = request.replacen(PATH, path, 1);
        let reply = Wire::connect(server.address)
            .await
            .exchange(request.as_bytes())
            .await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (404, None),
            "{path}"
        );
    }
    let request = request.replacen(PATH, &format!("{PATH}?from=voipbin"), 1);
    let reply = Wire::connect(server.address)
        .await
        .exchange(request.as_bytes())
        .await;
    assert_eq!(reply.word(), "received");
}

/// A service that is told of ended calls, and answers when a test says so.
struct CallListener {
    listener: TcpListener,
    url: String,
}

impl CallListener {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// The next handler that tells, and waits.
    async fn next(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
        }
        stream.into_inner()
    }
}

/// Waits until the app drains.
async fn drains(address: SocketAddr) {
    while ask(address, "GET /health", "", "").await.status != 503 {}
}

const TOLD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

async fn what_runs_ends_before_the_app_does_and_what_comes_meanwhile_is_for_the_next(app: &Path) {
    let told = CallListener::listen().await;
    let tell = ["--tell", &told.url, "--drain", "3600"];
    let (server, directory) = start(app, &tell).await;
    let mut idle = Wire::connect(server.address).await;
    for id in 0..3 {
        let reply = idle.exchange(&on_the_wire("POST", &call_hangup(id))).await;
        assert_eq!(reply.word(), "received");
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(told.next().await);
    }
    server.signal("TERM").await;
    drains(server.address).await;
    for id in 3..6 {
        let report = server.send(SECRET, &call_hangup(id)).await;
        assert_eq!(report.body(), r#"{"status":"received"}"#);
    }
    for mut stream in waiting {
        stream.write_all(TOLD).await.unwrap();
    }
    let end = server.end().await;
    assert_eq!(end.status.code(), Some(0), "{:?}", end.stderr);
    // A connection that only waited for a next request did not hold it up.
    assert_eq!(idle.rest().await.unwrap_or_default(), b"");

    let next = start_in(&directory, app, &tell).await;
    for _ in 3..6 {
        told.next().await.write_all(TOLD).await.unwrap();
    }
    assert_eq!(next.stop().await.status.code(), Some(0));
}

async fn a_second_signal_ends_the_app_at_once(app: &Path) {
    let told = CallListener::listen().await;
    let tell = ["--tell", &told.url, "--drain", "3600"];
    let (server, _directory) = start(app, &tell).await;
    assert!(
        server
            .send(SECRET, &call_hangup(1))
            .await
            .delivered()
            .is_some()
    );
    let _waiting = told.next().await;
    server.signal("TERM").await;
    drains(server.address).await;
    server.signal("INT").await;
    let end = server.end().await;
    assert_eq!(end.status.code(), Some(1));
    let cut: Vec<_> = end
        .stderr
        .iter()
        .filter(|line| line.contains("cut short"))
        .collect();
    assert_eq!(cut.len(), 1, "{cut:?}");
    // Not after its own time was over.
    assert!(cut[0].contains("handler=tell state=Running"), "{cut:?}");
}

async fn neither_token_nor_secret_nor_event_is_logged(app: &Path) {
    let (server, _directory) = start(app, &[]).await;
    let event = call_hangup(1).replace("normal", "Meet me");
    assert!(server.send(SECRET, &event).await.delivered().is_some());
    assert_eq!(server.send("another", &event).await.status().unwrap(), 401);
    assert_eq!(
        ask(server.address, "GET /calls", TOKEN, "").await.status,
        200
    );
    let logs = server.stop().await.stderr.join("\n");
    assert!(logs.contains("call_hangup"), "nothing is logged");
    for private in [SECRET, TOKEN, "Meet me", "sha256="] {
        let line = logs.lines().find(|line| line.contains(private));
        assert_eq!(line, None, "{} logs {private}", app.display());
    }
}
