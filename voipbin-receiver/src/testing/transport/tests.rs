use http::StatusCode;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::testing::{AttemptErrorKind, Sender, Signer};

const BODY: &str = r#"{"type":"call_hangup","data":{"id":"x"}}"#;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"status\":\"received\"}";
const OVERLOADED: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A server with one script per connection, in the order in which they are opened: an answer for
/// each request, then it closes. Gives back the requests of each connection.
async fn server(
    scripts: impl IntoIterator<Item = Vec<&'static str>>,
) -> (SocketAddr, JoinHandle<Vec<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let scripts: Vec<_> = scripts.into_iter().collect();
    let task = tokio::spawn(async move {
        let mut connections = Vec::new();
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.push(tokio::spawn(async move {
                let mut requests = Vec::new();
                for answer in script {
                    let mut request = String::new();
                    while !request.ends_with(BODY) {
                        let mut part = [0; 4096];
                        let read = stream.read(&mut part).await.unwrap();
                        assert_ne!(read, 0, "closed within a request: {request:?}");
                        request.push_str(std::str::from_utf8(&part[..read]).unwrap());
                    }
                    requests.push(request);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                requests
            }));
        }
        let mut requests = Vec::new();
        for connection in connections {
            requests.push(connection.await.unwrap());
        }
        requests
    });
    (address, task)
}

fn sender(address: SocketAddr) -> Sender<Transport> {
    Sender::new(connect(address), Signer::new("s3cret"))
        .uri(format!("http://{address}/hook").parse().unwrap())
        .pause(Duration::ZERO)
}

#[tokio::test]
async fn the_bytes_on_the_wire_are_those_of_a_captured_request() {
    let (address, server) = server([vec![OK]]).await;
    let report = sender(address).send(BODY).await;
    assert_eq!(report.status(), Some(StatusCode::OK));
    assert_eq!(report.body(), r#"{"status":"received"}"#);
    let expected = format!(
        "POST /hook HTTP/1.1\r\n\
         Host: {address}\r\n\
         User-Agent: Go-http-client/1.1\r\n\
         Content-Length: 40\r\n\
         Content-Type: application/json\r\n\
         X-Voipbin-Signature: sha256=5a1894d4235a24f7361ad58af04064e25cdc43ee7a6a4871f8adf00641732546\r\n\
         Accept-Encoding: gzip\r\n\r\n{BODY}"
    );
    assert_eq!(server.await.unwrap(), [[expected]]);
}

#[tokio::test]
async fn every_method_carries_the_body() {
    for method in ["GET", "DELETE", "put", "POST"] {
        let (address, server) = server([vec![OK]]).await;
        let report = sender(address).method(method).unwrap().send(BODY).await;
        assert!(report.delivered().is_some());
        let request = server.await.unwrap().remove(0).remove(0);
        assert!(
            request.starts_with(&format!("{method} /hook HTTP/1.1\r\n")),
            "{request}"
        );
        assert!(request.contains("\r\nContent-Length: 40\r\n"), "{request}");
        assert!(request.ends_with(BODY), "{request}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_used_again() {
    let (address, server) = server([vec![OK, OVERLOADED, OVERLOADED, OK]]).await;
    let sender = sender(address);
    assert!(sender.send(BODY).await.delivered().is_some());
    assert!(sender.clone().send(BODY).await.delivered().is_some());
    assert_eq!(server.await.unwrap()[0].len(), 4);
}

#[tokio::test]
async fn a_connection_that_the_server_announced_to_close_is_not_used_again() {
    let closing =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let (address, server) = server([vec![closing], vec![OK]]).await;
    let report = sender(address).send(BODY).await;
    assert_eq!(report.attempts().len(), 2);
    assert!(report.delivered().is_some());
    assert_eq!(server.await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_busy_connection_is_not_shared() {
    let (address, server) = server([vec![OK], vec![OK]]).await;
    let transport = connect(address);
    let request = || Signer::new("s3cret").request(http::Uri::from_static("/hook"), BODY);
    let one = transport.clone().call(request()).await.unwrap();
    let two = transport.clone().call(request()).await.unwrap();
    for response in [one, two] {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"status":"received"}"#);
    }
    assert_eq!(server.await.unwrap().len(), 2);
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
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<TransportError>())
        .unwrap();
    assert_eq!(cause.kind(), TransportErrorKind::Connect);
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_is_tried_again() {
    let (address, server) = server([vec![""], vec![OK]]).await;
    let report = sender(address).send(BODY).await;
    let error = report.attempts()[0].as_ref().unwrap_err();
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<TransportError>())
        .unwrap();
    assert_eq!(cause.kind(), TransportErrorKind::Exchange);
    assert!(report.delivered().is_some());
    assert_eq!(server.await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_undo_the_delivery() {
    let (address, server) =
        server([vec!["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"]]).await;
    let report = sender(address).send(BODY).await;
    assert_eq!(report.delivered().unwrap().body(), "half");
    assert_eq!(server.await.unwrap().len(), 1);
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
    assert_eq!(
        report.attempts()[0].as_ref().unwrap_err().kind(),
        AttemptErrorKind::TimedOut
    );
    assert!(server.await.unwrap().ends_with(BODY));
}

#[test]
fn a_delivery_over_tcp_can_be_spawned() {
    fn is_send<T: Send + 'static>(_: T) {}
    is_send(sender(SocketAddr::from(([127, 0, 0, 1], 1))).send(BODY));
}
