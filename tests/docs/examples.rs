//! The examples that demonstrate a use case: each runs, and finds that all is as it should be.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use support::{example, within};
use tokio::process::Command;

async fn run(program: PathBuf, logs: &str) -> Output {
    let mut program = Command::new(program);
    // With an environment of its own: whatever the tests run in does not matter.
    program
        .env_clear()
        .env("RUST_LOG", logs)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    within(program.output()).await.unwrap()
}

/// Runs an example and compares what it prints, whatever it logs.
async fn demonstrates(name: &str, lines: &[&str]) {
    let program = example(name).await;
    let output = run(program.clone(), "off").await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{name} failed:\n{text}");
    for line in lines {
        let found = text.lines().any(|found| found.trim() == *line);
        assert!(found, "{name} does not print {line:?}:\n{text}");
    }
    assert_eq!(text.lines().last(), Some("all as it should be"));
    assert!(output.stderr.is_empty(), "{name} writes errors");

    let output = run(program, "trace").await;
    assert!(output.status.success(), "{name} fails while it logs");
    let logs = String::from_utf8(output.stderr).unwrap();
    assert!(!logs.is_empty(), "{name} does not log");
    let everything = logs + &String::from_utf8(output.stdout).unwrap();
    for private in [
        "+1555",
        "vb_demonstration",
        "a-secret-for",
        "Are you open",
        "team@",
    ] {
        let line = everything.lines().find(|line| line.contains(private));
        assert_eq!(line, None, "{name} logs {private:?}");
    }
}

#[tokio::test]
async fn the_crm_counts_each_call_once() {
    let lines = [
        "ok     answer: \"duplicate\"",
        "ok     answer: \"received\"",
        "ok     contacts: 1",
        "ok     calls: 2",
        "ok     talked: 60s",
        "ok     because of: Some(\"timeout\")",
        "ok     on the phone: false",
    ];
    demonstrates("crm", &lines).await;
}

#[tokio::test]
async fn the_auto_reply_answers_once_and_never_itself() {
    let lines = [
        "ok     messages: 1",
        "ok     it goes to the sender: true",
        "ok     it comes from the number that was written to: true",
        "ok     announcements that the handler saw: 3",
        "ok     events of the other family, left alone: 4",
    ];
    demonstrates("auto-reply", &lines).await;
}

#[tokio::test]
async fn the_recordings_are_mailed_once_their_files_are_there() {
    let lines = [
        "ok     downloads: 3",
        "ok     downloads: 4",
        "ok     mails: 1",
        "ok     subject: Some(\"Subject: Recording 0085c92c-f14f-40ca-a375-5aa4349832cb\")",
        "ok     the storage saw the access key: false",
    ];
    demonstrates("recordings", &lines).await;
}
