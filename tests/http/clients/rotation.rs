//! Secrets that change while many clients send, from processes of their own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use support::{Recorder, SECRET};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use voipbin_receiver::Receiver;
use voipbin_receiver::observe::RefusalReason;

use crate::clients::mounts::Mount;

const OLD: &str = SECRET;
const NEW: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Clients that send all the time, in a process of their own.
struct Clients {
    child: Child,
    secrets: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

type Answers = BTreeMap<String, usize>;

impl Clients {
    async fn start(address: SocketAddr, secret: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_load-client"))
            .args(["rotate", &address.to_string(), "8"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut clients = Self {
            secrets: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        clients.tell(secret).await;
        clients
    }

    async fn tell(&mut self, secret: &str) {
        let line = format!("{secret}\n");
        self.secrets.write_all(line.as_bytes()).await.unwrap();
    }

    /// Has each of them sign with another secret; how all that they signed with the one before it
    /// was answered.
    async fn sign_with(&mut self, secret: &str) -> Answers {
        self.tell(secret).await;
        answered(&mut self.answers).await
    }

    /// Stops them; how the last ones were answered.
    async fn stop(mut self) -> Answers {
        drop(self.secrets);
        let last = answered(&mut self.answers).await;
        assert!(self.child.wait().await.unwrap().success());
        last
    }
}

async fn answered(lines: &mut Lines<BufReader<ChildStdout>>) -> Answers {
    let line = lines.next_line().await.unwrap().unwrap();
    serde_json::from_str(&line).unwrap()
}

/// How many there are of the only kind of answer that there is.
fn all_are(kind: &str, answers: &Answers) -> usize {
    assert!(answers.keys().eq([kind]), "{answers:?}");
    answers[kind]
}

const RECEIVED: &str = "200 received";
const REFUSED: &str = "401 refused";

pub(crate) async fn no_request_is_refused_and_none_is_accepted_with_a_retired_secret(mount: Mount) {
    let mounted = mount.start_with(Receiver::builder().secret(OLD)).await;
    let (address, recorder) = (mounted.address, &mounted.recorder);
    let secrets = mounted.receiver.secrets();
    let mut handled = 0;
    let mut accepted = 0;
    let mut some_more = async |recorder: &Recorder| {
        for _ in 0..500 {
            recorder.next().await;
        }
        handled += 500;
    };

    // One customer's sender changes its secret in time, the other's never does.
    let mut in_time = Clients::start(address, OLD).await;
    let mut never = Clients::start(address, OLD).await;
    some_more(recorder).await;
    secrets.set([NEW, OLD]).unwrap();
    some_more(recorder).await;
    accepted += all_are(RECEIVED, &in_time.sign_with(NEW).await);
    some_more(recorder).await;
    secrets.set([NEW]).unwrap();

    // Whatever was under way then may be either; what begins from here on is refused.
    let around = never.sign_with(OLD).await;
    accepted += around[RECEIVED];
    assert!(
        around
            .keys()
            .all(|kind| [RECEIVED, REFUSED].contains(&&**kind)),
        "{around:?}"
    );
    some_more(recorder).await;
    let retired = all_are(REFUSED, &never.stop().await);
    accepted += all_are(RECEIVED, &in_time.stop().await);

    let report = mounted.receiver.shutdown(Duration::MAX).await;
    assert!(report.is_drained());
    handled += recorder.rest().await.len();
    assert_eq!(handled, accepted);
    let refused = retired + around.get(REFUSED).copied().unwrap_or_default();
    assert_eq!(
        mounted.receiver.stats().refused(RefusalReason::Signature),
        refused as u64
    );
}
