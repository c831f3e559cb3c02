//! Secrets that change while the receiver runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use support::{Answer, ManualClock, Recorder, call_hangup, send, unsigned, within};
use tokio::sync::watch;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::{Secret, SecretErrorKind, SecretUsage, Secrets};
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{BuildErrorKind, Receiver, ReceiverBuilder};

const OLD: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9";
const NEW: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn builder() -> ReceiverBuilder {
    Receiver::builder().on(Any, Recorder::new())
}

/// The answer to an event that is signed with this secret.
async fn signed_with(receiver: &Receiver, secret: &str, id: impl std::fmt::Display) -> Answer {
    let request = Signer::new(secret).request("/".parse().unwrap(), call_hangup(id));
    send(&receiver.service(), request).await
}

fn labels(secrets: &Secrets) -> Vec<String> {
    let usage = secrets.usage();
    usage
        .iter()
        .map(|secret| secret.label.to_string())
        .collect()
}

fn used(usage: &[SecretUsage], label: &str) -> u64 {
    usage
        .iter()
        .find(|secret| &*secret.label == label)
        .unwrap()
        .accepted
}

#[tokio::test]
async fn old_and_new_are_both_accepted_until_the_old_one_is_taken_away() {
    let receiver = builder().secret(OLD).build().unwrap();
    let secrets = receiver.secrets();
    for (set, old, new) in [
        (vec![OLD], 200, 401),
        (vec![NEW, OLD], 200, 200),
        (vec![NEW], 401, 200),
    ] {
        secrets.set(set.clone()).unwrap();
        let id = set.concat();
        assert_eq!(
            signed_with(&receiver, OLD, &id).await.status(),
            old,
            "{}",
            set.len()
        );
        assert_eq!(
            signed_with(&receiver, NEW, &id).await.status(),
            new,
            "{}",
            set.len()
        );
    }
}

#[tokio::test]
async fn a_request_whose_body_is_coming_is_checked_with_the_secrets_at_its_end() {
    let receiver = builder().secret(OLD).build().unwrap();
    let body = call_hangup(1);
    let (rest, comes) = watch::channel(());
    let frames = futures_util::stream::unfold(
        (0, comes, body.clone()),
        |(part, mut comes, body)| async move {
            let half = body.len() / 2;
            let text = match part {
                0 => body[..half].to_owned(),
                1 => {
                    comes.changed().await.unwrap();
                    body[half..].to_owned()
                }
                _ => return None,
            };
            let frame = http_body::Frame::data(bytes::Bytes::from(text));
            Some((Ok::<_, std::io::Error>(frame), (part + 1, comes, body)))
        },
    );
    let request = Request::post("/")
        .header(
            "x-voipbin-signature",
            Signer::new(OLD).sign(body.as_bytes()),
        )
        .body(http_body_util::StreamBody::new(Box::pin(frames)))
        .unwrap();
    let service = receiver.service();
    let mut answer = Box::pin(send(&service, request));
    assert!(futures_util::poll!(&mut answer).is_pending());
    receiver.secrets().set([NEW, OLD]).unwrap();
    rest.send(()).unwrap();
    assert_eq!(within(answer).await.word(), "received");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_delivery_is_refused_while_secrets_around_its_own_change() {
    let receiver = builder().secret(OLD).build().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let changes = {
        let (secrets, over) = (receiver.secrets(), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut changes = 0_u64;
            while !over.load(Ordering::Relaxed) {
                changes += 1;
                secrets
                    .set([format!("number {changes}").as_str(), OLD])
                    .unwrap();
            }
            changes
        })
    };
    for id in 0..2000 {
        assert_eq!(signed_with(&receiver, OLD, id).await.status(), 200);
    }
    over.store(true, Ordering::Relaxed);
    assert!(changes.join().unwrap() > 0);
    assert_eq!(used(&receiver.secrets().usage(), "secret-2"), 2000);
}

#[tokio::test]
async fn each_secret_tells_when_it_was_last_used() {
    let clock = Arc::new(ManualClock::default());
    let receiver = builder()
        .clock(clock.clone())
        .secret(Secret::from(OLD).with_label("old"))
        .secret(Secret::from(NEW).with_label("new"))
        .build()
        .unwrap();
    let secrets = receiver.secrets();
    assert_eq!(secrets.last_used("old"), None);

    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    signed_with(&receiver, OLD, 1).await;
    assert_eq!(
        (secrets.last_used("old"), secrets.last_used("new")),
        (at(0), None)
    );
    clock.advance(Duration::from_secs(5));
    signed_with(&receiver, NEW, 1).await;
    clock.advance(Duration::from_secs(5));
    // A copy was signed as well; a forged one was not.
    signed_with(&receiver, NEW, 1).await;
    signed_with(&receiver, "another", 1).await;
    assert_eq!(
        (secrets.last_used("old"), secrets.last_used("new")),
        (at(0), at(10))
    );
    assert_eq!(secrets.last_used("there is no such label"), None);

    // What a secret was used for stays with it, whatever it is called; another one begins anew.
    secrets
        .set([
            Secret::from("third").with_label("new"),
            Secret::from(NEW).with_label("old"),
        ])
        .unwrap();
    let usage = secrets.usage();
    assert_eq!((used(&usage, "new"), used(&usage, "old")), (0, 2));
    assert_eq!(
        (secrets.last_used("new"), secrets.last_used("old")),
        (None, at(10))
    );
}

#[tokio::test]
async fn a_set_that_cannot_be_used_changes_nothing() {
    let receiver = builder().secret(OLD).build().unwrap();
    let secrets = receiver.secrets();
    let labelled = |value: &str, label: &str| Secret::from(value).with_label(label);
    for (set, kind) in [
        (vec![], SecretErrorKind::NoSecret),
        (
            vec![Secret::from(NEW), Secret::from("")],
            SecretErrorKind::Empty,
        ),
        (vec![Secret::from(" \n")], SecretErrorKind::Empty),
        (vec![Secret::from("padded\n")], SecretErrorKind::Padded),
        (
            vec![Secret::from("\u{feff}marked")],
            SecretErrorKind::Padded,
        ),
        (
            vec![labelled(NEW, "a"), labelled(OLD, "a")],
            SecretErrorKind::Label,
        ),
        (
            vec![labelled(NEW, "secret-2"), Secret::from(OLD)],
            SecretErrorKind::Label,
        ),
        (
            vec![Secret::from("\0".repeat(32))],
            SecretErrorKind::Control,
        ),
        (
            vec![Secret::from(format!("{NEW}\0"))],
            SecretErrorKind::Control,
        ),
        (vec![labelled(NEW, "")], SecretErrorKind::Label),
        (vec![labelled(NEW, NEW)], SecretErrorKind::Label),
    ] {
        let error = secrets.set(set).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(!format!("{error} {error:?}").contains(NEW));
        assert_eq!(signed_with(&receiver, OLD, 1).await.status(), 200);
        assert_eq!(signed_with(&receiver, NEW, 1).await.status(), 401);
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, format!("{OLD}\n")).unwrap();
    let receiver = builder().secret_file(&path).build().unwrap();
    let secrets = receiver.secrets();
    assert_eq!(labels(&secrets), [path.to_str().unwrap()]);
    assert_eq!(signed_with(&receiver, OLD, 1).await.status(), 200);

    std::fs::write(&path, format!("{NEW}\r\n")).unwrap();
    assert_eq!(signed_with(&receiver, NEW, 2).await.status(), 401);
    secrets.refresh().await.unwrap();
    assert_eq!(signed_with(&receiver, NEW, 2).await.status(), 200);
    assert_eq!(signed_with(&receiver, OLD, 2).await.status(), 401);

    // What cannot be read is a secret that is not known, and the old one still is one.
    std::fs::remove_file(&path).unwrap();
    let error = secrets.refresh().await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unreadable);
    assert_eq!(signed_with(&receiver, NEW, 3).await.status(), 200);
    let undecided = signed_with(&receiver, OLD, 3).await;
    assert_eq!(
        (undecided.status(), undecided.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "secrets_unavailable")
    );
    assert_eq!(receiver.stats().refused(RefusalReason::Secrets), 1);

    std::fs::write(&path, NEW).unwrap();
    secrets.refresh().await.unwrap();
    assert_eq!(signed_with(&receiver, OLD, 3).await.status(), 401);
}

#[test]
fn a_file_holds_a_secret_and_at_most_one_line_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let longest = "x".repeat(4096);
    for (content, outcome) in [
        (OLD.into(), None),
        (format!("{OLD}\n"), None),
        (format!("{OLD}\r\n"), None),
        (format!("{longest}\r\n"), None),
        ("two words".into(), None),
        (String::new(), Some(SecretErrorKind::Empty)),
        ("\n".into(), Some(SecretErrorKind::Empty)),
        (format!("{OLD}\n\n"), Some(SecretErrorKind::Padded)),
        (format!("{OLD}\r"), Some(SecretErrorKind::Padded)),
        (format!("{OLD} \n"), Some(SecretErrorKind::Padded)),
        (format!(" {OLD}\n"), Some(SecretErrorKind::Padded)),
        (format!("\u{feff}{OLD}"), Some(SecretErrorKind::Padded)),
        ("\0".repeat(33), Some(SecretErrorKind::Control)),
        (format!("{OLD}\0\n"), Some(SecretErrorKind::Control)),
        (format!("\0{OLD}\n"), Some(SecretErrorKind::Control)),
        (format!("{OLD}\n{NEW}\n"), Some(SecretErrorKind::Control)),
        ("a\u{7f}b".into(), Some(SecretErrorKind::Control)),
        ("a\u{85}b".into(), Some(SecretErrorKind::Control)),
        (format!("{longest}x"), Some(SecretErrorKind::TooLong)),
        (longest.repeat(3), Some(SecretErrorKind::TooLong)),
    ] {
        std::fs::write(&path, &content).unwrap();
        let read = Secret::from_file(&path)
            .map(drop)
            .map_err(|error| error.kind());
        assert_eq!(read.err(), outcome, "{} bytes", content.len());
    }
    std::fs::write(&path, b"\xff\xfe").unwrap();
    let kinds = [path, directory.path().into(), directory.path().join("none")]
        .map(|path| Secret::from_file(path).map_err(|error| error.kind()).err());
    assert_eq!(
        kinds.map(Option::unwrap),
        [
            SecretErrorKind::NotText,
            SecretErrorKind::Unreadable,
            SecretErrorKind::Unreadable
        ]
    );
}

/// HMAC fills a key up with zeros: one of zeros alone is the empty key.
#[tokio::test]
async fn a_file_of_zeros_lets_nobody_in_who_signs_with_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, OLD).unwrap();
    let receiver = builder().secret_file(&path).build().unwrap();
    let zeros = "\0".repeat(32);
    std::fs::write(&path, &zeros).unwrap();
    let error = receiver.secrets().refresh().await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Control);
    for forged in ["", "\0", &zeros] {
        let answer = signed_with(&receiver, forged, 1).await;
        assert_eq!(answer.code(), "secrets_unavailable");
    }
    assert_eq!(signed_with(&receiver, OLD, 1).await.status(), 200);
}

#[tokio::test]
async fn what_is_no_regular_file_holds_up_no_reload_and_keeps_the_secret_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, OLD).unwrap();
    let receiver = builder().secret_file(&path).build().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for other in [&*pipe, "/dev/zero".as_ref(), "/dev/full".as_ref()] {
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(other, &path).unwrap();
        let error = receiver.secrets().refresh().await.unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Unreadable);
        assert_eq!(signed_with(&receiver, OLD, 1).await.status(), 200);
    }
    // As a link to another file, as Kubernetes writes one, it is read.
    let other = directory.path().join("other");
    std::fs::write(&other, NEW).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    receiver.secrets().refresh().await.unwrap();
    assert_eq!(signed_with(&receiver, NEW, 2).await.status(), 200);
}

/// A variable cannot be set for a test alone: the test runs itself with one.
#[test]
fn a_variable_with_control_characters_in_it_holds_no_secret() {
    const VARIABLE: &str = "A_SECRET_WITH_CONTROL_CHARACTERS";
    if std::env::var_os(VARIABLE).is_some() {
        let error = Secret::from_env(VARIABLE).unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Control);
        return;
    }
    let name = "gate::secrets::a_variable_with_control_characters_in_it_holds_no_secret";
    let again = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(VARIABLE, "a\u{1b}[31mb")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && told.contains("1 passed"),
        "{told}"
    );
}

#[test]
fn a_secret_from_the_environment_has_the_variables_name_as_its_label() {
    let secret = Secret::from_env("CARGO_PKG_NAME").unwrap();
    assert_eq!(secret.label(), Some("CARGO_PKG_NAME"));
    assert!(!format!("{secret:?}").contains(env!("CARGO_PKG_NAME")));
}

#[test]
fn build_says_which_secret_it_cannot_use() {
    for builder in [
        builder().secret(""),
        builder().secret(" padded"),
        builder().secret("\0".repeat(32)),
        builder().secret(OLD).secret_file("/there/is/no/such/file"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::BadSecret);
    }
}

/// A source that gives what a test told it to: a secret, or a failure.
fn told() -> (watch::Sender<Option<Vec<&'static str>>>, ReceiverBuilder) {
    let (tell, told) = watch::channel(None);
    let source = move || {
        let secrets = told.borrow().clone();
        async move {
            let secrets: Vec<&str> = secrets.ok_or("the vault is sealed")?;
            Ok(secrets.into_iter().map(Secret::from).collect())
        }
    };
    (tell, builder().secret_source(source))
}

#[tokio::test]
async fn a_source_that_does_not_say_costs_no_event() {
    let (tell, builder) = told();
    let receiver = builder.build().unwrap();
    let secrets = receiver.secrets();

    let statuses = async |id: u32| {
        let old = signed_with(&receiver, OLD, id).await.status().as_u16();
        let new = signed_with(&receiver, NEW, id).await.status().as_u16();
        let bare = send(&receiver.service(), unsigned(call_hangup(id)))
            .await
            .status()
            .as_u16();
        [old, new, bare]
    };
    // Not asked yet, and then in vain.
    assert_eq!(statuses(1).await, [503, 503, 401]);
    assert_eq!(
        secrets.refresh().await.unwrap_err().kind(),
        SecretErrorKind::Source
    );
    assert_eq!(statuses(2).await, [503, 503, 401]);

    tell.send(Some(vec![OLD])).unwrap();
    secrets.refresh().await.unwrap();
    assert_eq!(statuses(3).await, [200, 401, 401]);

    for failure in [
        None,
        Some(vec![]),
        Some(vec![NEW, " "]),
        Some(vec![NEW, "\0"]),
    ] {
        tell.send(failure).unwrap();
        secrets.refresh().await.unwrap_err();
        assert_eq!(statuses(4).await, [200, 503, 401]);
    }
    tell.send(Some(vec![NEW])).unwrap();
    secrets.refresh().await.unwrap();
    assert_eq!(statuses(5).await, [401, 200, 401]);
}

#[tokio::test]
async fn a_source_that_fails_keeps_no_other_from_being_asked() {
    let (tell, builder) = told();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, OLD).unwrap();
    let receiver = builder
        .secret_file(&path)
        .secret("by value")
        .build()
        .unwrap();
    std::fs::write(&path, NEW).unwrap();
    receiver.secrets().refresh().await.unwrap_err();
    assert_eq!(signed_with(&receiver, NEW, 1).await.status(), 200);
    assert_eq!(signed_with(&receiver, "by value", 2).await.status(), 200);

    // What is given by value is replaced alone.
    tell.send(Some(vec!["sealed"])).unwrap();
    receiver.secrets().refresh().await.unwrap();
    let nothing: [&str; 0] = [];
    receiver.secrets().set(nothing).unwrap();
    assert_eq!(labels(&receiver.secrets()).len(), 2);
    for (secret, status) in [("by value", 401), ("sealed", 200), (NEW, 200)] {
        assert_eq!(signed_with(&receiver, secret, 3).await.status(), status);
    }
}

#[tokio::test]
async fn a_signature_is_not_ignored_because_its_secret_is_not_known_yet() {
    let (_, builder) = told();
    let receiver = builder.allow_unsigned().build().unwrap();
    assert_eq!(signed_with(&receiver, OLD, 1).await.status(), 503);
    let answer = send(&receiver.service(), unsigned(call_hangup(1))).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn an_empty_body_with_a_signature_is_a_redirect_also_when_secrets_are_missing() {
    let (_, builder) = told();
    let receiver = builder.build().unwrap();
    let mut request = Request::get("/")
        .body(Full::new(bytes::Bytes::new()))
        .unwrap();
    *request.headers_mut() = HeaderMap::from_iter([(
        http::HeaderName::from_static("x-voipbin-signature"),
        HeaderValue::from_str(&Signer::new(OLD).sign(b"{}")).unwrap(),
    )]);
    let answer = send(&receiver.service(), request).await;
    assert_eq!(
        (answer.status().as_u16(), answer.code()),
        (503, "signature_without_body")
    );
}

#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    let receiver = builder()
        .secret(OLD)
        .secret(Secret::from(NEW).with_label("new"))
        .build();
    let receiver = receiver.unwrap();
    let shown = format!(
        "{:?} {:?} {:?}",
        receiver.secrets(),
        receiver.secrets().usage(),
        receiver
    );
    assert!(shown.contains("new"));
    for secret in [OLD, NEW] {
        assert!(!shown.contains(&secret[..8]), "{shown}");
    }
}
