//! What a person is told on standard error.
#![allow(clippy::print_stderr, reason = "this is the program's face")]

use std::error::Error;
use std::net::SocketAddr;

use voipbin_receiver::testing::Signer;

use crate::settings::{Access, InboxChoice, Settings};

/// The end of a call, as the platform writes it, and small enough to read in a terminal.
const SAMPLE: &str = r#"{"type":"call_hangup","data":{"id":"5371e9db-d035-4db6-a8d6-0994d33e744e","source":{"type":"tel","target":"+15551234567"},"destination":{"type":"tel","target":"+15559876543"},"status":"hangup","hangup_reason":"normal","tm_hangup":"2026-08-22T10:30:42.105Z"}}"#;

pub(crate) fn greet(
    settings: &Settings,
    access: &Access,
    address: SocketAddr,
    metrics: Option<SocketAddr>,
) {
    let scheme = match settings.server.tls_key {
        Some(_) => "https",
        None => "http",
    };
    let url = format!("{scheme}://{address}{}", settings.server.path);
    eprintln!("listening on {url}");
    if let Some(address) = metrics {
        eprintln!("metrics on http://{address}/metrics");
    }
    match settings.inbox.choice {
        InboxChoice::Disk => eprintln!(
            "events are kept in {}: they survive kill -9 and a power cut",
            settings.inbox.directory.display()
        ),
        InboxChoice::Memory => {
            eprintln!(
                "events are kept in memory: a clean shutdown drains them, kill -9 loses them"
            );
        }
    }
    match access {
        Access::Signed(secrets) => {
            eprintln!("signatures are checked with {secrets} secret(s)");
        }
        Access::Generated(secret) => {
            eprintln!("no secret was given; the one for this run is {secret}");
            eprintln!("send a signed event:\n");
            let signature = Signer::new(secret.as_str()).sign(SAMPLE.as_bytes());
            eprintln!("{}", curl(&url, Some(&signature)));
        }
        Access::Unsigned => {
            eprintln!("anybody may send events: --allow-unsigned without a secret");
            eprintln!("send an event:\n");
            eprintln!("{}", curl(&url, None));
        }
    }
}

fn curl(url: &str, signature: Option<&str>) -> String {
    let signature = signature
        .map(|signature| format!("  -H 'X-VoIPBIN-Signature: {signature}' \\\n"))
        .unwrap_or_default();
    format!(
        "curl -X POST '{url}' \\\n  -H 'Content-Type: application/json' \\\n{signature}  -d '{SAMPLE}'\n"
    )
}

pub(crate) fn complain(problem: &str) {
    eprintln!("error: {problem}");
}

pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

/// An error and what it came from.
pub(crate) fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
