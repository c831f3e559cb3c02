//! The receiver behind real servers: what comes and goes on the wire.
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use support::{
    PATH, Recorder, RefusingInbox, Reply, Wire, builder, call_hangup, on_the_wire, serve_actix_at,
    serve_alone, serve_axum_at, serve_hyper, signer, with_headers, within,
};
use tokio::net::TcpListener;
use voipbin_receiver::Receiver;
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::testing::{Sender, Transport, connect};

#[derive(Clone, Copy)]
enum Server {
    Actix,
    Alone,
    Axum,
    Hyper,
}

/// Each of these runs against each server.
macro_rules! against_every_server {
    ($($test:ident)+) => {
        mod on_actix {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::within(super::$test(super::Server::Actix)).await;
            })+
        }

        mod alone {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::within(super::$test(super::Server::Alone)).await;
            })+
        }

        mod on_axum {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::within(super::$test(super::Server::Axum)).await;
            })+
        }

        mod on_hyper {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::within(super::$test(super::Server::Hyper)).await;
            })+
        }
    };
}

against_every_server! {
    the_captured_request_is_received
    every_method_of_the_platform_is_accepted_with_a_body
    a_request_may_come_in_two_pieces_cut_anywhere
    a_chunked_body_is_accepted_and_its_trailers_are_no_part_of_it
    a_client_that_expects_it_is_told_to_continue
    a_client_that_expects_to_continue_is_refused_before_it_sends_a_body_over_the_limit
    a_declared_length_over_the_limit_is_refused_before_the_body_comes
    a_chunked_body_over_the_limit_is_refused_while_it_comes
    a_body_that_does_not_come_in_time_is_asked_for_again
    header_names_come_in_any_case_and_values_as_they_are
    a_signature_that_comes_twice_is_refused
    a_client_that_leaves_in_its_request_leaves_nothing_behind
    an_event_whose_client_leaves_before_the_answer_is_handled_once
    pipelined_requests_are_answered_in_their_order
    one_connection_carries_many_requests
    a_refused_signature_does_not_end_the_connection
    a_head_request_gets_a_405_without_a_body
    a_client_that_closes_its_side_behind_the_request_loses_nothing
    the_sender_delivers_once_and_its_copy_is_a_duplicate
    the_sender_gives_up_after_three_tries_at_a_receiver_that_shuts_down
    the_sender_delivers_with_its_third_try_what_was_refused_twice
    of_200_identical_deliveries_at_once_exactly_one_is_handled
}

impl Server {
    async fn serve(self, receiver: &Receiver) -> SocketAddr {
        self.serve_at(PATH, receiver).await
    }

    async fn serve_at(self, path: &str, receiver: &Receiver) -> SocketAddr {
        match self {
            Self::Actix => serve_actix_at(path, receiver).await,
            Self::Axum => serve_axum_at(path, receiver.service()).await,
            // These look at no path.
            Self::Alone => serve_alone(receiver.service()).await,
            Self::Hyper => serve_hyper(receiver.service()).await,
        }
    }

    /// A receiver behind this server that passes every event on to a recorder.
    async fn start(self) -> (Receiver, Recorder, SocketAddr) {
        let recorder = Recorder::new();
        let receiver = builder()
            .on((Any, Custom), recorder.clone())
            .build()
            .unwrap();
        let address = self.serve(&receiver).await;
        (receiver, recorder, address)
    }
}

/// The identities of all that was handled.
async fn handled(receiver: Receiver, recorder: Recorder) -> usize {
    assert!(receiver.shutdown(Duration::MAX).await.is_drained());
    recorder.rest().await.len()
}

fn assert_received(reply: &Reply) {
    assert_eq!(
        (reply.status, reply.word().as_str()),
        (200, "received"),
        "{reply:?}"
    );
}

/// A request of the platform as it was captured, byte for byte.
const CAPTURED: &str = "POST /hook HTTP/1.1\r\n\
    Host: 127.0.0.1:19401\r\n\
    User-Agent: Go-http-client/1.1\r\n\
    Content-Length: 40\r\n\
    Content-Type: application/json\r\n\
    X-Voipbin-Signature: sha256=5a1894d4235a24f7361ad58af04064e25cdc43ee7a6a4871f8adf00641732546\r\n\
    Accept-Encoding: gzip\r\n\
    \r\n\
    {\"type\":\"call_hangup\",\"data\":{\"id\":\"x\"}}";

async fn the_captured_request_is_received(server: Server) {
    let recorder = Recorder::new();
    let receiver = Receiver::builder()
        .secret("s3cret")
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    let address = server.serve_at("/hook", &receiver).await;
    let mut wire = Wire::connect(address).await;

    let reply = wire.exchange(CAPTURED.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, br#"{"status":"received"}"#);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("content-length"), Some("21"));
    assert_eq!(reply.header("location"), None);

    let reply = wire.exchange(CAPTURED.as_bytes()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, br#"{"status":"duplicate"}"#);

    let context = recorder.next().await;
    assert_eq!(
        context.delivery().body(),
        r#"{"type":"call_hangup","data":{"id":"x"}}"#
    );
    assert_eq!(handled(receiver, recorder).await, 0);
}

async fn every_method_of_the_platform_is_accepted_with_a_body(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let methods = [
        "POST", "PUT", "GET", "DELETE", "post", "put", "get", "delete", "Post",
    ];
    for method in methods {
        assert_received(
            &wire
                .exchange(&on_the_wire(method, &call_hangup(method)))
                .await,
        );
    }
    assert_eq!(handled(receiver, recorder).await, methods.len());
}

async fn a_request_may_come_in_two_pieces_cut_anywhere(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let cuts = on_the_wire("POST", &call_hangup(1000)).len();
    for cut in 0..=cuts {
        let request = on_the_wire("POST", &call_hangup(1000 + cut));
        let (first, second) = request.split_at(cut);
        wire.write(first).await;
        // Not a wait: a chance for the server to see the first piece alone.
        tokio::task::yield_now().await;
        wire.write(second).await;
        assert_received(&wire.read().await);
    }
    assert_eq!(handled(receiver, recorder).await, cuts + 1);
}

/// A signed body in chunks of the given size, and a trailer.
fn chunked(body: &str, size: usize) -> Vec<u8> {
    let signature = signer().sign(body.as_bytes());
    let headers = format!("Transfer-Encoding: chunked\r\nX-Voipbin-Signature: {signature}\r\n");
    let mut chunks = String::new();
    for chunk in body.as_bytes().chunks(size) {
        let chunk = std::str::from_utf8(chunk).unwrap();
        chunks.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    with_headers(
        "POST",
        &headers,
        &format!("{chunks}0\r\nX-Trailer: no part of it\r\n\r\n"),
    )
}

async fn a_chunked_body_is_accepted_and_its_trailers_are_no_part_of_it(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    for size in 1..=120 {
        let body = call_hangup(format_args!("{size}-{:0100}", 0));
        assert_received(&wire.exchange(&chunked(&body, size)).await);
        assert_eq!(recorder.next().await.delivery().body(), &body);
    }
    assert_eq!(handled(receiver, recorder).await, 0);
}

async fn a_client_that_expects_it_is_told_to_continue(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let body = call_hangup(1);
    let headers = format!(
        "Expect: 100-continue\r\nContent-Length: {}\r\nX-Voipbin-Signature: {}\r\n",
        body.len(),
        signer().sign(body.as_bytes())
    );
    assert_eq!(
        wire.exchange(&with_headers("POST", &headers, ""))
            .await
            .status,
        100
    );
    assert_received(&wire.exchange(body.as_bytes()).await);
    assert_eq!(handled(receiver, recorder).await, 1);
}

async fn a_client_that_expects_to_continue_is_refused_before_it_sends_a_body_over_the_limit(
    server: Server,
) {
    let (receiver, _, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let headers = "Expect: 100-continue\r\nContent-Length: 1048577\r\n";
    let mut reply = wire.exchange(&with_headers("POST", headers, "")).await;
    if let Server::Actix = server {
        // It says so before anybody is asked.
        assert_eq!(reply.status, 100);
        reply = wire.read().await;
    }
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(receiver.stats().refused_size, 1);
}

async fn a_declared_length_over_the_limit_is_refused_before_the_body_comes(server: Server) {
    let (receiver, _, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let reply = wire
        .exchange(&with_headers("POST", "Content-Length: 1048577\r\n", ""))
        .await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(wire.rest().await, Some(Vec::new()));
    assert_eq!(receiver.stats().refused_size, 1);
}

async fn a_chunked_body_over_the_limit_is_refused_while_it_comes(server: Server) {
    let receiver = builder()
        .on(Any, Recorder::new())
        .body_limit(1000)
        .build()
        .unwrap();
    let address = server.serve(&receiver).await;
    let mut wire = Wire::connect(address).await;
    let mut request = chunked(&"x".repeat(1001), 1001);
    // The last chunk, which says that the body is complete, never comes.
    request.truncate(request.len() - "0\r\nX-Trailer: no part of it\r\n\r\n".len());
    let reply = wire.exchange(&request).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(reply.header("connection"), Some("close"));
    // Whoever goes on sending for ever is left.
    assert_eq!(wire.rest().await.unwrap_or_default(), b"");
}

async fn a_body_that_does_not_come_in_time_is_asked_for_again(server: Server) {
    let recorder = Recorder::new();
    let receiver = builder()
        .on(Any, recorder.clone())
        .read_timeout(Duration::from_millis(1))
        .build()
        .unwrap();
    let address = server.serve(&receiver).await;
    let whole = on_the_wire("POST", &call_hangup(1));
    let (_, piece) = whole.split_last().unwrap();
    let chunks = chunked(&call_hangup(2), 10);
    for unfinished in [piece, chunks.strip_suffix(b"\r\n").unwrap()] {
        let mut wire = Wire::connect(address).await;
        let reply = wire.exchange(unfinished).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "body_timeout"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(wire.rest().await.unwrap_or_default(), b"");
    }
    assert_eq!(receiver.stats().refused_read, 2);
    assert_received(&Wire::connect(address).await.exchange(&whole).await);
    assert_eq!(handled(receiver, recorder).await, 1);
}

async fn header_names_come_in_any_case_and_values_as_they_are(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    for (id, [length, kind, signature]) in [
        ["content-length", "content-type", "x-voipbin-signature"],
        ["CONTENT-LENGTH", "CONTENT-TYPE", "X-VOIPBIN-SIGNATURE"],
        ["cOnTeNt-LeNgTh", "Content-type", "X-VoIPBIN-Signature"],
    ]
    .into_iter()
    .enumerate()
    {
        let body = call_hangup(id);
        let signed = signer().sign(body.as_bytes());
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nhOST: a\r\n{length}: {}\r\n{kind}:text/plain; a=\"B c\"\r\n\
             {signature}:   {signed}  \r\n\r\n{body}",
            body.len()
        );
        assert_received(&wire.exchange(request.as_bytes()).await);
        let context = recorder.next().await;
        assert_eq!(context.delivery().content_type(), r#"text/plain; a="B c""#);
    }
    assert_eq!(handled(receiver, recorder).await, 0);
}

async fn a_signature_that_comes_twice_is_refused(server: Server) {
    let (receiver, _, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let body = call_hangup(1);
    let signature = signer().sign(body.as_bytes());
    let line = format!("X-Voipbin-Signature: {signature}\r\n");
    let headers = format!("{line}Content-Length: {}\r\n{line}", body.len());
    let reply = wire.exchange(&with_headers("POST", &headers, &body)).await;
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (401, "signature_malformed")
    );
    assert_eq!(receiver.stats().refused_signature, 1);
}

async fn a_client_that_leaves_in_its_request_leaves_nothing_behind(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let request = on_the_wire("POST", &call_hangup(1));
    for cut in (0..request.len()).step_by(7) {
        for resets in [true, false] {
            let mut wire = Wire::connect(address).await;
            wire.write(request.get(..cut).unwrap()).await;
            if resets {
                wire.reset();
            }
        }
    }
    assert_received(&Wire::connect(address).await.exchange(&request).await);
    let stats = receiver.stats();
    assert_eq!((stats.accepted, stats.inbox.identities), (1, 1));
    assert_eq!(handled(receiver, recorder).await, 1);
}

async fn an_event_whose_client_leaves_before_the_answer_is_handled_once(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    for id in 0..50 {
        let request = on_the_wire("POST", &call_hangup(id));
        let mut wire = Wire::connect(address).await;
        wire.write(&request).await;
        if id % 2 == 0 {
            wire.reset();
        }
        // It may have been kept or not: that is all that may be different.
        let reply = Wire::connect(address).await.exchange(&request).await;
        assert!(["received", "duplicate"].contains(&reply.word().as_str()));
    }
    assert_eq!(handled(receiver, recorder).await, 50);
}

async fn pipelined_requests_are_answered_in_their_order(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let mut requests = Vec::new();
    for round in 0..10 {
        requests.extend(on_the_wire("POST", &call_hangup(round)));
        requests.extend(on_the_wire("GET", &call_hangup(round)));
        requests.extend(with_headers("POST", "Content-Length: 2\r\n", "{}"));
    }
    wire.write(&requests).await;
    for _ in 0..10 {
        assert_received(&wire.read().await);
        assert_eq!(wire.read().await.word(), "duplicate");
        assert_eq!(wire.read().await.code(), "signature_missing");
    }
    assert_eq!(handled(receiver, recorder).await, 10);
}

async fn one_connection_carries_many_requests(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    for id in 0..100 {
        assert_received(&wire.exchange(&on_the_wire("POST", &call_hangup(id))).await);
    }
    assert_eq!(handled(receiver, recorder).await, 100);
}

async fn a_refused_signature_does_not_end_the_connection(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    let forged = String::from_utf8(on_the_wire("POST", &call_hangup(1))).unwrap();
    let forged = forged.replace("normal", "busied");
    assert_eq!(
        wire.exchange(forged.as_bytes()).await.code(),
        "signature_mismatch"
    );
    let unsigned = with_headers("POST", "Content-Length: 2\r\n", "{}");
    assert_eq!(wire.exchange(&unsigned).await.code(), "signature_missing");
    assert_eq!(
        wire.exchange(&on_the_wire("POST", "a=1")).await.code(),
        "body_not_json"
    );
    assert_received(&wire.exchange(&on_the_wire("POST", &call_hangup(1))).await);
    assert_eq!(handled(receiver, recorder).await, 1);
}

async fn a_head_request_gets_a_405_without_a_body(server: Server) {
    let (receiver, _, address) = server.start().await;
    let mut wire = Wire::connect(address).await;
    wire.write(&with_headers("HEAD", "", "")).await;
    let reply = wire.read_head().await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("POST, PUT, GET, DELETE"));
    assert_eq!(wire.rest().await, Some(Vec::new()));
    assert_eq!(receiver.stats().refused_method, 1);
}

/// Whether such a client gets an answer is the server's affair; hyper answers it when it is told to
/// (`half_close`), and otherwise takes it for gone.
async fn a_client_that_closes_its_side_behind_the_request_loses_nothing(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let request = on_the_wire("POST", &call_hangup(1));
    let mut wire = Wire::connect(address).await;
    wire.write(&request).await;
    wire.half_close().await;
    let answer = wire.rest().await.unwrap_or_default();
    let kept = receiver.stats().accepted;
    if answer.is_empty() {
        assert!(kept <= 1);
    } else {
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        assert_eq!(kept, 1);
    }

    let reply = Wire::connect(address).await.exchange(&request).await;
    assert_eq!(
        reply.word(),
        if kept == 1 { "duplicate" } else { "received" }
    );
    assert_eq!(handled(receiver, recorder).await, 1);
}

/// hyper alone can be told to; see `serve_hyper` for the ordinary settings.
#[tokio::test]
async fn a_client_that_closed_its_side_is_answered_by_a_server_that_is_told_to() {
    let recorder = Recorder::new();
    let receiver = builder().on(Any, recorder.clone()).build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = async {
        let mut wire = Wire::connect(address).await;
        wire.write(&on_the_wire("POST", &call_hangup(1))).await;
        wire.half_close().await;
        assert_received(&wire.read().await);
        assert_eq!(wire.rest().await, Some(Vec::new()));
    };
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(receiver.service());
        let mut http = hyper::server::conn::http1::Builder::new();
        http.half_close(true)
            .timer(hyper_util::rt::TokioTimer::new());
        http.serve_connection(hyper_util::rt::TokioIo::new(stream), service)
            .await
            .unwrap();
    };
    within(async { tokio::join!(client, server) }).await;
    assert_eq!(handled(receiver, recorder).await, 1);
}

fn sender(address: SocketAddr) -> Sender<Transport> {
    let uri = format!("http://{address}{PATH}").parse().unwrap();
    Sender::new(connect(address), signer())
        .uri(uri)
        .pause(Duration::ZERO)
}

async fn the_sender_delivers_once_and_its_copy_is_a_duplicate(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let sender = sender(address);
    for word in ["received", "duplicate", "duplicate"] {
        let report = sender.send(call_hangup(1)).await;
        assert_eq!(report.attempts().len(), 1);
        let answer = report.delivered().unwrap();
        assert_eq!(answer.body(), &format!(r#"{{"status":"{word}"}}"#));
    }
    assert_eq!(handled(receiver, recorder).await, 1);
}

async fn the_sender_gives_up_after_three_tries_at_a_receiver_that_shuts_down(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let sender = sender(address);
    assert!(sender.send(call_hangup(1)).await.delivered().is_some());
    assert!(receiver.shutdown(Duration::MAX).await.is_drained());

    let report = sender.send(call_hangup(2)).await;
    assert!(report.delivered().is_none());
    assert_eq!(report.attempts().len(), 3);
    for attempt in report.attempts() {
        let answer = attempt.as_ref().unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["connection"], "close");
    }
    // A copy of what was kept is still delivered.
    assert!(sender.send(call_hangup(1)).await.delivered().is_some());
    assert_eq!(recorder.rest().await.len(), 1);
}

async fn the_sender_delivers_with_its_third_try_what_was_refused_twice(server: Server) {
    let recorder = Recorder::new();
    let receiver = builder()
        .inbox(RefusingInbox::new(2))
        .on(Any, recorder.clone())
        .build()
        .unwrap();
    let address = server.serve(&receiver).await;
    let report = sender(address).send(call_hangup(1)).await;
    assert_eq!(report.attempts().len(), 3);
    assert_eq!(report.body(), r#"{"status":"received"}"#);
    assert_eq!(receiver.stats().refused_inbox, 2);
    assert_eq!(handled(receiver, recorder).await, 1);
}

async fn of_200_identical_deliveries_at_once_exactly_one_is_handled(server: Server) {
    let (receiver, recorder, address) = server.start().await;
    let request = on_the_wire("POST", &call_hangup(1));
    let (last, all_but_last) = request.split_last().unwrap();
    let mut wires = join_all((0..200).map(|_| Wire::connect(address))).await;
    join_all(wires.iter_mut().map(|wire| wire.write(all_but_last))).await;
    let replies = wires.into_iter().map(|mut wire| {
        let last = *last;
        // Each in a task of its own, so that they really race.
        tokio::spawn(async move { wire.exchange(&[last]).await })
    });
    let mut words: Vec<_> = join_all(replies)
        .await
        .into_iter()
        .map(|reply| reply.unwrap().word())
        .collect();
    words.sort();
    let (received, duplicates) = words.split_last().unwrap();
    assert_eq!(received, "received");
    assert!(duplicates.iter().all(|word| word == "duplicate"));
    assert_eq!(receiver.stats().inbox.identities, 1);
    assert_eq!(handled(receiver, recorder).await, 1);
}
