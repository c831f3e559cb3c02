//! What the crate's own server tells of connections that carry no request.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use support::{
    Certificate, PATH, Record, builder, call_hangup, logged, offering, on_the_wire, record_logs,
    signed, tls_connect, within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::time::{advance, sleep};
use tower::ServiceExt;
use voipbin_receiver::catalog::{Any, named};
use voipbin_receiver::mount::Server;
use voipbin_receiver::{Receiver, Registration, blocking};

async fn serve(server: Server) -> (Receiver, SocketAddr) {
    record_logs();
    let receiver = builder().on(Any, || async {}).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = receiver.service();
    tokio::spawn(async move { server.serve(listener, service, pending()).await });
    (receiver, address)
}

/// The warnings with this in their message.
fn warnings(part: &str) -> Vec<Record> {
    let warned = logged().into_iter().filter(|record| record.level == "WARN");
    warned
        .filter(|record| record.field("message").contains(part))
        .collect()
}

/// The same, once there are any: a client sees the end of its connection before that.
async fn told(part: &str) -> usize {
    while warnings(part).is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    warnings(part).len()
}

/// Sends this, and nothing more, until the server ends the connection.
async fn ends(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn what_is_not_http_is_warned_of_once_a_minute_and_told_from_tls() {
    within(async {
        let (_receiver, address) = serve(Server::new()).await;
        let tls = Certificate::new();
        for _ in 0..3 {
            let client = offering(&[], [&tls]);
            assert!(tls_connect(address, client).await.is_err());
        }
        assert_eq!(told("TLS has come to a port").await, 1);
        let (_receiver, address) = serve(Server::new()).await;
        for _ in 0..3 {
            ends(address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        }
        assert_eq!(told("not HTTP/1.1").await, 1);
        // A probe that only connects.
        let (_receiver, address) = serve(Server::new()).await;
        ends(address, b"").await;
        assert_eq!(warnings("not HTTP/1.1").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn heads_that_are_answered_431_are_warned_of_once_a_minute() {
    within(async {
        let (_receiver, address) = serve(Server::new()).await;
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nx: {}\r\n\r\n",
            "x".repeat(1_000_000)
        );
        for _ in 0..3 {
            ends(address, head.as_bytes()).await;
        }
        assert_eq!(told("431").await, 1);
    })
    .await;
}

#[tokio::test]
async fn handshakes_that_fail_are_warned_of_once_a_minute() {
    within(async {
        let certificate = Certificate::new();
        let start = || serve(Server::new().tls(certificate.tls()));
        let (_receiver, address) = start().await;
        // As VoIPBIN, which does not trust it.
        let stranger = Certificate::new();
        for _ in 0..3 {
            let client = offering(&[], [&stranger]);
            assert!(tls_connect(address, client).await.is_err());
        }
        assert_eq!(told("handshake failed").await, 1);
        let (_receiver, address) = start().await;
        for _ in 0..3 {
            ends(address, &on_the_wire("POST", &call_hangup(1))).await;
        }
        while warnings("handshake failed").len() < 2 {
            sleep(Duration::from_millis(5)).await;
        }
        let warned = warnings("handshake failed");
        let errors: Vec<&str> = warned.iter().map(|record| record.field("error")).collect();
        let [refused, plain] = errors[..] else {
            panic!("{warned:?}")
        };
        assert!(refused.contains("fatal alert"), "{refused}");
        assert!(plain.contains("InvalidContentType"), "{plain}");
        // A probe that only connects.
        let (_receiver, address) = start().await;
        ends(address, b"").await;
        assert_eq!(warnings("handshake failed").len(), 2);
    })
    .await;
}

#[test]
fn a_blocking_handler_that_waits_for_a_thread_is_warned_of_and_holds_up_no_answer() {
    record_logs();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    runtime.block_on(within(async {
        let hangs = blocking(move || {
            let _ = released.lock().unwrap().recv();
        });
        let receiver = builder()
            .runtime(Handle::current())
            .on(named("hangs"), hangs)
            .handlers([Registration::new(named("works"), || async {}).name("works")])
            .build()
            .unwrap();
        for event in ["hangs", "hangs", "works"] {
            let body = format!(r#"{{"type":"{event}","data":{{}}}}"#);
            let answer = receiver.service().oneshot(signed(body)).await;
            assert_eq!(answer.unwrap().status(), 200);
        }
        while receiver.stats().running < 2 || receiver.stats().handled < 1 {
            tokio::task::yield_now().await;
        }
        assert!(warnings("waits for a thread").is_empty());
        advance(Duration::from_secs(6)).await;
        while warnings("waits for a thread").is_empty() {
            tokio::task::yield_now().await;
        }
        // Secrets are read on the thread of whoever asks.
        receiver.secrets().refresh().await.unwrap();
        drop(release);
        while receiver.stats().handled < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(warnings("waits for a thread").len(), 1);
    }));
}
