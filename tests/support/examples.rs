use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Builds an example from the sources as they are; its program.
pub async fn example(name: &str) -> PathBuf {
    let build = tokio::process::Command::from(build(name)).output();
    executable(name, &build.await.unwrap())
}

/// The same for who cannot wait.
pub(crate) fn example_now(name: &str) -> PathBuf {
    executable(name, &build(name).output().unwrap())
}

fn build(name: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // What cargo tells a test of its package. Build scripts that look at such a variable, as ring's
    // does, would run again, and all that stands on them be built anew: here, and in the next build
    // outside of a test.
    for (variable, _) in std::env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
        if told
            .iter()
            .any(|told| variable.to_string_lossy().starts_with(told))
        {
            build.env_remove(variable);
        }
    }
    // With the features of a build of everything, so that such a build has done the work.
    build.args(["build", "--workspace", "--all-features", "--example", name]);
    build.arg("--message-format=json-render-diagnostics");
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    build
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    build
}

fn executable(name: &str, output: &std::process::Output) -> PathBuf {
    assert!(output.status.success(), "{name} cannot be built");
    let messages = output.stdout.split(|byte| *byte == b'\n');
    messages
        .filter_map(|message| serde_json::from_slice::<Value>(message).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| Some(message["executable"].as_str()?.into()))
        .unwrap()
}
