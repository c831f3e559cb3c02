use std::ffi::OsStr;
use std::process::Stdio;

use serde_json::Value;
use support::process::memory_of;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A process that prints JSON lines, and ends when its standard input does.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    pub(crate) fn start(
        program: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line.
    pub(crate) async fn line(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Tells it to go on.
    pub(crate) async fn go_on(&mut self) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(b"\n").await.unwrap();
    }

    /// Has it end; its last line.
    pub(crate) async fn end(mut self) -> Value {
        drop(self.child.stdin.take());
        let last = self.line().await;
        assert!(self.child.wait().await.unwrap().success());
        last
    }

    /// A figure of its memory, in bytes.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        memory_of(&[self.child.id().unwrap()], name).unwrap()
    }
}

/// For people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
