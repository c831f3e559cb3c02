//! `standalone trigger`: events of one's choice, sent as the platform sends them.

use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use support::standalone::{Finished, Server, run, within};
use support::{Certificate, SECRET};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use voipbin_receiver::testing::Signer;

const KEY: (&str, &str) = ("VOIPBIN_SECRET", SECRET);

async fn trigger(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec!["trigger"];
    all.extend(arguments);
    let ran = run(directory.path(), &all, environment).await;
    assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET));
    ran
}

/// An endpoint that answers everything with this status, and gives its URL and what it is sent.
pub(crate) async fn endpoint(
    status: StatusCode,
) -> (String, mpsc::UnboundedReceiver<Request<Bytes>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?a=b", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let _ = sender.send(Request::from_parts(head, body));
                    let mut response = Response::new(Full::new(Bytes::from("thanks\u{1b}[2J")));
                    *response.status_mut() = status;
                    Ok::<_, hyper::Error>(response)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (url, receiver)
}

#[tokio::test]
async fn an_event_of_ones_choice_is_handled_by_the_server() {
    within(async {
        let mut server = Server::start(&[], &[KEY]).await;
        let change = [
            "--set",
            "data.hangup_reason=busy",
            "--to",
            &server.url.clone(),
        ];
        let ran = trigger(&[&["call_hangup"][..], &change].concat(), &[KEY]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("200"), "{}", ran.stdout);
        assert!(ran.stdout.contains(r#"{"status":"received"}"#) && ran.stdout.contains(" ms"));
        let event = server.event().await;
        assert_eq!(event["event"], "call_hangup");
        assert!(ran.stdout.contains(event["resource_id"].as_str().unwrap()));
        assert_eq!(server.stop().await.status.code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn it_has_the_headers_and_the_signature_of_the_platform() {
    within(async {
        let (url, mut requests) = endpoint(StatusCode::OK).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, SECRET).unwrap();
        let secret = ["--secret-file", file.to_str().unwrap(), "--to", &url];
        let set = [
            "--set",
            "data.source.target=+15550100",
            "--set",
            "data.hangup_reason=\"5\"",
        ];
        let ran = trigger(&[&["call_hangup"][..], &secret, &set].concat(), &[]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        // A terminal is not steered by what a server answers.
        assert!(!ran.stdout.contains('\u{1b}'));

        let request = requests.recv().await.unwrap();
        assert_eq!(request.uri(), "/hook?a=b");
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "host",
                "user-agent",
                "content-length",
                "content-type",
                "x-voipbin-signature",
                "accept-encoding"
            ]
        );
        assert_eq!(request.headers()["host"], url.split('/').nth(2).unwrap());
        let signature = Signer::new(SECRET).sign(request.body());
        assert_eq!(request.headers()["x-voipbin-signature"], signature);
        assert!(
            request
                .body()
                .starts_with(br#"{"type":"call_hangup","data":{"id":""#)
        );
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body["data"]["source"]["target"], "+15550100");
        assert_eq!(body["data"]["hangup_reason"], "5");
    })
    .await;
}

#[tokio::test]
async fn a_file_is_sent_byte_for_byte_and_so_often() {
    within(async {
        let (url, mut requests) = endpoint(StatusCode::OK).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("body");
        let bytes = b"{ \"not\": \"as the platform writes it\" }\r\n\xff";
        std::fs::write(&file, bytes).unwrap();
        let arguments = [
            "--file",
            file.to_str().unwrap(),
            "--to",
            &url,
            "--times",
            "3",
            "--unsigned",
        ];
        assert_eq!(trigger(&arguments, &[]).await.code, 0);
        for _ in 0..3 {
            let request = requests.recv().await.unwrap();
            assert_eq!(request.body().as_ref(), bytes);
            assert!(!request.headers().contains_key("x-voipbin-signature"));
        }
        assert!(requests.try_recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn events_are_of_one_resource_and_each_time_of_another() {
    within(async {
        let (url, mut requests) = endpoint(StatusCode::OK).await;
        let life = ["call_created", "call_progressing", "call_hangup"];
        let how = ["--times", "2", "--reorder", "--json", "--to", &url];
        let ran = trigger(&[&life[..], &how].concat(), &[KEY]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let lines = ran.lines();
        let mut sent = Vec::new();
        for line in &lines {
            let body: Value =
                serde_json::from_slice(requests.recv().await.unwrap().body()).unwrap();
            assert_eq!(line["event"], body["type"]);
            assert_eq!(line["resource_id"], body["data"]["id"]);
            assert_eq!(
                (&line["status"], &line["attempt"]),
                (&200.into(), &1.into())
            );
            assert!(line["ms"].as_f64().is_some());
            sent.push(body);
        }
        let types: Vec<_> = sent
            .iter()
            .map(|body| body["type"].as_str().unwrap())
            .collect();
        let backwards = ["call_hangup", "call_progressing", "call_created"];
        assert_eq!(types, [backwards, backwards].concat());
        let id = |place: usize| sent[place]["data"]["id"].as_str().unwrap();
        assert!(id(0) == id(1) && id(1) == id(2) && id(3) == id(5) && id(0) != id(3));
        // The earlier change is the earlier one, whenever it comes.
        let changed = |place: usize| sent[place]["data"]["tm_update"].as_str().unwrap();
        assert!(changed(1) < changed(0));
    })
    .await;
}

#[tokio::test]
async fn copies_have_the_same_bytes_and_are_dropped() {
    within(async {
        let server = Server::start(&[], &[KEY]).await;
        let arguments = [
            "message_created",
            "--duplicate",
            "--json",
            "--to",
            &server.url,
        ];
        let ran = trigger(&arguments, &[KEY]).await;
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut answers: Vec<_> = ran
            .lines()
            .iter()
            .map(|line| line["answer"].to_string())
            .collect();
        answers.sort();
        assert_eq!(answers.len(), 2);
        assert!(answers[0].contains("duplicate") && answers[1].contains("received"));
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn chaos_does_the_same_for_the_same_seed() {
    within(async {
        let arguments = [
            "call_updated",
            "--times",
            "12",
            "--chaos",
            "11",
            "--json",
            "--to",
        ];
        let run = || async {
            let server = Server::start(&[], &[KEY]).await;
            let ran = trigger(&[&arguments[..], &[&server.url]].concat(), &[KEY]).await;
            server.stop().await;
            assert!(
                ran.stderr.contains("seed 11: of 12 events"),
                "{}",
                ran.stderr
            );
            assert_eq!(ran.code, 0, "{}", ran.stderr);
            let told = ran
                .stderr
                .lines()
                .find(|line| line.contains("seed 11"))
                .unwrap()
                .to_owned();
            (ran.lines().len(), told)
        };
        let (one, other) = tokio::join!(run(), run());
        assert_eq!(one, other);
        assert!(one.0 > 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_answered_2xx_is_a_failure_and_each_attempt_is_told() {
    within(async {
        let server = Server::start(&[], &[KEY]).await;
        let arguments = ["call_hangup", "--to", &server.url];
        let wrong = [("VOIPBIN_SECRET", "Wr0ngWr0ngWr0ngWr0ngWr0ngWr0ng00")];
        let refused = trigger(&arguments, &wrong).await;
        assert_eq!(refused.code, 1);
        assert!(refused.stdout.contains("401") && refused.stdout.lines().count() == 1);
        server.stop().await;

        let (url, _requests) = endpoint(StatusCode::SERVICE_UNAVAILABLE).await;
        let overloaded = trigger(&["call_hangup", "--to", &url, "--json"], &[KEY]).await;
        assert_eq!(overloaded.code, 1);
        let attempts: Vec<_> = overloaded
            .lines()
            .iter()
            .map(|line| line["attempt"].clone())
            .collect();
        assert_eq!(attempts, [1, 2, 3]);

        let (url, _requests) = endpoint(StatusCode::MOVED_PERMANENTLY).await;
        let moved = trigger(&["call_hangup", "--to", &url], &[KEY]).await;
        assert!(
            moved.code == 1 && moved.stderr.contains("final URL"),
            "{}",
            moved.stderr
        );

        let nobody = trigger(&["call_hangup", "--to", "http://127.0.0.1:1/"], &[KEY]).await;
        assert_eq!(nobody.code, 1);
        assert!(nobody.stdout.contains("attempt 3"), "{}", nobody.stdout);
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_ones_own_is_trusted_when_it_is_given() {
    within(async {
        let certificate = Certificate::for_name("localhost");
        let paths = [certificate.chain(), certificate.key()];
        let [chain, key] = paths.each_ref().map(|path| path.to_str().unwrap());
        let mut server = Server::start(&["--tls-cert", chain, "--tls-key", key], &[KEY]).await;
        let url = format!(
            "https://localhost:{}/voipbin/webhook",
            server.address.port()
        );
        let arguments = ["call_hangup", "--to", &url];
        assert_eq!(trigger(&arguments, &[KEY]).await.code, 1);
        let trusted = trigger(&[&arguments[..], &["--ca", chain]].concat(), &[KEY]).await;
        assert_eq!(trusted.code, 0, "{}{}", trusted.stdout, trusted.stderr);
        assert_eq!(server.event().await["event"], "call_hangup");
        server.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_says_what_would() {
    within(async {
        let nowhere = Path::new("/nowhere").to_str().unwrap();
        for (arguments, says) in [
            (&[][..], "<EVENT>"),
            (&["call_hangop"], "call_hangup"),
            (&["call_hangup"], "VOIPBIN_SECRET"),
            (
                &["call_hangup", "--unsigned", "--to", "ftp://example.com/"],
                "http",
            ),
            (&["call_hangup", "--unsigned", "--to", "/hook"], "http"),
            (
                &["call_hangup", "--unsigned", "--to", "http://a:b@127.0.0.1/"],
                "password",
            ),
            (
                &["call_hangup", "--unsigned", "--set", "hangup_reason=busy"],
                "data.",
            ),
            (
                &["call_hangup", "--unsigned", "--set", "data.status"],
                "FIELD=VALUE",
            ),
            (
                &["call_hangup", "--unsigned", "--set", "data.status.a=1"],
                "data.status",
            ),
            (&["call.status", "--unsigned"], "call_hangup"),
            (&["call_hangup", "--unsigned", "--reorder"], "--times"),
            (&["call_hangup", "--unsigned", "--file", "a"], "--file"),
            (&["--unsigned", "--file", nowhere], "/nowhere"),
            (&["call_hangup", "--secret-file", nowhere], "/nowhere"),
            (&["call_hangup", "--unsigned", "--ca", nowhere], "/nowhere"),
            (&["call_hangup", "--times", "0"], "1"),
            (&["call_hangup", "--chaos", "1", "--reorder"], "--chaos"),
        ] {
            let ran = trigger(arguments, &[]).await;
            assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
            assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
            assert!(
                ran.stdout.is_empty() && ran.stderr.len() < 700,
                "{}",
                ran.stderr
            );
        }
    })
    .await;
}

#[tokio::test]
async fn names_of_the_tutorial_are_sent_as_the_platform_sends_them() {
    within(async {
        let (url, mut requests) = endpoint(StatusCode::OK).await;
        let ran = trigger(&["call_hungup", "--to", &url, "--unsigned"], &[]).await;
        assert_eq!(ran.code, 0);
        assert!(ran.stderr.contains("call_hangup"), "{}", ran.stderr);
        let body: Value = serde_json::from_slice(requests.recv().await.unwrap().body()).unwrap();
        assert_eq!(body["type"], "call_hangup");
    })
    .await;
}

#[tokio::test]
async fn the_list_has_each_event_that_is_sent_and_shells_complete_them() {
    within(async {
        let list = trigger(&["--list", "--json"], &[]).await.lines();
        let names: Vec<_> = list
            .iter()
            .map(|line| line["event"].as_str().unwrap())
            .collect();
        assert!(names.contains(&"call_hangup") && !names.contains(&"call_hungup"));
        assert_eq!(
            trigger(&["--list"], &[]).await.stdout.lines().count(),
            names.len()
        );

        let directory = tempfile::tempdir().unwrap();
        for shell in ["bash", "zsh", "fish"] {
            let script = run(directory.path(), &["completions", shell], &[])
                .await
                .stdout;
            assert!(
                script.contains("trigger") && script.contains("inbox"),
                "{shell}"
            );
            // What fish is given has no values of arguments without a flag.
            assert!(script.contains("call_hangup") || shell == "fish", "{shell}");
        }
    })
    .await;
}
