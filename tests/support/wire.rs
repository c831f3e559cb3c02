use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use voipbin_receiver::testing::Signer;

use crate::{PATH, signer};

/// What the platform puts on the wire for a body signed with [`SECRET`](crate::SECRET): the
/// spelling and the order of its headers.
pub fn on_the_wire(method: &str, body: &str) -> Vec<u8> {
    signed_on_the_wire(&signer(), method, body)
}

/// The same for a customer with another secret.
pub fn signed_on_the_wire(signer: &Signer, method: &str, body: &str) -> Vec<u8> {
    let signature = signer.sign(body.as_bytes());
    let headers = format!(
        "Content-Length: {}\r\nX-Voipbin-Signature: {signature}\r\n",
        body.len()
    );
    with_headers(method, &headers, body)
}

/// The same with the length and the signature, or whatever else, given as header lines.
pub fn with_headers(method: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {PATH} HTTP/1.1\r\n\
         Host: 127.0.0.1:5000\r\n\
         User-Agent: Go-http-client/1.1\r\n\
         Content-Type: application/json\r\n\
         {headers}\
         Accept-Encoding: gzip\r\n\
         \r\n\
         {body}"
    )
    .into_bytes()
}

/// One connection on which a test writes bytes of its own making.
pub struct Wire<S = TcpStream> {
    stream: BufReader<S>,
}

/// One answer as it came.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body, as long as the head declared it.
    pub body: Vec<u8>,
}

impl Wire {
    /// Connects, and lets every write leave at once.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The same to a server that may not be there.
    pub async fn try_connect(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        self.stream.get_ref().set_zero_linger().unwrap();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// On a connection that is there.
    pub fn over(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Writes bytes.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Says that nothing more will come, and goes on reading.
    pub async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next answer. An interim one, such as 100, is one by itself.
    pub async fn read(&mut self) -> Reply {
        let mut reply = self.read_head().await;
        reply.body.resize(reply.body_len(), 0);
        self.stream.read_exact(&mut reply.body).await.unwrap();
        reply
    }

    /// The next answer without a body: that to a `HEAD` declares one and has none.
    pub async fn read_head(&mut self) -> Reply {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).await.unwrap();
            assert!(
                read > 0,
                "the connection ended in the head of an answer: {head:?}"
            );
        }
        Reply::of(head)
    }

    /// Reads this many bytes of an answer, whatever they are.
    pub async fn read_bytes(&mut self, count: usize) {
        self.stream.read_exact(&mut vec![0; count]).await.unwrap();
    }

    /// Whatever comes until the server ends the connection; `None` when it breaks instead.
    pub async fn rest(&mut self) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.ok().map(|_| rest)
    }

    /// Writes a request and reads its answer, if the server lives so long.
    pub async fn try_exchange(&mut self, request: &[u8]) -> Option<Reply> {
        self.stream.write_all(request).await.ok()?;
        self.stream.flush().await.ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let mut reply = Reply::of(head);
        reply.body.resize(reply.body_len(), 0);
        self.stream.read_exact(&mut reply.body).await.ok()?;
        Some(reply)
    }

    /// Writes a request and reads its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Reply {
        self.write(request).await;
        self.read().await
    }
}

impl Reply {
    fn of(head: String) -> Self {
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: Vec::new(),
        }
    }

    fn body_len(&self) -> usize {
        self.header("content-length")
            .map_or(0, |length| length.parse().unwrap())
    }

    /// One header by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// `status` of the body: `received`, `duplicate` or `refused`; empty when there is no body.
    pub fn word(&self) -> String {
        self.field("status")
    }

    /// `code` of the body, of a refusal.
    pub fn code(&self) -> String {
        self.field("code")
    }

    fn field(&self, name: &str) -> String {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json.get(name)
            .and_then(|text| text.as_str())
            .unwrap_or_default()
            .to_owned()
    }
}
