use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::reply::{Answer, Reply};
use super::requests::Requests;

/// One connection with at most one request on its way.
pub(super) struct Connection {
    stream: TcpStream,
    /// The bytes of its request.
    request: Vec<u8>,
    written: usize,
    reply: Reply,
    /// From when the time of its answer counts, while one is to come.
    since: Option<Instant>,
}

impl Connection {
    pub(super) fn open(
        address: SocketAddr,
        registry: &Registry,
        token: usize,
        requests: &Requests,
    ) -> Self {
        let request = requests.template();
        Self {
            stream: connect(address, registry, token),
            written: request.len(),
            request,
            reply: Reply::default(),
            since: None,
        }
    }

    /// Takes the place of a connection that the server has closed.
    pub(super) fn reopen(&mut self, address: SocketAddr, registry: &Registry, token: usize) {
        self.stream = connect(address, registry, token);
    }

    pub(super) fn send(&mut self, requests: &Requests, number: usize, since: Instant) {
        requests.write(number, &mut self.request);
        self.since = Some(since);
        self.written = 0;
        self.write();
    }

    /// Writes what the socket takes.
    fn write(&mut self) {
        while self.written < self.request.len() {
            match self.stream.write(&self.request[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("a request could not be sent: {error}"),
            }
        }
    }

    /// Goes on where the socket could not.
    pub(super) fn advance(&mut self) -> Advance {
        if self.since.is_some() {
            self.write();
        }
        loop {
            match self.stream.read(self.reply.space()) {
                Ok(0) if self.since.is_none() => return Advance::Closed,
                Ok(0) => panic!("the server closed a connection in place of an answer"),
                Ok(count) => {
                    let Some(mut answer) = self.reply.filled(count) else {
                        continue;
                    };
                    let since = self.since.take().expect("an answer to nothing");
                    // It was not waited for the rest of the request.
                    answer.closes |= self.written < self.request.len();
                    return Advance::Answered(answer, since);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Advance::Waits,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("an answer could not be read: {error}"),
            }
        }
    }
}

/// What a connection has come to.
pub(super) enum Advance {
    Waits,
    /// An answer, with the time that its own counts from.
    Answered(Answer, Instant),
    /// The server has closed it, between two requests.
    Closed,
}

fn connect(address: SocketAddr, registry: &Registry, token: usize) -> TcpStream {
    let stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(stream);
    registry
        .register(
            &mut stream,
            Token(token),
            Interest::READABLE | Interest::WRITABLE,
        )
        .unwrap();
    stream
}
