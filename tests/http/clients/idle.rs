//! Connections on which nothing comes for a while. Time is the test's: the connections are real,
//! and the servers' clocks move when they are told to.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use actix_web::{App, HttpServer};
use futures_util::poll;
use support::{PATH, Wire, builder, call_hangup, on_the_wire};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, advance, pause, timeout};

use crate::clients::mounts::{Mount, Mounted, SlowHead, Stream, assert_received, recorded};
use crate::clients::platform::sender;

const SECOND: Duration = Duration::from_secs(1);

/// Each of these runs through each mount.
macro_rules! through_every_mount {
    ($($test:ident)+) => {
        through! { actix Actix $($test)+ }
        through! { alone Alone $($test)+ }
        through! { axum Axum $($test)+ }
        through! { hyper Hyper $($test)+ }
        through! { tls Tls $($test)+ }
    };
}

macro_rules! through {
    ($name:ident $mount:ident $($test:ident)+) => {
        mod $name {
            $(#[tokio::test(start_paused = true)]
            async fn $test() {
                let time = super::Time::start(crate::clients::Mount::$mount).await;
                super::ends(super::$test(crate::clients::Mount::$mount, time)).await;
            })+
        }
    };
}

through_every_mount! {
    a_connection_serves_until_it_was_idle_for_as_long_as_the_server_waits
    a_head_may_take_as_long_as_the_server_waits
}

async fn ends(test: impl Future<Output = ()>) {
    let day = Duration::from_secs(86_400);
    timeout(day, test).await.expect("the test hangs");
}

/// A receiver behind a server, and the time there and here.
struct Time {
    mounted: Mounted,
    /// Moves the clock of a server that has a runtime of its own.
    there: Option<Tell>,
    _held: HeldClock,
}

/// How far to move a clock, and whom to tell that it has moved.
type Tell = UnboundedSender<(Duration, oneshot::Sender<()>)>;

/// Keeps the clock of a runtime from moving by itself: tokio's would whenever nothing is left to
/// do, and what is on its way through a socket counts as nothing.
struct HeldClock {
    _release: mpsc::Sender<()>,
}

impl HeldClock {
    /// Begins in the runtime that it is called in. A test that hangs is released, and then ends.
    fn here() -> Self {
        let (release, released) = mpsc::channel();
        // tokio's clock moves by itself in no runtime in which a blocking task runs.
        tokio::task::spawn_blocking(move || {
            let _: Result<(), _> = released.recv_timeout(Duration::from_secs(120));
        });
        Self { _release: release }
    }
}

impl Time {
    async fn start(mount: Mount) -> Self {
        Self::start_with(mount, None).await
    }

    async fn start_with(mount: Mount, keep_alive: Option<Duration>) -> Self {
        let held = HeldClock::here();
        let (mounted, there) = if mount == Mount::Actix {
            let (mounted, there) = actix(keep_alive);
            (mounted, Some(there))
        } else {
            (mount.start().await, None)
        };
        Self {
            mounted,
            there,
            _held: held,
        }
    }

    async fn advance(&self, time: Duration) {
        advance(time).await;
        if let Some(there) = &self.there {
            let (done, is_done) = oneshot::channel();
            there.send((time, done)).unwrap();
            is_done.await.unwrap();
        }
    }

    /// How long it takes until the server ends a connection, and what comes on it until then.
    async fn end_of(&self, mut wire: Wire<impl Stream>) -> (Duration, Vec<u8>) {
        let begun = Instant::now();
        let mut rest = pin!(wire.rest());
        loop {
            if let Poll::Ready(rest) = poll!(&mut rest) {
                return (begun.elapsed(), rest.unwrap_or_default());
            }
            self.advance(SECOND).await;
        }
    }
}

/// An app of actix-web with its default settings, or another time for idle connections. Its worker
/// has a runtime, and so a clock, of its own.
fn actix(keep_alive: Option<Duration>) -> (Mounted, Tell) {
    let (receiver, recorder) = recorded(builder());
    let mounted = receiver.clone();
    let (tell, told) = unbounded_channel::<(Duration, oneshot::Sender<()>)>();
    let told = Arc::new(Mutex::new(Some(told)));
    let mut server = HttpServer::new(move || {
        let mut told = told.lock().unwrap().take().unwrap();
        pause();
        let held = HeldClock::here();
        actix_web::rt::spawn(async move {
            while let Some((time, done)) = told.recv().await {
                advance(time).await;
                // A test that is over does not wait for it.
                let _ = done.send(());
            }
            drop(held);
        });
        App::new().service(mounted.actix(PATH))
    })
    .workers(1)
    .disable_signals();
    if let Some(time) = keep_alive {
        server = server.keep_alive(time);
    }
    let server = server.bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    let mounted = Mounted {
        receiver,
        recorder,
        address,
        certificate: None,
    };
    (mounted, tell)
}

async fn a_connection_serves_until_it_was_idle_for_as_long_as_the_server_waits(
    mount: Mount,
    time: Time,
) {
    let idle = mount.idle().unwrap_or(Duration::from_secs(1000));
    let mut wire = time.mounted.connect().await;
    for id in 0..3 {
        assert_received(&wire.exchange(&on_the_wire("POST", &call_hangup(id))).await);
        time.advance(idle - SECOND).await;
    }
    assert_received(&wire.exchange(&on_the_wire("POST", &call_hangup(3))).await);
    if mount.idle().is_some() {
        let (after, rest) = time.end_of(wire).await;
        // actix-web reads its clock twice a second.
        assert!(after >= idle - SECOND, "{after:?}");
        assert_eq!(rest, b"");
    }
    assert_eq!(time.mounted.handled().await, 4);
}

async fn a_head_may_take_as_long_as_the_server_waits(mount: Mount, time: Time) {
    let request = on_the_wire("POST", &call_hangup(1));
    let (first, second) = request.split_at(50);
    let mut wire = time.mounted.connect().await;
    wire.write(first).await;
    let expected = match mount.slow_head() {
        SlowHead::Answered(after, status) => (after, format!("HTTP/1.1 {status} ")),
        SlowHead::Closed(after) => (after, String::new()),
        SlowHead::Awaited => {
            time.advance(Duration::from_secs(1000)).await;
            wire.write(second).await;
            assert_received(&wire.read().await);
            assert_eq!(time.mounted.handled().await, 1);
            return;
        }
    };
    let (after, rest) = time.end_of(wire).await;
    assert!(after >= expected.0 - SECOND, "{after:?}");
    let rest = String::from_utf8(rest).unwrap();
    assert!(rest.starts_with(&expected.1), "{rest}");
    assert_eq!(rest.is_empty(), expected.1.is_empty());
    assert_eq!(time.mounted.handled().await, 0);
}

/// As the documentation tells users to set it.
#[tokio::test(start_paused = true)]
async fn actix_that_is_told_to_keeps_a_connection_for_longer_than_the_sender_does() {
    let time = Time::start_with(Mount::Actix, Some(75 * SECOND)).await;
    ends(async {
        let mut wire = time.mounted.connect().await;
        for id in 0..3 {
            assert_received(&wire.exchange(&on_the_wire("POST", &call_hangup(id))).await);
            time.advance(35 * SECOND).await;
        }
        assert_received(&wire.exchange(&on_the_wire("POST", &call_hangup(3))).await);
        assert_eq!(time.mounted.handled().await, 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_sender_whose_idle_connections_were_closed_delivers_over_others() {
    let time = Time::start(Mount::Actix).await;
    ends(async {
        let sender = sender(time.mounted.address);
        for id in 0..5 {
            let report = sender.send(call_hangup(id)).await;
            // One may be lost to a connection that it did not yet know to be closed.
            assert!(report.attempts().len() <= 2);
            assert_eq!(report.body(), r#"{"status":"received"}"#);
            time.advance(6 * SECOND).await;
        }
        assert_eq!(time.mounted.handled().await, 5);
    })
    .await;
}
