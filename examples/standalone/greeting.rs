//! What a person is told on standard error.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use voipbin_receiver::testing::Signer;

use crate::settings::{Access, Settings};
#[cfg(feature = "postgres")]
use crate::settings::{InboxChoice, RoleChoice};
use crate::terminal::say;

/// The end of a call, as the platform writes it, and small enough to read in a terminal.
const SAMPLE: &str = r#"{"type":"call_hangup","data":{"id":"5371e9db-d035-4db6-a8d6-0994d33e744e","source":{"type":"tel","target":"+15551234567"},"destination":{"type":"tel","target":"+15559876543"},"status":"hangup","hangup_reason":"normal","tm_hangup":"2026-08-22T10:30:42.105Z"}}"#;

/// One without numbers, which logs are searched for.
const SHORT: &str =
    r#"{"type":"call_hangup","data":{"id":"5371e9db-d035-4db6-a8d6-0994d33e744e"}}"#;

pub(crate) fn greet(settings: &Settings, access: &Access, address: SocketAddr) {
    let scheme = match settings.server.tls_key() {
        Some(_) => "https",
        None => "http",
    };
    let url = format!("{scheme}://{address}{}", settings.server.path);
    say(format_args!("listening on {url}"));
    match settings.inbox.directory() {
        Some(directory) => say(format_args!(
            "events are kept in {}: they survive kill -9, a power cut and this run",
            in_full(directory).display()
        )),
        #[cfg(feature = "postgres")]
        None if settings.inbox.choice == InboxChoice::Postgres => {
            say(match settings.inbox.postgres.role {
                RoleChoice::Both => {
                    "events are kept in PostgreSQL: another server handles what this one leaves"
                }
                RoleChoice::Ingress => {
                    "events are kept in PostgreSQL, and handled by workers alone"
                }
                RoleChoice::Worker => "events that others keep in PostgreSQL are handled",
            })
        }
        None => {
            say("events are kept in memory: a clean shutdown drains them, kill -9 loses them");
        }
    }
    match access {
        Access::Signed(secrets) => {
            say(format_args!(
                "signatures are checked with {secrets} secret(s)"
            ));
            say("send an event that is signed with the secret in the variable VOIPBIN_SECRET:\n");
            say(signed_by_hand(&url));
        }
        Access::Generated(secret) => {
            say(format_args!(
                "no secret was given; the one for this run is {secret}"
            ));
            say(
                "the next run makes another one: then what this prints gets a 401; --secret-file keeps one",
            );
            say("send a signed event:\n");
            let signature = Signer::new(secret.as_str()).sign(SAMPLE.as_bytes());
            say(curl(&url, Some(&signature)));
        }
        Access::Closed => say("each event that comes here is answered 503"),
        Access::Unsigned => {
            say("anybody may send events: --allow-unsigned without a secret");
            say("send an event:\n");
            say(curl(&url, None));
        }
    }
}

/// Where a relative path leads.
fn in_full(directory: &Path) -> PathBuf {
    directory
        .canonicalize()
        .unwrap_or_else(|_| directory.to_owned())
}

/// A command that signs the sample with openssl: no signature by a secret of life is printed.
fn signed_by_hand(url: &str) -> String {
    format!(
        "event='{SHORT}'\n\
         curl -X POST '{url}' \\\n  -H 'Content-Type: application/json' \\\n  \
         -H \"X-VoIPBIN-Signature: sha256=$(printf %s \"$event\" | openssl dgst -sha256 -hmac \"$VOIPBIN_SECRET\" -r | cut -d' ' -f1)\" \\\n  \
         -d \"$event\"\n"
    )
}

fn curl(url: &str, signature: Option<&str>) -> String {
    let signature = signature
        .map(|signature| format!("  -H 'X-VoIPBIN-Signature: {signature}' \\\n"))
        .unwrap_or_default();
    format!(
        "curl -X POST '{url}' \\\n  -H 'Content-Type: application/json' \\\n{signature}  -d '{SAMPLE}'\n"
    )
}
