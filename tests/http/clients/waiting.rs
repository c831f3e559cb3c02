//! Clients that wait to be told to continue, and clients that are waited for.

use std::time::Duration;

use support::{builder, call_hangup, on_the_wire, signer, with_headers};
use voipbin_receiver::gate::Limits;
use voipbin_receiver::observe::RefusalReason;

use crate::clients::mounts::{Mount, assert_received};

/// The head of an event whose client would be told to continue.
fn head(body: &str) -> Vec<u8> {
    let signature = signer().sign(body.as_bytes());
    let headers = format!(
        "Expect: 100-continue\r\nContent-Length: {}\r\nX-Voipbin-Signature: {signature}\r\n",
        body.len()
    );
    with_headers("POST", &headers, "")
}

pub(crate) async fn a_client_that_waits_for_it_is_told_to_continue(mount: Mount) {
    let mounted = mount.start().await;
    let mut wire = mounted.connect().await;
    for id in 0..3 {
        let body = call_hangup(id);
        assert_eq!(wire.exchange(&head(&body)).await.status, 100);
        assert_received(&wire.exchange(body.as_bytes()).await);
    }
    assert_eq!(mounted.handled().await, 3);
}

pub(crate) async fn a_client_that_does_not_wait_to_be_told_is_received(mount: Mount) {
    let mounted = mount.start().await;
    let mut wire = mounted.connect().await;
    for id in 0..3 {
        let body = call_hangup(id);
        let request = [&head(&body), body.as_bytes()].concat();
        let mut reply = wire.exchange(&request).await;
        // The server may not know yet that the body is on its way.
        if reply.status == 100 {
            reply = wire.read().await;
        }
        assert_received(&reply);
    }
    assert_eq!(mounted.handled().await, 3);
}

pub(crate) async fn a_client_that_waits_is_refused_before_it_sends_a_body_over_the_limit(
    mount: Mount,
) {
    let mounted = mount
        .start_with(builder().limits(Limits::new().body_limit(1000)))
        .await;
    let mut wire = mounted.connect().await;
    let mut reply = wire.exchange(&head(&"x".repeat(1001))).await;
    if mount.continues_unasked() {
        assert_eq!(reply.status, 100);
        reply = wire.read().await;
    }
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(wire.rest().await.unwrap_or_default(), b"");
    assert_eq!(mounted.receiver.stats().refused(RefusalReason::TooLarge), 1);
}

pub(crate) async fn a_body_that_does_not_come_in_time_is_asked_for_again(mount: Mount) {
    let settings = builder().limits(Limits::new().read_timeout(Duration::from_millis(1)));
    let mounted = mount.start_with(settings).await;
    let whole = on_the_wire("POST", &call_hangup(1));
    let (_, piece) = whole.split_last().unwrap();
    let chunks = with_headers("POST", "Transfer-Encoding: chunked\r\n", "3\r\n{\"t\r\n");
    for unfinished in [piece, &chunks] {
        let mut wire = mounted.connect().await;
        let reply = wire.exchange(unfinished).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "body_timeout"));
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(wire.rest().await.unwrap_or_default(), b"");
    }
    assert_eq!(mounted.receiver.stats().refused(RefusalReason::TooSlow), 2);
    let mut wire = mounted.connect().await;
    assert_received(&wire.exchange(&whole).await);
    assert_eq!(mounted.handled().await, 1);
}
