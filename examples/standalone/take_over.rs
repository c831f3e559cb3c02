//! A new server takes over from an old one, and somebody listens at any moment.
//!
//! They speak over a Unix socket in the inbox's directory:
//!
//! ```text
//! old -> new   the listening socket, and the time of systemd's watchdog
//! new -> old   RELEASE: it accepts, and what comes to it waits for the inbox
//! old          accepts nothing more, answers what it has, cuts handlers off, closes the inbox
//! new -> old   OPENED: the old one ends
//! ```
//!
//! When the new one ends before the last of it, the old one goes on.

use std::fs;
use std::future::pending;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::settings::{InboxSettings, Settings};

const SOCKET: &str = "take-over.sock";

/// How long either waits for the other's next step.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long the new one waits for a socket, before it starts as without.
const ANSWER: Duration = Duration::from_secs(5);

const RELEASE: u8 = b'R';
const OPENED: u8 = b'O';

/// The old server, to the new one.
pub(crate) struct Predecessor {
    line: UnixStream,
    /// systemd tells it to the process alone that it has started.
    pub(crate) watchdog: Option<Duration>,
}

/// Asks the server that has the inbox for its listening socket, where this one is to take over.
pub(crate) async fn ask(settings: &Settings) -> Option<(Predecessor, TcpListener)> {
    if !settings.server.take_over {
        return None;
    }
    let Some(directory) = settings.inbox.directory() else {
        tracing::warn!("only an inbox on disk has a server to take over from");
        return None;
    };
    let asked = timeout(ANSWER, receive(directory)).await;
    let asked = asked.map_err(io::Error::from).flatten();
    asked
        .inspect_err(|error| tracing::info!(%error, "there is no server to take over from"))
        .ok()
}

async fn receive(directory: &Path) -> io::Result<(Predecessor, TcpListener)> {
    let line = UnixStream::connect(directory.join(SOCKET)).await?;
    let mut watchdog = [0; size_of::<u64>()];
    let socket = line.async_io(Interest::READABLE, || {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut data = [IoSliceMut::new(&mut watchdog)];
        recvmsg(&line, &mut data, &mut control, RecvFlags::empty())?;
        let socket = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
            _ => None,
        });
        socket.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    });
    let socket = socket.await?;
    let watchdog = u64::from_ne_bytes(watchdog);
    let watchdog = (watchdog > 0).then(|| Duration::from_micros(watchdog));
    Ok((Predecessor { line, watchdog }, socket.into()))
}

impl Predecessor {
    /// Has it give up the inbox. Where it has ended meanwhile that is done.
    pub(crate) async fn release(&mut self) {
        let _ = self.line.write_u8(RELEASE).await;
    }

    /// Has it end.
    pub(crate) async fn opened(mut self) {
        let _ = self.line.write_u8(OPENED).await;
    }
}

/// Where the next server asks.
pub(crate) struct Door {
    /// In the directory of an inbox on disk.
    asked: Option<UnixListener>,
    watchdog: Option<Duration>,
}

impl Door {
    /// To be made while this process has the inbox.
    pub(crate) fn new(inbox: &InboxSettings, watchdog: Option<Duration>) -> Self {
        let bound = inbox.directory().map(bind);
        let asked = bound.and_then(|bound| {
            bound
                .inspect_err(|error| tracing::warn!(%error, "no other server can take over"))
                .ok()
        });
        Self { asked, watchdog }
    }
}

/// Whoever may connect may stop the server: the directory's mode and the socket's keep others out.
fn bind(directory: &Path) -> io::Result<UnixListener> {
    let path = directory.join(SOCKET);
    // That of the process that had the inbox before.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => {
            let socket = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(socket)
        }
    }
}

/// The new server, to the old one.
pub(crate) struct Successor(UnixStream);

/// Waits for a server that takes over, and accepts.
pub(crate) async fn next(door: Option<&Door>, listener: &TcpListener) -> Successor {
    let Some(Door {
        asked: Some(asked),
        watchdog,
    }) = door
    else {
        return pending().await;
    };
    loop {
        let met = async {
            let (line, _) = asked.accept().await?;
            let watchdog = watchdog.map_or(0, |watchdog| watchdog.as_micros());
            let watchdog = u64::try_from(watchdog).unwrap_or(0);
            timeout(PATIENCE, hand(line, listener, watchdog)).await?
        };
        match met.await {
            Ok(successor) => return successor,
            Err(error) => tracing::warn!(%error, "a server that was to take over did not"),
        }
    }
}

async fn hand(line: UnixStream, listener: &TcpListener, watchdog: u64) -> io::Result<Successor> {
    let sent = line.async_io(Interest::WRITABLE, || {
        let sockets = [listener.as_fd()];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        let data = watchdog.to_ne_bytes();
        let data = [IoSlice::new(&data)];
        Ok(sendmsg(&line, &data, &mut control, SendFlags::empty())?)
    });
    sent.await?;
    let mut successor = Successor(line);
    match successor.0.read_u8().await? {
        RELEASE => Ok(successor),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Successor {
    /// Whether it has the inbox: until it says so, or has ended, or takes too long.
    pub(crate) async fn opened(mut self) -> bool {
        let told = timeout(PATIENCE, self.0.read_u8()).await;
        matches!(told, Ok(Ok(OPENED)))
    }
}
