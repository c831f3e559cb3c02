//! The tool's side: the inbox itself where it is free, the server that has it otherwise.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use voipbin_receiver::inbox::{DiskInbox, DiskInboxError, DiskInboxErrorKind};

use super::SOCKET;
use super::answer::{answer, channel};
use super::control::LONGEST_REQUEST;
use super::protocol::{Answer, Ask, Request, VERSION};
use crate::terminal::in_full;

/// A server that starts or stops has the directory and no socket for a moment.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(50);

/// How long a server may be silent. It says every few seconds that it works.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest answer: the largest body of an event, with each of its bytes escaped, and more.
const LONGEST_ANSWER: u64 = 64 << 20;

/// An inbox to ask one thing.
pub(crate) enum Source {
    /// Nobody else has it.
    Opened(DiskInbox),
    /// A server has it.
    Served(UnixStream),
}

impl Source {
    pub(crate) async fn open(directory: &Path) -> Result<Self, String> {
        if !holds_inbox(directory) {
            return Err(format!(
                "there is no inbox in {}: name the server's directory with --directory or VOIPBIN_DIRECTORY",
                directory.display()
            ));
        }
        let since = Instant::now();
        loop {
            let holder = match look_into(directory) {
                Ok(inbox) => return Ok(Self::Opened(inbox)),
                Err(error) => match error.kind() {
                    DiskInboxErrorKind::Locked { holder } => holder,
                    _ => return Err(in_full(&error)),
                },
            };
            let path = directory.join(SOCKET);
            match UnixStream::connect(&path).await {
                Ok(stream) => return Ok(Self::Served(stream)),
                Err(error) if since.elapsed() > PATIENCE || !may_pass(&error) => {
                    return Err(unreachable(directory, holder, &path, &error));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    pub(crate) fn is_served(&self) -> bool {
        matches!(self, Self::Served(_))
    }

    pub(crate) async fn ask(self, ask: Ask) -> Result<Replies, String> {
        match self {
            Self::Opened(inbox) => {
                let (to, from) = channel();
                tokio::spawn(async move { answer(&inbox, ask, to).await });
                Ok(Replies::Here(from))
            }
            Self::Served(stream) => {
                let version = VERSION;
                let mut line = serde_json::to_vec(&Request { version, ask })
                    .map_err(|error| error.to_string())?;
                line.push(b'\n');
                if line.len() > LONGEST_REQUEST {
                    return Err("these are too many ids at once: name fewer of them".into());
                }
                let (read, mut write) = stream.into_split();
                // One that is turned away may find the answer and a closed connection.
                let _ = write.write_all(&line).await;
                let read = BufReader::new(read);
                Ok(Replies::There {
                    read,
                    _write: write,
                })
            }
        }
    }
}

/// Whether there is an inbox in a directory.
pub(crate) fn holds_inbox(directory: &Path) -> bool {
    directory.join("events.redb").exists()
}

/// Opens an inbox and removes nothing from it by its age or for want of room: how much stays, and for how
/// long, is the server's affair.
pub(crate) fn look_into(directory: &Path) -> Result<DiskInbox, DiskInboxError> {
    DiskInbox::builder(directory)
        .max_events(usize::MAX)
        .max_bytes(u64::MAX)
        .identity_ttl(Duration::MAX)
        .retain_done(Duration::MAX)
        .retain_dead(Duration::MAX)
        .open()
}

/// Whether waiting may help: there is no socket yet, or nobody at it.
fn may_pass(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock
    )
}

fn unreachable(directory: &Path, holder: Option<u32>, path: &Path, error: &io::Error) -> String {
    let by = holder.map_or_else(String::new, |holder| format!(" by process {holder}"));
    format!(
        "the inbox in {} is in use{by}, which cannot be asked at {}: {error}; try again, or stop it first",
        directory.display(),
        path.display(),
    )
}

/// The answers to one thing that was asked.
pub(crate) enum Replies {
    Here(mpsc::Receiver<Answer>),
    There {
        read: BufReader<OwnedReadHalf>,
        /// Whoever closes it hangs up.
        _write: OwnedWriteHalf,
    },
}

impl Replies {
    /// The next answer, `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Answer>, String> {
        loop {
            let answer = match self {
                Self::Here(from) => from.recv().await.ok_or("the inbox cannot be read")?,
                Self::There { read, .. } => timeout(SILENCE, receive(read))
                    .await
                    .map_err(|_| "the server does not answer: look at its logs".to_owned())??,
            };
            match answer {
                Answer::Working => {}
                Answer::End => return Ok(None),
                Answer::Failed { why } => return Err(why),
                answer => return Ok(Some(answer)),
            }
        }
    }
}

async fn receive(read: &mut BufReader<OwnedReadHalf>) -> Result<Answer, String> {
    let mut line = Vec::new();
    let received = read.take(LONGEST_ANSWER).read_until(b'\n', &mut line).await;
    match received {
        Ok(_) if line.ends_with(b"\n") => serde_json::from_slice(&line)
            .map_err(|error| format!("the server's answer cannot be read: {error}")),
        Ok(0) => Err("the server hung up in the middle: has it stopped?".into()),
        Ok(_) => Err("the server's answer is cut off".into()),
        Err(error) => Err(format!("the server's answer cannot be read: {error}")),
    }
}
