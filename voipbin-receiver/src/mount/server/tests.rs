#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, advance};

use super::connection::{TimeoutIo, Waiting};
use super::open::GRACE;
use super::*;

const REQUEST: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";

pub(super) const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Answers each request with this body, once its own has come.
#[derive(Clone)]
pub(super) struct FixedAnswer(Option<Bytes>);

impl FixedAnswer {
    pub(super) fn new(body: &'static [u8]) -> Self {
        Self(Some(Bytes::from_static(body)))
    }

    fn never() -> Self {
        Self(None)
    }
}

impl Conn {
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.waiting(), Some(Waiting::Idle { .. }))
    }
}

impl Service<Request<Incoming>> for FixedAnswer {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = futures_util::future::BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let answer = self.0.clone();
        Box::pin(async move {
            let _ = request.into_body().collect().await;
            match answer {
                Some(answer) => Ok(Response::new(Full::new(answer))),
                None => std::future::pending().await,
            }
        })
    }
}

struct Client {
    stream: DuplexStream,
    from: IpAddr,
    conn: Arc<Conn>,
    served: JoinHandle<()>,
}

impl Client {
    fn connect(answer: &'static [u8]) -> Self {
        Self::to(FixedAnswer::new(answer))
    }

    fn to(service: FixedAnswer) -> Self {
        let (stream, io) = tokio::io::duplex(1024);
        let conn = Arc::new(Conn::new(Arc::default()));
        let service = peer_service(service, PEER, &conn);
        let served = http1::serve(io, service, Server::new().limits, Arc::clone(&conn));
        Self {
            stream,
            from: PEER.ip(),
            conn,
            served: tokio::spawn(served),
        }
    }

    async fn exchange(&mut self) {
        self.stream.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nok") {
            assert!(self.stream.read_buf(&mut answer).await.unwrap() > 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    /// How long it takes until the server closes the connection, and what it sent in that time.
    async fn closed(mut self) -> (Duration, Vec<u8>) {
        let begun = Instant::now();
        let mut rest = Vec::new();
        // Not `stream` itself: a client that reads would not be stuck.
        self.served.await.unwrap();
        let after = begun.elapsed();
        self.stream.read_to_end(&mut rest).await.unwrap();
        (after, rest)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A read that finds little room takes more of it than a connection needs.
#[tokio::test]
async fn what_has_come_by_the_first_byte_is_read_with_it() {
    for request in [REQUEST, &REQUEST[..1]] {
        let (mut client, io) = tokio::io::duplex(1024);
        client.write_all(request).await.unwrap();
        let conn = Arc::new(Conn::new(Arc::default()));
        let mut guarded = TimeoutIo::new(io, Server::new().limits, &conn);
        assert_eq!(guarded.first_byte().await, request.first().copied());
        let mut read = Vec::with_capacity(1024);
        assert_eq!(guarded.read_buf(&mut read).await.unwrap(), request.len());
        assert_eq!(read, request);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_after_it_was_idle_for_longer_than_the_sender_keeps_it() {
    let mut client = Client::connect(b"ok");
    for _ in 0..5 {
        advance(seconds(35)).await;
        client.exchange().await;
    }
    assert_eq!(client.closed().await, (seconds(75), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_closed_after_the_idle_time() {
    assert_eq!(
        Client::connect(b"ok").closed().await,
        (seconds(75), Vec::new())
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_own_time_from_its_first_byte_on_however_it_comes() {
    let mut client = Client::connect(b"ok");
    client.exchange().await;
    advance(seconds(60)).await;
    for byte in b"POST / HT" {
        client.stream.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(seconds(1)).await;
    }
    assert_eq!(client.closed().await, (seconds(1), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_body_has_the_time_that_the_service_gives_it() {
    let mut client = Client::connect(b"ok");
    let (last, all_but_last) = REQUEST.split_last().unwrap();
    client.stream.write_all(all_but_last).await.unwrap();
    tokio::time::sleep(seconds(1000)).await;
    client.stream.write_all(&[*last]).await.unwrap();
    let mut answer = [0; 15];
    client.stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answer_is_left() {
    let mut client = Client::connect(&[b'x'; 100_000]);
    client.stream.write_all(REQUEST).await.unwrap();
    let (after, part) = client.closed().await;
    assert_eq!(after, seconds(10));
    assert_eq!(part.len(), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_told_to_close_does_so_at_once_when_it_is_idle() {
    let mut client = Client::connect(b"ok");
    client.exchange().await;
    assert!(client.conn.is_idle());
    client.conn.close();
    assert_eq!(client.closed().await, (Duration::ZERO, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_had_a_request_closes_when_it_is_told_to() {
    let client = Client::connect(b"ok");
    yield_now().await;
    client.conn.close();
    assert_eq!(client.closed().await, (Duration::ZERO, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_told_to_close_in_a_request_answers_first() {
    let mut client = Client::connect(b"ok");
    almost(&mut client).await;
    client.conn.close();
    yield_now().await;
    client.stream.write_all(b"}").await.unwrap();
    let (after, answer) = client.closed().await;
    assert_eq!(after, Duration::ZERO);
    assert!(answer.ends_with(b"\r\n\r\nok"));
}

/// Sends all of a request but the last byte, and lets it be read.
async fn almost(client: &mut Client) {
    let (_, all_but_last) = REQUEST.split_last().unwrap();
    client.stream.write_all(all_but_last).await.unwrap();
    while !matches!(client.conn.waiting(), Some(Waiting::Slow { .. })) {
        yield_now().await;
    }
}

/// All of them on one server that has no room for others.
fn full(clients: &[&Client]) -> OpenConnections {
    let mut open = OpenConnections::new(clients.len(), Arc::default());
    for client in clients {
        let task = open.tasks.spawn(std::future::pending());
        open.insert(task.id(), client.from, false, Arc::clone(&client.conn));
    }
    open
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow_with_its_head_gives_way_before_an_idle_one() {
    let idle = Client::connect(b"ok");
    let mut slow = Client::connect(b"ok");
    slow.stream.write_all(b"POST / HT").await.unwrap();
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(full(&[&idle, &slow]).evict_one(), Ok(()));
    assert_eq!(slow.closed().await, (Duration::ZERO, Vec::new()));
    assert!(!idle.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_slow_with_its_body_gives_way_however_it_comes() {
    let idle = Client::connect(b"ok");
    let mut slow = Client::connect(b"ok");
    let head = b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n";
    slow.stream.write_all(head).await.unwrap();
    for byte in b"{}" {
        tokio::time::sleep(Duration::from_millis(600)).await;
        slow.stream.write_all(&[*byte]).await.unwrap();
    }
    yield_now().await;
    assert_eq!(full(&[&idle, &slow]).evict_one(), Ok(()));
    assert_eq!(slow.closed().await, (Duration::ZERO, Vec::new()));
    assert!(!idle.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn one_that_has_waited_for_longer_gives_way_before_one_that_has_just_begun_its_request() {
    let mut idle = Client::connect(b"ok");
    idle.exchange().await;
    advance(Duration::from_millis(10)).await;
    let mut begun = Client::connect(b"ok");
    almost(&mut begun).await;
    let mut open = full(&[&idle, &begun]);
    // Both may be about to send.
    let later = Instant::now() + Duration::from_millis(40);
    assert_eq!(open.evict_one(), Err(Some(later)));
    advance(Duration::from_millis(40)).await;
    assert_eq!(open.evict_one(), Ok(()));
    assert_eq!(idle.closed().await, (Duration::ZERO, Vec::new()));
    assert!(!begun.served.is_finished());
    // When there is nobody else.
    advance(Duration::from_millis(10)).await;
    assert_eq!(open.evict_one(), Ok(()));
    assert_eq!(begun.closed().await, (Duration::ZERO, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn of_those_that_sent_nothing_the_address_with_the_most_gives_way() {
    let mut sender = Client::connect(b"ok");
    sender.exchange().await;
    advance(seconds(1)).await;
    let mut crowd = [Client::connect(b"ok"), Client::connect(b"ok")];
    for client in &mut crowd {
        client.from = Ipv4Addr::new(192, 0, 2, 1).into();
    }
    let [first, second] = crowd;
    let mut again = Client::connect(b"ok");
    again.from = sender.from;
    let mut other = Client::connect(b"ok");
    other.from = Ipv4Addr::new(192, 0, 2, 2).into();
    advance(seconds(1)).await;
    // By address: one that has sent something, twice; a crowd of two; one.
    let mut open = full(&[&sender, &again, &first, &second, &other]);
    assert_eq!(open.evict_one(), Ok(()));
    assert_eq!(open.evict_one(), Ok(()));
    assert_eq!(open.evict_one(), Ok(()));
    for gone in [first, second, other] {
        assert_eq!(gone.closed().await, (Duration::ZERO, Vec::new()));
    }
    assert!(!sender.served.is_finished() && !again.served.is_finished());
    assert_eq!(open.evict_one(), Ok(()));
    assert_eq!(sender.closed().await, (Duration::ZERO, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_trusted_proxy_gives_way_after_all_strangers_however_many_it_has() {
    let proxy = [Client::connect(b"ok"), Client::connect(b"ok")];
    advance(seconds(1)).await;
    let mut stranger = Client::connect(b"ok");
    stranger.from = Ipv4Addr::new(192, 0, 2, 1).into();
    advance(seconds(1)).await;
    let mut open = OpenConnections::new(3, Arc::default());
    for (client, trusted) in [(&proxy[0], true), (&proxy[1], true), (&stranger, false)] {
        let task = open.tasks.spawn(std::future::pending());
        open.insert(task.id(), client.from, trusted, Arc::clone(&client.conn));
    }
    assert_eq!(open.evict_one(), Ok(()));
    assert_eq!(stranger.closed().await, (Duration::ZERO, Vec::new()));
    assert!(proxy.iter().all(|client| !client.served.is_finished()));
}

#[test]
fn a_proxy_that_is_no_network_is_an_error() {
    let error = Server::new()
        .trust_proxies(["10.0.0.0/8", "ten"])
        .unwrap_err();
    assert_eq!(error.kind(), crate::BuildErrorKind::BadSetting);
    assert!(error.to_string().contains("`trust_proxies`: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn one_whose_request_has_come_is_looked_at_before_it_gives_way() {
    let mut first = Client::connect(b"ok");
    first.exchange().await;
    advance(seconds(1)).await;
    let mut second = Client::connect(b"ok");
    second.exchange().await;
    advance(seconds(1)).await;
    // Nobody has read it so far.
    first.stream.write_all(REQUEST).await.unwrap();
    full(&[&first, &second]).wait_for_room().await;
    assert_eq!(second.closed().await, (Duration::ZERO, Vec::new()));
    assert!(!first.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn one_more_waits_until_a_client_had_its_time() {
    let client = Client::connect(b"ok");
    yield_now().await;
    let begun = Instant::now();
    full(&[&client]).wait_for_room().await;
    assert_eq!(begun.elapsed(), GRACE);
    assert_eq!(client.closed().await, (Duration::ZERO, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_its_answer_gives_way_to_nobody() {
    let mut client = Client::to(FixedAnswer::never());
    client.stream.write_all(REQUEST).await.unwrap();
    tokio::time::sleep(seconds(100)).await;
    assert_eq!(client.conn.waiting(), None);
    let mut open = full(&[&client]);
    assert_eq!(open.evict_one(), Err(None));
    // Nor is one more refused: it waits.
    let waits = tokio::time::timeout(seconds(100), open.wait_for_room());
    assert!(waits.await.is_err());
    assert!(!client.served.is_finished());
}
