//! Servers that are killed.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use support::SECRET;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::crash::field::{Field, Line, Run};

/// A standalone server on a directory.
pub(crate) struct Process {
    number: usize,
    pub(crate) child: Child,
    stderr: tokio::io::Lines<BufReader<ChildStderr>>,
    lines: JoinHandle<()>,
}

impl Process {
    pub(crate) fn start(
        number: usize,
        program: &Path,
        directory: &Path,
        field: &Arc<Field>,
    ) -> Self {
        let mut program = Command::new(program);
        program.env_clear();
        Self::run(number, program, directory, field)
    }

    pub(crate) fn run(
        number: usize,
        mut program: Command,
        directory: &Path,
        field: &Arc<Field>,
    ) -> Self {
        let mut child = program
            .args(["--listen", "127.0.0.1:0", "--secret", SECRET, "--directory"])
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let lines = tokio::spawn(read_lines(number, stdout, Arc::clone(field)));
        Self {
            number,
            child,
            stderr,
            lines,
        }
    }

    /// Until it listens, and from then on tells the senders.
    pub(crate) async fn listens(&mut self, field: &Field) {
        loop {
            let line = self.stderr.next_line().await.unwrap();
            let line = line.expect("it ended before it listened");
            if let Some(url) = line.strip_prefix("listening on http://") {
                let address = url.split('/').next().unwrap().parse().unwrap();
                field.server.send_replace(Some((self.number, address)));
                return;
            }
        }
    }

    /// Kills it. All that it had written is read.
    pub(crate) async fn kill(mut self, field: &Field) {
        self.child.start_kill().unwrap();
        let status = self.child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(9), "it ended before it was killed");
        field.server.send_replace(None);
        self.lines.await.unwrap();
    }

    pub(crate) async fn stop(mut self, field: &Field) {
        let kill = format!("kill -TERM {}", self.child.id().unwrap());
        let told = Command::new("sh").args(["-c", &kill]).status();
        assert!(told.await.unwrap().success());
        let mut said = Vec::new();
        while let Some(line) = self.stderr.next_line().await.unwrap() {
            said.push(line);
        }
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{status}: {said:#?}");
        field.server.send_replace(None);
        self.lines.await.unwrap();
    }
}

pub(crate) async fn read_lines(process: usize, stdout: ChildStdout, field: Arc<Field>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        let line: Line = serde_json::from_str(&line).expect("a whole line of JSON");
        let run = Run {
            process,
            attempt: line.attempt,
            over: line.over,
        };
        let event = line.resource_id.parse().unwrap();
        field.seen().runs.entry(event).or_default().push(run);
        field.news.send_replace(());
    }
}
