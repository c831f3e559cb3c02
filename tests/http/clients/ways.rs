//! Every shape of request, in every way to put it on a connection.

use support::{Wire, builder, call_hangup, on_the_wire, with_headers};
use voipbin_receiver::gate::Limits;
use voipbin_receiver::observe::RefusalReason;

use crate::clients::mounts::{Mount, Mounted, Stream};
use crate::clients::shapes::{LIMIT, Shape, shapes};

/// How a client hands a request to its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Whole,
    /// The head, and then the body.
    HeadFirst,
    ByteByByte,
    /// Whole; and then nothing more can come.
    HalfClosed,
}

impl Way {
    async fn write(self, wire: &mut Wire<impl Stream>, request: &[u8]) {
        match self {
            Self::Whole | Self::HalfClosed => wire.write(request).await,
            Self::HeadFirst => {
                let end = request.windows(4).position(|end| end == b"\r\n\r\n");
                let (head, body) = request.split_at(end.unwrap() + 4);
                wire.write(head).await;
                // Not a wait: a chance for the server to see the head alone.
                tokio::task::yield_now().await;
                if !body.is_empty() {
                    wire.write(body).await;
                }
            }
            Self::ByteByByte => {
                for byte in request {
                    wire.write(&[*byte]).await;
                    tokio::task::yield_now().await;
                }
            }
        }
        if self == Self::HalfClosed {
            wire.half_close().await;
        }
    }
}

async fn start(mount: Mount) -> Mounted {
    mount
        .start_with(builder().limits(Limits::new().body_limit(LIMIT)))
        .await
}

pub(crate) async fn every_shape_of_request_is_answered_right_however_it_is_written(mount: Mount) {
    let mounted = start(mount).await;
    let mut events = Vec::new();
    for way in [Way::Whole, Way::HeadFirst, Way::ByteByByte, Way::HalfClosed] {
        if way == Way::HalfClosed && !mount.answers_half_closed() {
            continue;
        }
        for shape in shapes(format_args!("{way:?}")) {
            let mut wire = mounted.connect().await;
            way.write(&mut wire, &shape.request).await;
            shape.is_answered_by(&wire.read().await, "received");
            if way != Way::HalfClosed && !shape.closes {
                // A copy of it, over the same connection.
                shape.is_answered_by(&wire.exchange(&shape.request).await, "duplicate");
            } else {
                assert_eq!(wire.rest().await.unwrap_or_default(), b"", "{}", shape.name);
            }
            events.extend(shape.event());
        }
    }
    mounted.has_handled(events).await;
}

/// Those that leave the connection open, and one that closes it.
fn for_one_connection() -> Vec<Shape> {
    let (mut open, mut closing): (Vec<_>, Vec<_>) = shapes("in a row")
        .into_iter()
        .partition(|shape| !shape.closes);
    assert!(open.len() > 30);
    open.push(closing.swap_remove(0));
    open
}

pub(crate) async fn one_connection_carries_every_shape_one_after_the_other(mount: Mount) {
    let mounted = start(mount).await;
    let mut wire = mounted.connect().await;
    let mut events = Vec::new();
    for shape in for_one_connection() {
        let reply = wire.exchange(&shape.request).await;
        shape.is_answered_by(&reply, "received");
        if !shape.closes {
            // A copy of it, over the same connection.
            shape.is_answered_by(&wire.exchange(&shape.request).await, "duplicate");
        }
        events.extend(shape.event());
    }
    assert_eq!(wire.rest().await, Some(Vec::new()));
    mounted.has_handled(events).await;
}

pub(crate) async fn every_shape_can_be_sent_before_the_first_is_answered(mount: Mount) {
    let mounted = start(mount).await;
    let mut wire = mounted.connect().await;
    let shapes = for_one_connection();
    let requests: Vec<_> = shapes.iter().map(|shape| &*shape.request).collect();
    wire.write(&requests.concat()).await;
    let mut events = Vec::new();
    for shape in shapes {
        shape.is_answered_by(&wire.read().await, "received");
        events.extend(shape.event());
    }
    assert_eq!(wire.rest().await, Some(Vec::new()));
    mounted.has_handled(events).await;
}

pub(crate) async fn a_head_request_gets_a_405_without_a_body(mount: Mount) {
    let mounted = start(mount).await;
    let mut wire = mounted.connect().await;
    wire.write(&with_headers("HEAD", "", "")).await;
    let reply = wire.read_head().await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("POST, PUT, GET, DELETE"));
    assert_eq!(wire.rest().await, Some(Vec::new()));
    assert_eq!(mounted.receiver.stats().refused(RefusalReason::Method), 1);
}

pub(crate) async fn the_type_of_a_body_reaches_its_handler_as_it_was_written(mount: Mount) {
    let mounted = start(mount).await;
    let mut wire = mounted.connect().await;
    let request = String::from_utf8(on_the_wire("POST", &call_hangup(1))).unwrap();
    let request = request.replace("application/json", "Text/plain;  a=\"B c\"");
    assert_eq!(wire.exchange(request.as_bytes()).await.status, 200);
    let run = mounted.recorder.next().await;
    assert_eq!(run.delivery().content_type(), "Text/plain;  a=\"B c\"");
}
