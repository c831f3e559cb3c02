//! The real curl.

use std::process::Stdio;

use support::{builder, call_hangup, signer};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use voipbin_receiver::gate::Limits;

use crate::clients::mounts::{HOST, Mount, Mounted};

/// What curl tells of one request.
#[derive(Debug, PartialEq)]
pub(crate) struct CurlOutput {
    pub(crate) status: u16,
    pub(crate) version: String,
    /// How many connections it opened for it.
    pub(crate) connects: u32,
    /// The answer.
    pub(crate) body: String,
}

/// Has curl send a signed body so many times; what it tells of each.
pub(crate) async fn curl(
    mounted: &Mounted,
    body: &str,
    arguments: &[&str],
    times: usize,
) -> Vec<CurlOutput> {
    let url = mounted.url();
    let signature = signer().sign(body.as_bytes());
    let mut command = Command::new("curl");
    command
        // First of all: no settings of whoever runs this.
        .args(["-q", "-sS", "--noproxy", "*", "--max-time", "100"])
        // It goes on when it has not been told to for this long.
        .args(["--expect100-timeout", "90"])
        .args(["--header", "Content-Type: application/json"])
        .args(["--header", &format!("X-VoIPBIN-Signature: {signature}")])
        .args(["--data-binary", "@-"])
        .args([
            "--write-out",
            "\t%{http_code}\t%{http_version}\t%{num_connects}\n",
        ])
        .args(arguments)
        .args(vec![&url; times]);
    if let Some(certificate) = &mounted.certificate {
        let there = mounted.address.port();
        command
            .arg("--cacert")
            .arg(certificate.chain())
            .args(["--resolve", &format!("{HOST}:{there}:127.0.0.1")]);
    }
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .expect("this test needs curl; `.ci/test` installs it");
    let mut input = child.stdin.take().unwrap();
    input.write_all(body.as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(CurlOutput::read).collect()
}

impl CurlOutput {
    fn read(line: &str) -> Self {
        let mut fields = line.split('\t');
        let mut field = || fields.next().unwrap();
        Self {
            body: field().to_owned(),
            status: field().parse().unwrap(),
            version: field().to_owned(),
            connects: field().parse().unwrap(),
        }
    }
}

pub(crate) async fn each_of_its_ways_to_send_an_event_is_received(mount: Mount) {
    const UPGRADE: &[&str] = &["--http2"];
    const WAYS: &[(&[&str], &str)] = &[
        (&[], "1.1"),
        (&["--request", "PUT"], "1.1"),
        (&["--request", "GET"], "1.1"),
        (&["--request", "DELETE"], "1.1"),
        (&["--request", "post"], "1.1"),
        (&["--http1.0"], "1"),
        (&["--header", "Transfer-Encoding: chunked"], "1.1"),
        (&["--header", "Expect: 100-continue"], "1.1"),
        (&["--header", "Connection: close"], "1.1"),
        (&["--compressed"], "1.1"),
        (&["--url-query", "from=curl"], "1.1"),
        (
            &["--request-target", "http://127.0.0.1:5000/voipbin/webhook"],
            "1.1",
        ),
        // It offers to go on with HTTP/2, which no server here does in plain text.
        (UPGRADE, "1.1"),
    ];
    let mounted = mount.start().await;
    let mut events = Vec::new();
    for (arguments, version) in WAYS {
        let event = call_hangup(format_args!("by curl {}", arguments.concat()));
        let told = curl(&mounted, &event, arguments, 2).await;
        let closed = *arguments == ["--http1.0"]
            || arguments.contains(&"Connection: close")
            || (*arguments == UPGRADE && mount.closes_after_an_offer_to_upgrade());
        let [first, second] = ["received", "duplicate"].map(|word| CurlOutput {
            status: 200,
            version: (*version).to_owned(),
            connects: 1,
            body: format!(r#"{{"status":"{word}"}}"#),
        });
        let second = CurlOutput {
            connects: u32::from(closed),
            ..second
        };
        assert_eq!(told, [first, second], "{arguments:?}");
        events.push(event);
    }
    mounted.has_handled(events).await;
}

pub(crate) async fn a_body_at_the_limit_is_received_and_one_byte_more_is_refused(mount: Mount) {
    const LIMIT: usize = 2 << 20;
    let mounted = mount
        .start_with(builder().limits(Limits::new().body_limit(LIMIT)))
        .await;
    let frame = call_hangup("").len();
    let full = call_hangup("x".repeat(LIMIT - frame));
    let over = call_hangup("x".repeat(LIMIT - frame + 1));
    // It asks before it sends a body of this size, unless that is in chunks.
    for arguments in [&[][..], &["--header", "Transfer-Encoding: chunked"]] {
        let told = curl(&mounted, &full, arguments, 1).await;
        assert_eq!(told[0].status, 200, "{arguments:?}");
    }
    // One that was told to go on may find its connection broken before it reads why.
    if !mount.continues_unasked() {
        let told = curl(&mounted, &over, &[], 1).await;
        assert_eq!(told[0].status, 413);
        assert!(told[0].body.contains("body_too_large"));
    }
    mounted.has_handled(vec![full]).await;
}
