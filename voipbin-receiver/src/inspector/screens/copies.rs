//! An event as something to send it again with: elsewhere, to see what happens.

use std::iter;

use crate::gate::Secret;
use crate::inbox::Record;
use crate::inspector::authority::hmac;

/// Where the receiver of somebody who develops listens.
const URL: &str = "http://127.0.0.1:5000/voipbin/webhook";

pub(super) struct Copies {
    /// What it is signed with: made for this, so that nobody needs the real one.
    pub(super) secret: String,
    pub(super) curl: String,
    pub(super) trigger: String,
    pub(super) test: String,
}

impl Copies {
    pub(super) fn new(record: &Record) -> Self {
        let random: String = iter::repeat_with(fastrand::alphanumeric).take(24).collect();
        Self::signed(record, format!("throw-away-{random}"))
    }

    fn signed(record: &Record, secret: String) -> Self {
        let body = String::from_utf8_lossy(record.delivery.body());
        let printed = printf(&body);
        let signature = hmac(&Secret::from(secret.as_str()), body.as_bytes());
        Self {
            curl: format!(
                "{printed} |\n  curl -X POST {URL} \\\n  -H 'Content-Type: application/json' \\\n  \
                 -H 'X-VoIPBIN-Signature: sha256={signature}' \\\n  --data-binary @-"
            ),
            trigger: format!(
                "{printed} |\n  VOIPBIN_SECRET={secret} standalone trigger --file /dev/stdin --to {URL}"
            ),
            test: test(record.id.get(), &body),
            secret,
        }
    }
}

/// As one word of a shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A command that prints it. A terminal into which a return is pasted takes it for the end of a
/// line.
fn printf(body: &str) -> String {
    if !body.contains('\r') {
        return format!("printf %s {}", shell(body));
    }
    let format = body.replace('\\', "\\\\").replace('%', "%%");
    format!("printf {}", shell(&format.replace('\r', "\\r")))
}

/// With the kit of the feature `testing`.
fn test(id: u64, body: &str) -> String {
    let mut hashes = "#".to_owned();
    while body.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    let literal = match body.contains('\r') {
        // The compiler reads no return, or another one.
        true => format!("{body:?}"),
        false => format!("r{hashes}\"{body}\"{hashes}"),
    };
    format!(
        "#[tokio::test(start_paused = true)]
async fn event_{id}_is_handled() {{
    // Your handler in the place of `handler`.
    let mut receiver = TestReceiver::build(|builder| builder.on(Any, handler)).unwrap();
    let body = {literal};
    assert_eq!(receiver.deliver(body).await.unwrap().status(), 200);
    assert!(receiver.step().await.unwrap().is_done());
}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_printed_as_it_is() {
        const RETURN: &str = "{\"a\":\r\n\"100 % of it's \\u0041 \\\\r\"}\r";
        for text in ["", "a b", "it's", "'", "$(date) `date` \\ \" \n;", RETURN] {
            let printed = printf(text);
            assert!(!printed.contains('\r'));
            let told = std::process::Command::new("sh")
                .args(["-c", &printed])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(told.stdout).unwrap(), text);
        }
    }

    #[test]
    fn a_body_does_not_end_its_literal() {
        let text = test(7, "{\"a\":\"\"#\"}");
        assert!(text.contains("r##\"{\"a\":\"\"#\"}\"##;"), "{text}");
    }
}
