//! The platform's own sender: Go's `net/http`, as it was captured and as the test kit stands in for
//! it, byte for byte, with its idle connections and its three tries.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use support::{
    HttpClient, PATH, RefusingInbox, builder, call_hangup, http_client, on_the_wire, signer,
};
use voipbin_receiver::Receiver;
use voipbin_receiver::testing::Sender;

use crate::clients::mounts::{Mount, assert_received};

/// A request of the platform as it was captured, byte for byte.
pub(crate) const CAPTURED: &str = "POST /hook HTTP/1.1\r\n\
    Host: 127.0.0.1:19401\r\n\
    User-Agent: Go-http-client/1.1\r\n\
    Content-Length: 40\r\n\
    Content-Type: application/json\r\n\
    X-Voipbin-Signature: sha256=5a1894d4235a24f7361ad58af04064e25cdc43ee7a6a4871f8adf00641732546\r\n\
    Accept-Encoding: gzip\r\n\
    \r\n\
    {\"type\":\"call_hangup\",\"data\":{\"id\":\"x\"}}";

pub(crate) async fn the_captured_request_is_received(mount: Mount) {
    let settings = Receiver::builder().secret("s3cret");
    let mounted = mount.start_at("/hook", settings).await;
    let mut wire = mounted.connect().await;

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

    let body = r#"{"type":"call_hangup","data":{"id":"x"}}"#;
    mounted.has_handled(vec![body.to_owned()]).await;
}

pub(crate) async fn its_request_may_come_in_two_pieces_cut_anywhere(mount: Mount) {
    let mounted = mount.start().await;
    let mut wire = mounted.connect().await;
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
    assert_eq!(mounted.handled().await, cuts + 1);
}

pub(crate) fn sender(address: SocketAddr) -> Sender<HttpClient> {
    let uri = format!("http://{address}{PATH}").parse().unwrap();
    Sender::new(http_client(), signer())
        .uri(uri)
        .pause(Duration::ZERO)
}

pub(crate) async fn it_delivers_once_and_its_copy_is_a_duplicate(mount: Mount) {
    let mounted = mount.start().await;
    let sender = sender(mounted.address);
    for word in ["received", "duplicate", "duplicate"] {
        let report = sender.send(call_hangup(1)).await;
        assert_eq!(report.attempts().len(), 1);
        let answer = report.delivered().unwrap();
        assert_eq!(answer.body(), &format!(r#"{{"status":"{word}"}}"#));
    }
    assert_eq!(mounted.handled().await, 1);
}

/// It opens as many connections as it has events, keeps five of them, and uses these first.
pub(crate) async fn its_burst_over_many_connections_is_handled_once(mount: Mount) {
    let mounted = mount.start().await;
    let sender = sender(mounted.address);
    for burst in 0..5 {
        let events = (0..40).map(|event| call_hangup(format_args!("{burst}-{event}")));
        let reports = join_all(events.map(|event| sender.send(event))).await;
        for report in reports {
            assert_eq!(report.attempts().len(), 1);
            assert_eq!(report.body(), r#"{"status":"received"}"#);
        }
    }
    assert_eq!(mounted.handled().await, 200);
}

pub(crate) async fn it_gives_up_after_three_tries_at_a_receiver_that_shuts_down(mount: Mount) {
    let mounted = mount.start().await;
    let sender = sender(mounted.address);
    assert!(sender.send(call_hangup(1)).await.delivered().is_some());
    assert!(mounted.receiver.shutdown(Duration::MAX).await.is_drained());

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
    assert_eq!(mounted.recorder.rest().await.len(), 1);
}

pub(crate) async fn it_delivers_with_its_third_try_what_was_refused_twice(mount: Mount) {
    let mounted = mount
        .start_with(builder().inbox(RefusingInbox::new(2)))
        .await;
    let report = sender(mounted.address).send(call_hangup(1)).await;
    assert_eq!(report.attempts().len(), 3);
    assert_eq!(report.body(), r#"{"status":"received"}"#);
    assert_eq!(mounted.receiver.stats().refused_total(), 2);
    assert_eq!(mounted.handled().await, 1);
}
