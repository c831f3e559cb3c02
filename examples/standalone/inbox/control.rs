//! The server's side: while it holds the directory, tools ask it through a socket in there.

use std::fs::{Permissions, remove_file, rename, set_permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use voipbin_receiver::Receiver;
use voipbin_receiver::inbox::{DiskInbox, DiskInboxError, DiskInboxErrorKind};

use super::SOCKET;
use super::answer::{Answers, answer, channel};
use super::protocol::{Answer, Request, VERSION, Versioned};
use crate::settings::InboxSettings;

/// How many tools are answered at once.
const AT_ONCE: usize = 4;

/// The longest request; it holds some ten thousand numbers.
pub(crate) const LONGEST_REQUEST: usize = 256 << 10;

/// How long a tool may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a tool may read nothing, such as one whose output is paged.
const UNREAD: Duration = Duration::from_secs(600);

/// How often a tool is told that it goes on.
const WORKING: Duration = Duration::from_secs(5);

/// After a failed accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a server waits for a directory that a tool looks into.
const TURN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Opens the inbox for a server. A tool may have it for a moment; another server keeps it.
pub(crate) async fn open(settings: &InboxSettings) -> Result<DiskInbox, DiskInboxError> {
    let since = Instant::now();
    let mut told = false;
    loop {
        match settings.disk().open() {
            Err(error)
                if matches!(error.kind(), DiskInboxErrorKind::Locked { .. })
                    && since.elapsed() < TURN
                    && UnixStream::connect(settings.directory.join(SOCKET))
                        .await
                        .is_err() =>
            {
                if !told {
                    tracing::info!("{error}; waiting a moment, it may be a tool");
                    told = true;
                }
                sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// The socket, for as long as this is there.
pub(crate) struct Control {
    path: PathBuf,
    accepting: JoinHandle<()>,
}

impl Control {
    /// Opens the socket. Only whoever has the inbox in this directory may: what a server left there
    /// that was killed is replaced.
    ///
    /// # Errors
    ///
    /// When there can be no socket, for one because its path is longer than about 100 bytes.
    pub(crate) fn open(directory: &Path, receiver: Receiver) -> io::Result<Self> {
        let path = directory.join(SOCKET);
        // It has its name when nobody else can connect to it any more.
        let unnamed = directory.join(format!("{SOCKET}.new"));
        remove(&unnamed)?;
        let listener = UnixListener::bind(&unnamed)?;
        let named = set_permissions(&unnamed, Permissions::from_mode(0o600))
            .and_then(|()| rename(&unnamed, &path));
        if let Err(error) = named {
            let _ = remove(&unnamed);
            return Err(error);
        }
        let accepting = tokio::spawn(accept(listener, receiver));
        Ok(Self { path, accepting })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Err(error) = remove(&self.path) {
            tracing::warn!(%error, "the socket for the inbox's tools is left behind");
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn accept(listener: UnixListener, receiver: Receiver) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a tool's connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            let why = "the server answers as many tools as it can: try again in a moment";
            let _ = stream.try_write(&line(&Answer::Failed { why: why.into() }));
            continue;
        };
        let receiver = receiver.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, receiver).await {
                tracing::debug!(%error, "a tool's connection broke");
            }
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, receiver: Receiver) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let asked = timeout(PATIENCE, request(read)).await??;
    let (to, mut from) = channel();
    tokio::spawn(reply(receiver, asked, to));
    let mut write = BufWriter::new(write);
    loop {
        let next = timeout(WORKING, from.recv()).await;
        let Some(answer) = next.unwrap_or(Some(Answer::Working)) else {
            break;
        };
        let give = async {
            write.write_all(&line(&answer)).await?;
            if from.is_empty() {
                write.flush().await?;
            }
            Ok::<_, io::Error>(())
        };
        timeout(UNREAD, give).await??;
    }
    write.flush().await
}

async fn request(read: OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut read = BufReader::new(read).take(LONGEST_REQUEST as u64);
    read.read_until(b'\n', &mut line).await?;
    Ok(line)
}

async fn reply(receiver: Receiver, asked: Vec<u8>, to: Answers) {
    let ask = match read(&asked) {
        Ok(request) => request.ask,
        Err(why) => return to.fail(why).await,
    };
    match receiver.records() {
        Some(records) => answer(records, ask, to).await,
        None => to.fail("this inbox cannot be looked into".into()).await,
    }
}

fn read(asked: &[u8]) -> Result<Request, String> {
    let not_understood = |error| format!("the server does not understand the request: {error}");
    let Versioned { version } = serde_json::from_slice(asked).map_err(not_understood)?;
    if version != VERSION {
        return Err(format!(
            "the server speaks version {VERSION} and this tool version {version}: use the tool of the server's release"
        ));
    }
    serde_json::from_slice(asked).map_err(not_understood)
}

fn line(answer: &Answer) -> Vec<u8> {
    // Strings and numbers alone: there is nothing that JSON cannot hold.
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}
