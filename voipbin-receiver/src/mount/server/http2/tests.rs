#![allow(clippy::unwrap_used, reason = "this is test code")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::super::Server;
use super::super::connection::answers;
use super::super::tests::{Answers as Service, PEER};
use super::*;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server's side of a connection, with its client's.
fn connect() -> (DuplexStream, JoinHandle<()>) {
    let (client, served, _) = connect_with();
    (client, served)
}

fn connect_with() -> (DuplexStream, JoinHandle<()>, Arc<Conn>) {
    let (client, io) = tokio::io::duplex(1 << 16);
    let conn = Arc::new(Conn::default());
    let service = answers(Service::new(b"ok"), PEER, &conn);
    let times = Server::new().times;
    let served = serve(Some(HTTP2), io, service, times, Arc::clone(&conn));
    (client, tokio::spawn(served), conn)
}

/// Whether there is a GOAWAY with this code in what a server said.
fn tells(told: &[u8], code: u8) -> bool {
    let goes_away = |frame: &[u8]| {
        frame.starts_with(&[7, 0, 0, 0, 0, 0]) && frame.get(10..14) == Some(&[0, 0, 0, code])
    };
    (0..told.len()).any(|at| goes_away(told.get(at..).unwrap()))
}

async fn client(set: impl FnOnce(&mut Builder<TokioExecutor>)) -> (Client, JoinHandle<()>) {
    let (stream, served) = connect();
    let mut http = Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new());
    set(&mut http);
    let (send, connection) = http.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    (Client(send), served)
}

struct Client(SendRequest<Full<Bytes>>);

impl Client {
    /// Sends a request whose answer begins with a 200, and may go on.
    async fn exchange(&mut self) -> Response<Incoming> {
        let request = Request::post("https://example.com/").body(Full::from("{}"));
        let answer = self.0.send_request(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length.get(1..).unwrap().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// What a client begins with: that it speaks HTTP/2, and settings.
fn preface() -> Vec<u8> {
    let mut preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    preface.extend(frame(4, 0, 0, &[]));
    preface
}

/// `POST https://x/`, by HPACK's table.
const HEAD_BLOCK: &[u8] = &[0x83, 0x87, 0x84, 0x41, 1, b'x'];

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_after_its_idle_time_whatever_else_its_client_sends() {
    let begun = Instant::now();
    let (mut client, served) = client(|http| {
        http.keep_alive_interval(seconds(5))
            .keep_alive_while_idle(true);
    })
    .await;
    sleep(seconds(35)).await;
    drop(client.exchange().await);
    served.await.unwrap();
    assert_eq!(begun.elapsed(), seconds(35 + 75));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_without_a_word_is_found_out() {
    let (mut client, served) = connect();
    let begun = Instant::now();
    client.write_all(&preface()).await.unwrap();
    served.await.unwrap();
    assert_eq!(begun.elapsed(), PING + seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_takes_its_answer_is_left_in_the_end() {
    let begun = Instant::now();
    let (mut client, served) = client(|http| {
        http.initial_stream_window_size(0);
    })
    .await;
    let _waiting = client.exchange().await;
    served.await.unwrap();
    assert_eq!(begun.elapsed(), seconds(75 + 10));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_end_holds_up_the_answers_to_pings_and_ends_its_connection() {
    let (mut client, served) = connect();
    let begun = Instant::now();
    client.write_all(&preface()).await.unwrap();
    // Without the flag that ends a head.
    let head = frame(1, 0, 1, HEAD_BLOCK);
    client.write_all(&head).await.unwrap();
    served.await.unwrap();
    assert_eq!(begun.elapsed(), PING + seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_that_are_taken_back_ends_the_connection() {
    let (mut client, served) = connect();
    let mut flood = preface();
    for stream in 0..1000 {
        flood.extend(frame(1, 4, 2 * stream + 1, HEAD_BLOCK));
        flood.extend(frame(3, 0, 2 * stream + 1, &[0, 0, 0, 8]));
    }
    client.write_all(&flood).await.unwrap();
    let mut told = Vec::new();
    let _ = client.read_to_end(&mut told).await;
    served.await.unwrap();
    // ENHANCE_YOUR_CALM.
    assert!(tells(&told, 11));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_gives_way_says_so_to_its_client() {
    let (mut client, served, conn) = connect_with();
    client.write_all(&preface()).await.unwrap();
    sleep(seconds(1)).await;
    conn.close_at_once();
    served.await.unwrap();
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    assert!(tells(&told, 0));
}
