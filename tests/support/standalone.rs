//! The standalone example, run as a newcomer and as a service manager run it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use voipbin_receiver::testing::{Report, Sender, Signer};

use crate::client::{HttpClient, http_client};
use crate::examples::example_now;

/// The example, built from the sources as they are.
pub fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| example_now("standalone"));
    &PROGRAM
}

/// As [`within`](crate::within), for a test of the program: what it takes to build that does not
/// count.
pub async fn within<F: Future>(test: F) -> F::Output {
    program();
    crate::within(test).await
}

/// In this directory, with an environment of its own: whatever the tests run in does not matter.
pub fn command(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        // Its port by default is one of the machine's.
        .env("VOIPBIN_NO_INSPECTOR", "true")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A run that came to its end by itself, and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Of a process that was waited for.
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The JSON on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The lines of JSON on standard output.
    pub fn lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The ids of events on standard output, one a line.
    pub fn ids(&self) -> Vec<u64> {
        let lines = self.stdout.lines();
        lines.map(|line| line.parse().unwrap()).collect()
    }

    /// Of a run of `--check`: a setting, and where it came from.
    pub fn setting(&self, key: &str) -> (String, String) {
        let all = self.settings();
        all.get(key)
            .unwrap_or_else(|| panic!("no {key} in {self:?}"))
            .clone()
    }

    /// Of a run of `--check`: every setting that has a value, and where it came from.
    pub fn settings(&self) -> BTreeMap<String, (String, String)> {
        let lines = self.stdout.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (written, origin) = line.split_once(" # ").unwrap();
                let (key, value) = written.trim_end().split_once(" = ").unwrap();
                (key.to_owned(), (value.to_owned(), origin.to_owned()))
            })
            .collect()
    }
}

/// Runs the program in this directory until it ends.
pub async fn run(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let output = command(directory, arguments, environment).output().await;
    Finished::of(output.unwrap())
}

/// A server that has said that it listens.
pub struct Server {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    /// Where it takes webhooks.
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it wrote to standard error before it said so.
    pub before: Vec<String>,
    /// The directory that it runs in, when it is its own.
    _directory: Option<TempDir>,
}

/// Everything that a process writes, read as it comes so that it never waits for a reader.
struct Lines(mpsc::UnboundedReceiver<String>);

impl Lines {
    fn of(stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = sender.send(line);
            }
        });
        Self(receiver)
    }

    async fn next(&mut self) -> String {
        self.0.recv().await.expect("it has ended")
    }

    async fn rest(mut self) -> Vec<String> {
        let mut rest = Vec::new();
        while let Some(line) = self.0.recv().await {
            rest.push(line);
        }
        rest
    }
}

/// How a server ended, and what it wrote that nobody had read.
pub struct End {
    /// How.
    pub status: ExitStatus,
    /// Lines on standard output.
    pub stdout: Vec<String>,
    /// Lines on standard error.
    pub stderr: Vec<String>,
}

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

impl Server {
    /// Starts it on a free port, in a directory of its own that goes with it.
    pub async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self::start_in(directory.path(), arguments, environment).await;
        server._directory = Some(directory);
        server
    }

    /// Starts it on a free port, in this directory.
    pub async fn start_in(
        directory: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let arguments: Vec<_> = ANY_PORT.iter().chain(arguments).copied().collect();
        Self::run(command(directory, &arguments, environment)).await
    }

    /// Starts it as it is given.
    pub async fn run(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let mut stderr = Lines::of(child.stderr.take().unwrap());
        let mut before = Vec::new();
        let url = loop {
            let line = stderr.next().await;
            if let Some(url) = line.strip_prefix("listening on ") {
                break url.to_owned();
            }
            before.push(line);
        };
        let (_, behind) = url.split_once("://").unwrap();
        let address = behind.split('/').next().unwrap().parse().unwrap();
        Self {
            child,
            stdout,
            stderr,
            url,
            address,
            before,
            _directory: None,
        }
    }

    /// What the next line on standard error that begins so goes on with.
    pub async fn told(&mut self, beginning: &str) -> String {
        loop {
            if let Some(rest) = self.stderr.next().await.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// The next line on standard error with this in it.
    pub async fn logged(&mut self, part: &str) -> String {
        loop {
            let line = self.stderr.next().await;
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The command that the greeting shows, exactly as it stands there.
    pub async fn printed_command(&mut self) -> String {
        let mut command = String::new();
        loop {
            let line = self.stderr.next().await;
            if line.is_empty() && !command.is_empty() {
                return command;
            }
            if line.starts_with("curl ") || !command.is_empty() {
                command.push_str(&line);
                command.push('\n');
            }
        }
    }

    /// A sender with this secret.
    pub fn sender(&self, secret: &str) -> Sender<HttpClient> {
        Sender::new(http_client(), Signer::new(secret)).uri(self.url.parse().unwrap())
    }

    /// Sends an event with this secret.
    pub async fn send(&self, secret: &str, body: &str) -> Report {
        self.sender(secret).send(body.to_owned()).await
    }

    /// The status of the last answer to an event with this secret.
    pub async fn answer(&self, secret: &str, body: &str) -> u16 {
        self.send(secret, body).await.status().unwrap().as_u16()
    }

    /// The same without a signature.
    pub async fn answer_unsigned(&self, body: &str) -> u16 {
        self.send_unsigned(body).await.status().unwrap().as_u16()
    }

    /// Sends an event without a signature.
    pub async fn send_unsigned(&self, body: &str) -> Report {
        let sender = Sender::unsigned(http_client()).uri(self.url.parse().unwrap());
        sender.send(body.to_owned()).await
    }

    /// The next line on standard output.
    pub async fn event(&mut self) -> Value {
        serde_json::from_str(&self.stdout.next().await).unwrap()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Sends it a signal.
    pub async fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.pid());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    /// Stops it with SIGTERM.
    pub async fn stop(self) -> End {
        self.stop_with("TERM").await
    }

    /// Stops it with this signal.
    pub async fn stop_with(self, signal: &str) -> End {
        self.signal(signal).await;
        self.end().await
    }

    /// Waits for its end.
    pub async fn end(mut self) -> End {
        let status = self.child.wait().await.unwrap();
        End {
            status,
            stdout: self.stdout.rest().await,
            stderr: self.stderr.rest().await,
        }
    }
}

/// Runs it to its end without a signal; exit code and standard error. It prints nothing else.
pub async fn refuses(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let refused = run(directory.path(), arguments, environment).await;
    let said = refused.stderr;
    assert_eq!(refused.code, 2, "{said}");
    assert!(refused.stdout.is_empty());
    assert!(said.len() > 30 && said.contains(' '), "no sentence: {said}");
    said
}

/// What a person sees who pastes a command into a terminal.
pub async fn paste(command: &str) -> String {
    let output = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert_ne!(
        output.status.code(),
        Some(127),
        "this test needs curl; `.ci/test` installs it"
    );
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
