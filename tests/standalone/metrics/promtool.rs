//! What Prometheus's own tool says. Where it is not there these say so and check nothing: the other
//! tests read the same files and texts.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::metrics::{drive, monitoring};

/// The tool, run to its end with this on its standard input; `None` where there is none. It must be
/// there when `PROMTOOL` says where.
fn promtool(arguments: &[&str], input: &str) -> Option<()> {
    let told = std::env::var_os("PROMTOOL");
    let tool = told.clone().unwrap_or_else(|| "promtool".into());
    let mut command = Command::new(tool);
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            assert!(told.is_none(), "PROMTOOL cannot be run: {error}");
            eprintln!("NOT CHECKED by promtool, which is not here; `.ci/test` installs it");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{arguments:?}: {said}");
    Some(())
}

#[test]
fn promtool_takes_the_alerts() {
    let alerts = monitoring().join("alerts.yml");
    promtool(&["check", "rules", alerts.to_str().unwrap()], "");
}

#[test]
fn each_alert_fires_when_it_should_and_only_then() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("standalone/metrics/alerts.test.yml");
    promtool(&["test", "rules", cases.to_str().unwrap()], "");
}

#[tokio::test(start_paused = true)]
async fn promtool_takes_what_is_emitted_and_finds_its_names_good() {
    let rendered = drive::rendered().await;
    promtool(&["check", "metrics"], &rendered);
}
