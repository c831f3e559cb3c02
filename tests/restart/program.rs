//! The programs that are restarted, and how a supervisor starts them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};

use support::{SECRET, standalone};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use voipbin_receiver::mount::Server;

/// Hands standard input down as a socket, as systemd does with one that it holds.
const HAND_DOWN: &str = r#"exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@""#;

/// One that can be restarted.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// Whether it takes a socket that is handed down.
    pub(crate) inherits: bool,
    /// Its file; that of the standalone server is built when it is needed.
    file: Option<&'static str>,
    arguments: &'static [&'static str],
}

pub(crate) const STANDALONE: Program = Program {
    name: "standalone",
    inherits: true,
    file: None,
    arguments: &["--drain", "1s"],
};

/// It asks the one before it for its listening socket.
pub(crate) const TAKING_OVER: Program = Program {
    arguments: &["--drain", "1s", "--take-over"],
    ..STANDALONE
};

/// It drains for as long as it takes.
pub(crate) const PATIENT: Program = Program {
    arguments: &["--drain", "1h"],
    ..STANDALONE
};

pub(crate) const PATIENT_IN_MEMORY: Program = Program {
    arguments: &["--drain", "1h", "--inbox", "memory"],
    ..STANDALONE
};

macro_rules! page {
    ($name:literal, $inherits:literal) => {
        Program {
            name: $name,
            inherits: $inherits,
            file: Some(env!(concat!("CARGO_BIN_EXE_page-", $name))),
            arguments: &[],
        }
    };
}

pub(crate) const PROGRAMS: [Program; 5] = [
    page!("axum", true),
    page!("actix", true),
    page!("server", true),
    page!("front", false),
    page!("coming-from", false),
];

/// Where a program is reached.
pub(crate) enum Door {
    /// A socket that outlives it.
    Inherited(TcpListener),
    /// One of its own, at this address.
    Own(SocketAddr),
}

impl Door {
    /// As many may wait at it as at one of systemd's.
    pub(crate) async fn inherited() -> Self {
        let socket = Server::bind("127.0.0.1:0").await.unwrap();
        Self::Inherited(socket.into_std().unwrap())
    }

    pub(crate) async fn own() -> Self {
        let free = Server::bind("127.0.0.1:0").await.unwrap();
        Self::Own(free.local_addr().unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Inherited(socket) => socket.local_addr().unwrap(),
            Self::Own(address) => *address,
        }
    }

    /// Until somebody listens.
    pub(crate) async fn opens(&self) {
        while tokio::net::TcpStream::connect(self.address())
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    }
}

/// The events that handlers say they have handled, in whichever process.
#[derive(Clone, Default)]
pub(crate) struct Handled(Arc<(Mutex<BTreeSet<u64>>, Notify)>);

impl Handled {
    fn events(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.0.0.lock().unwrap()
    }

    /// A line that a handler has printed, with the id of the call somewhere in it.
    fn read(&self, line: &str) {
        if let Some((_, behind)) = line.split_once("restart-") {
            let digits = behind.split(|char: char| !char.is_ascii_digit()).next();
            self.events().insert(digits.unwrap().parse().unwrap());
            self.0.1.notify_one();
        }
    }

    /// How many of these events are not handled.
    pub(crate) fn missing(&self, acked: &BTreeSet<u64>) -> usize {
        acked.difference(&self.events()).count()
    }

    /// Until all of these events are handled; for one caller.
    pub(crate) async fn wait_for(&self, acked: &BTreeSet<u64>) {
        while self.missing(acked) > 0 {
            self.0.1.notified().await;
        }
    }
}

/// A process of a program.
pub(crate) struct Process {
    child: Child,
    printed: Printed,
}

enum Printed {
    /// It waits for room, which there is none.
    Unread {
        _held: UnixStream,
    },
    Read(JoinHandle<()>),
}

impl Program {
    /// What it takes to build it is no round's time.
    pub(crate) fn file(&self) -> &'static Path {
        self.file.map_or_else(standalone::program, Path::new)
    }

    /// Starts it in this directory. When it hangs, no handler comes to its end.
    pub(crate) fn start(
        &self,
        door: &Door,
        directory: &Path,
        hangs: bool,
        handled: &Handled,
    ) -> Process {
        let file = self.file();
        let mut command = match door {
            Door::Inherited(socket) => {
                let mut command = Command::new("sh");
                command.args(["-c", HAND_DOWN, "sh"]).arg(file);
                command.stdin(OwnedFd::from(socket.try_clone().unwrap()));
                command
            }
            Door::Own(_) => {
                let mut command = Command::new(file);
                command.stdin(Stdio::null());
                command
            }
        };
        command
            .current_dir(directory)
            .env_clear()
            .env("VOIPBIN_NO_INSPECTOR", "true")
            .env("VOIPBIN_SECRET", SECRET)
            .env("LISTEN", door.address().to_string())
            .args(self.arguments)
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if hangs {
            command.env("HANG", "");
        }
        if self.file.is_none() {
            command.args(["--listen", &door.address().to_string()]);
        }
        let (printed, stdout) = UnixStream::pair().unwrap();
        if hangs {
            fill(&stdout);
        }
        command.stdout(OwnedFd::from(stdout));
        let child = command.spawn().unwrap();
        // It holds the other end of the pair, which would never end.
        drop(command);
        let printed = if hangs {
            Printed::Unread { _held: printed }
        } else {
            Printed::Read(tokio::spawn(read(printed, handled.clone())))
        };
        Process { child, printed }
    }
}

/// Leaves no room for the handlers of the standalone server to print, which hang therefore.
fn fill(mut stdout: &UnixStream) {
    stdout.set_nonblocking(true).unwrap();
    while stdout.write(&[b'\n'; 4096]).is_ok() {}
    while stdout.write(b"\n").is_ok() {}
    stdout.set_nonblocking(false).unwrap();
}

async fn read(printed: UnixStream, handled: Handled) {
    printed.set_nonblocking(true).unwrap();
    let printed = tokio::net::UnixStream::from_std(printed).unwrap();
    let mut lines = BufReader::new(printed).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        handled.read(&line);
    }
}

impl Process {
    /// Tells it to stop.
    pub(crate) async fn terminate(&self) {
        let process = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &process]).status();
        assert!(kill.await.unwrap().success());
    }

    /// The same, and waits for its end, however it ends.
    pub(crate) async fn stop(self) {
        self.terminate().await;
        self.ends().await;
    }

    /// Waits for its end, however it ends.
    pub(crate) async fn ends(mut self) {
        self.child.wait().await.unwrap();
        if let Printed::Read(lines) = self.printed {
            lines.await.unwrap();
        }
    }
}
