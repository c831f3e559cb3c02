//! HTTP/2 where a server speaks it. Over plain text that takes a client that knows so beforehand,
//! such as a proxy; VoIPBIN's own sender speaks HTTP/1.1 alone.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{PATH, builder, call_hangup, serve_actix_h2c, signer, within};
use voipbin_receiver::gate::Limits;

use crate::clients::curl::{CurlOutput, curl};
use crate::clients::mounts::{Mount, Mounted, recorded};

#[derive(Clone, Copy)]
enum Server {
    Actix,
    Axum,
}

impl Server {
    async fn start(self) -> Mounted {
        let settings = builder().limits(Limits::new().body_limit(10_000));
        match self {
            Self::Axum => Mount::Axum.start_with(settings).await,
            Self::Actix => {
                let (receiver, recorder) = recorded(settings);
                let address = serve_actix_h2c(PATH, &receiver).await;
                Mounted {
                    receiver,
                    recorder,
                    address,
                    certificate: None,
                }
            }
        }
    }
}

macro_rules! with_every_server_that_speaks_it {
    ($($test:ident)+) => {
        mod actix {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::within(super::$test(super::Server::Actix)).await;
            })+
        }

        mod axum {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::within(super::$test(super::Server::Axum)).await;
            })+
        }
    };
}

with_every_server_that_speaks_it! {
    an_event_of_curl_is_received_with_every_method
    streams_side_by_side_are_each_handled_once
    a_body_over_the_limit_ends_its_stream_and_not_the_connection
}

async fn an_event_of_curl_is_received_with_every_method(server: Server) {
    let mounted = server.start().await;
    let mut events = Vec::new();
    for method in ["POST", "PUT", "GET", "DELETE", "post"] {
        let event = call_hangup(method);
        let arguments = ["--http2-prior-knowledge", "--request", method];
        for word in ["received", "duplicate"] {
            // One at a time: curl 7.88, which Debian has, cannot use such a connection again.
            let told = curl(&mounted, &event, &arguments, 1).await;
            let expected = CurlOutput {
                status: 200,
                version: "2".to_owned(),
                connects: 1,
                body: format!(r#"{{"status":"{word}"}}"#),
            };
            assert_eq!(told, [expected], "{method}");
        }
        events.push(event);
    }
    mounted.has_handled(events).await;
}

async fn connect(mounted: &Mounted) -> SendRequest<Full<Bytes>> {
    let stream = TokioIo::new(mounted.stream(&[]).await);
    let (sender, connection) = handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// The status and the text of an answer.
async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    mounted: &Mounted,
    body: String,
) -> (u16, String) {
    let request = Request::post(mounted.url())
        .version(Version::HTTP_2)
        .header("x-voipbin-signature", signer().sign(body.as_bytes()))
        .body(Full::from(body))
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert!(!answer.headers().contains_key("connection"));
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn streams_side_by_side_are_each_handled_once(server: Server) {
    let mounted = server.start().await;
    let sender = connect(&mounted).await;
    let events: Vec<_> = (0..50).map(call_hangup).collect();
    // A copy of each beside it.
    let answers = events.iter().chain(&events);
    let answers = answers.map(|event| exchange(sender.clone(), &mounted, event.clone()));
    let answers = join_all(answers).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let received = answers.iter().filter(|(_, body)| body.contains("received"));
    assert_eq!(received.count(), 50);
    mounted.has_handled(events).await;
}

async fn a_body_over_the_limit_ends_its_stream_and_not_the_connection(server: Server) {
    let mounted = server.start().await;
    let sender = connect(&mounted).await;
    let over = call_hangup("x".repeat(10_000));
    let (status, body) = exchange(sender.clone(), &mounted, over).await;
    assert_eq!(status, 413);
    assert!(body.contains("body_too_large"));
    let event = call_hangup(1);
    let (status, _) = exchange(sender, &mounted, event.clone()).await;
    assert_eq!(status, 200);
    mounted.has_handled(vec![event]).await;
}
