//! The test kit's sender over TCP, as a server sees it.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use support::http_client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use voipbin_receiver::testing::{AttemptErrorKind, Sender, Signer};

use crate::clients::platform::CAPTURED;

const BODY: &str = r#"{"type":"call_hangup","data":{"id":"x"}}"#;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"status\":\"received\"}";

/// A server that answers one request and closes. Gives back the request.
async fn server(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        while !request.ends_with(BODY) {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.unwrap();
            assert_ne!(read, 0, "closed within a request: {request:?}");
            request.push_str(std::str::from_utf8(&part[..read]).unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    (address, request)
}

fn sender(address: SocketAddr) -> Sender<support::HttpClient> {
    Sender::new(http_client(), Signer::new("s3cret"))
        .uri(format!("http://{address}/hook").parse().unwrap())
        .pause(Duration::ZERO)
}

#[tokio::test]
async fn the_bytes_on_the_wire_are_those_of_a_captured_request() {
    let (address, request) = server(OK).await;
    let report = sender(address).send(BODY).await;
    assert_eq!(report.status(), Some(StatusCode::OK));
    assert_eq!(report.body(), r#"{"status":"received"}"#);
    let expected = CAPTURED.replace("127.0.0.1:19401", &address.to_string());
    assert_eq!(request.await.unwrap(), expected);
}

#[tokio::test]
async fn every_method_carries_the_body() {
    for method in ["GET", "DELETE", "put", "POST"] {
        let (address, request) = server(OK).await;
        let report = sender(address).method(method).unwrap().send(BODY).await;
        assert!(report.delivered().is_some());
        let request = request.await.unwrap();
        let line = format!("{method} /hook HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{request}");
        assert!(request.contains("\r\nContent-Length: 40\r\n"), "{request}");
        assert!(request.ends_with(BODY), "{request}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = sender(address).send(BODY).await;
    assert_eq!(report.attempts().len(), 3);
    let error = report.attempts()[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), AttemptErrorKind::Broken);
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_undo_the_delivery() {
    let (address, request) = server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
    let report = sender(address).send(BODY).await;
    assert_eq!(report.attempts().len(), 1);
    assert_eq!(report.delivered().unwrap().body(), "half");
    request.await.unwrap();
}

#[tokio::test]
async fn an_attempt_without_an_answer_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        stream.read_to_string(&mut request).await.unwrap();
        request
    });
    let report = sender(address)
        .attempts(1)
        .answer_timeout(Duration::from_millis(50))
        .send(BODY)
        .await;
    let error = report.attempts()[0].as_ref().unwrap_err();
    assert_eq!(error.kind(), AttemptErrorKind::TimedOut);
    assert!(server.await.unwrap().ends_with(BODY));
}
