//! `standalone listen`: the account's events without a URL.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::SECRET;
use support::platform::{ACCESS_KEY, Platform};
use support::standalone::{command, run, within};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::testing::{Signer, event};

use crate::trigger::endpoint;

struct Listening {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    _directory: TempDir,
}

impl Listening {
    async fn start(stand_in: &Platform, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = stand_in.url();
        let environment = [("VOIPBIN_API", &*url), ("VOIPBIN_ACCESS_KEY", ACCESS_KEY)];
        let arguments = [&["listen"], arguments].concat();
        let mut child = command(directory.path(), &arguments, &environment)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut listening = Self {
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
            _directory: directory,
        };
        while !listening.told().await.contains("listening") {}
        listening
    }

    async fn line(&mut self) -> String {
        self.stdout
            .next_line()
            .await
            .unwrap()
            .expect("it has ended")
    }

    async fn told(&mut self) -> String {
        self.stderr
            .next_line()
            .await
            .unwrap()
            .expect("it has ended")
    }

    async fn stop(mut self) {
        let id = self.child.id().unwrap().cast_signed();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        assert_eq!(self.child.wait().await.unwrap().code(), Some(0));
    }
}

fn publish(stand_in: &Platform, id: &str) -> String {
    let body = serde_json::to_string(&event(CallHangup).id(id)).unwrap();
    stand_in.publish(&body);
    body
}

#[tokio::test]
async fn events_are_printed_as_those_of_webhooks() {
    within(async {
        let stand_in = Platform::start().await;
        let mut listening = Listening::start(&stand_in, &["call_hungup", "message_created"]).await;
        assert_eq!(stand_in.topics().len(), 2);
        publish(&stand_in, "c-1");
        let line: Value = serde_json::from_str(&listening.line().await).unwrap();
        assert_eq!(
            (&line["event"], &line["resource_id"]),
            (&"call_hangup".into(), &"c-1".into())
        );
        listening.stop().await;
    })
    .await;
}

#[tokio::test]
async fn events_are_sent_on_as_the_platform_sends_them() {
    within(async {
        let stand_in = Platform::start().await;
        let (url, mut requests) = endpoint(http::StatusCode::OK).await;
        let arguments = ["call_hangup", "--forward", &url, "--json"];
        let mut listening = Listening::start(&stand_in, &arguments).await;
        let body = publish(&stand_in, "c-1");
        let request = requests.recv().await.unwrap();
        assert_eq!(
            (request.body(), request.uri()),
            (&body.clone().into(), &"/hook?a=b".parse().unwrap())
        );
        let expected = Signer::new(SECRET).request("/".parse().unwrap(), body);
        let header = "x-voipbin-signature";
        assert_eq!(request.headers()[header], expected.headers()[header]);
        assert_eq!(request.headers()["user-agent"], "Go-http-client/1.1");
        let line: Value = serde_json::from_str(&listening.line().await).unwrap();
        assert_eq!(
            (&line["status"], &line["resource_id"]),
            (&200.into(), &"c-1".into())
        );
        listening.stop().await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_fails_is_tried_three_times() {
    within(async {
        let stand_in = Platform::start().await;
        let (url, mut requests) = endpoint(http::StatusCode::SERVICE_UNAVAILABLE).await;
        let mut listening = Listening::start(&stand_in, &["call_hangup", "--forward", &url]).await;
        publish(&stand_in, "c-1");
        for _ in 0..3 {
            requests.recv().await.unwrap();
        }
        let lines = [
            listening.line().await,
            listening.line().await,
            listening.line().await,
        ];
        assert!(lines[2].contains("attempt 3 503"), "{lines:?}");
        listening.stop().await;
    })
    .await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anybody_is_asked() {
    within(async {
        let stand_in = Platform::start().await;
        let url = stand_in.url();
        for (arguments, says) in [
            (
                &["--forward", "http://hooks.example.com/"][..],
                "--allow-remote",
            ),
            (&["--forward", "http://192.168.0.1:3000/"], "--allow-remote"),
            (&["--forward", "hook"], "http://"),
            (&["--allow-remote"], "--forward"),
            (&["call_hangop"], "call_hangup"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let environment = [("VOIPBIN_API", &*url), ("VOIPBIN_ACCESS_KEY", ACCESS_KEY)];
            let arguments = [&["listen"], arguments].concat();
            let refused = run(directory.path(), &arguments, &environment).await;
            assert_eq!(refused.code, 2, "{arguments:?}: {refused:?}");
            assert!(refused.stderr.contains(says), "{arguments:?}: {refused:?}");
        }
        assert!(stand_in.seen().is_empty());
    })
    .await;
}
