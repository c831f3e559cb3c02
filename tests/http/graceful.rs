//! The end of a server and its receiver while clients go on sending: nothing that was answered 200
//! is lost or handled twice, whichever of the two is shut down first.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use support::{Recorder, Stoppable, Valve, Wire, builder, call_hangup, on_the_wire, within};
use tokio::sync::watch;
use tokio::task::JoinSet;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::DiskInbox;
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::testing::RecordedRun;
use voipbin_receiver::{Delivery, EventHandler, JobState, Receiver, Registration};

const CLIENTS: usize = 8;

#[derive(Clone, Copy)]
enum Server {
    Actix,
    Alone,
    Axum,
}

/// What is shut down first.
#[derive(Clone, Copy, Debug, PartialEq)]
enum First {
    Server,
    Receiver,
    Neither,
}

const ORDERS: [First; 3] = [First::Server, First::Receiver, First::Neither];

/// Each of these runs with each server.
macro_rules! with_every_server {
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
    };
}

with_every_server! {
    all_that_was_answered_200_is_handled_once_before_the_end
    all_that_was_answered_200_and_is_not_handled_is_reported
    an_inbox_on_disk_goes_on_keeping_until_the_listener_closes
    an_inbox_on_disk_leaves_to_the_next_receiver_what_has_not_begun
}

impl Server {
    async fn start(self, receiver: &Receiver) -> Stoppable {
        match self {
            Self::Actix => Stoppable::actix(receiver),
            Self::Alone => Stoppable::alone(receiver).await,
            Self::Axum => Stoppable::axum(receiver).await,
        }
    }
}

/// Clients that send one event after the other, each until it is refused: by a 503, or because
/// nothing listens any more.
struct Load {
    clients: JoinSet<Ledger>,
    kept: watch::Sender<usize>,
}

/// What became of what was sent.
#[derive(Default)]
struct Ledger {
    kept: BTreeSet<String>,
    /// Sent without an answer: such an event may have been kept or not.
    unanswered: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let kept = watch::Sender::new(0);
        let clients = (0..CLIENTS).map(|client| send(address, client, kept.clone()));
        let clients = clients.collect();
        Self { clients, kept }
    }

    /// Waits until this many more events have been answered 200.
    async fn keeps(&self, more: usize) {
        let mut kept = self.kept.subscribe();
        let enough = *kept.borrow() + more;
        kept.wait_for(|kept| *kept >= enough).await.unwrap();
    }

    /// Waits until every client has been refused.
    async fn end(self) -> Ledger {
        let mut all = Ledger::default();
        for ledger in self.clients.join_all().await {
            all.kept.extend(ledger.kept);
            all.unanswered.extend(ledger.unanswered);
            all.refused.extend(ledger.refused);
        }
        all
    }

    /// The same, and then lets the handlers go on.
    async fn end_and_open(self, valve: &Valve) -> Ledger {
        let ledger = self.end().await;
        valve.open();
        ledger
    }
}

async fn send(address: SocketAddr, client: usize, kept: watch::Sender<usize>) -> Ledger {
    let mut ledger = Ledger::default();
    let mut ids = (0..).map(|number| format!("{client}-{number}"));
    let mut id = ids.next().unwrap();
    while let Some(mut wire) = Wire::try_connect(address).await {
        let request = |id: &str| on_the_wire("POST", &call_hangup(id));
        // What got no answer is sent again, over the next connection.
        while let Some(reply) = wire.try_exchange(&request(&id)).await {
            ledger.unanswered.remove(&id);
            if reply.status == 503 {
                assert_eq!(reply.code(), "shutting_down");
                assert_eq!(reply.header("connection"), Some("close"));
                assert_eq!(wire.rest().await, Some(Vec::new()));
                ledger.refused.insert(id);
                return ledger;
            }
            assert_eq!(reply.status, 200);
            ledger.kept.insert(id);
            id = ids.next().unwrap();
            kept.send_modify(|kept| *kept += 1);
            if reply.header("connection") == Some("close") {
                break;
            }
        }
        if !ledger.kept.contains(&id) {
            ledger.unanswered.insert(id.clone());
        }
    }
    ledger
}

impl Ledger {
    /// Each of these events was answered 200, or not at all; and each that was is among them, once.
    fn is_settled_by<'a>(&self, events: impl IntoIterator<Item = &'a Delivery>) {
        let mut settled = BTreeSet::new();
        for event in events {
            let id = event.resource_id().unwrap().to_owned();
            assert!(
                self.kept.contains(&id) || self.unanswered.contains(&id),
                "{id} was not accepted"
            );
            assert!(settled.insert(id.clone()), "{id} is there twice");
        }
        let lost: Vec<_> = self.kept.difference(&settled).collect();
        assert!(lost.is_empty(), "answered 200 and lost: {lost:?}");
        assert!(settled.len() >= self.kept.len());
    }
}

fn deliveries(runs: &[RecordedRun]) -> impl Iterator<Item = &Delivery> {
    runs.iter().map(RecordedRun::delivery)
}

fn with(handler: impl EventHandler) -> Registration {
    Registration::new(Any, handler).name("handler")
}

async fn all_that_was_answered_200_is_handled_once_before_the_end(server: Server) {
    for first in ORDERS {
        let valve = Valve::new();
        let receiver = builder()
            .concurrency(4)
            .handlers([with(valve.clone())])
            .build()
            .unwrap();
        let running = server.start(&receiver).await;
        let load = Load::start(running.address);
        load.keeps(300).await;

        let (load, report) = match first {
            First::Server => {
                running.stop().await;
                let load = load.end_and_open(&valve).await;
                assert!(load.refused.is_empty());
                (load, receiver.shutdown(Duration::MAX).await)
            }
            First::Receiver => {
                let (report, load) =
                    tokio::join!(receiver.shutdown(Duration::MAX), load.end_and_open(&valve));
                // The listener was open all the time.
                assert_eq!(load.refused.len(), CLIENTS);
                running.stop().await;
                (load, report)
            }
            First::Neither => {
                let (report, (), load) = tokio::join!(
                    receiver.shutdown(Duration::MAX),
                    running.stop(),
                    load.end_and_open(&valve)
                );
                (load, report)
            }
        };
        assert!(report.is_drained(), "{first:?}");
        assert!(load.kept.len() >= 300);
        let handled = valve.ended().rest().await;
        load.is_settled_by(deliveries(&handled));
        let stats = receiver.stats();
        assert_eq!(stats.handled, stats.accepted);
        assert_eq!(
            stats.refused(RefusalReason::ShuttingDown),
            load.refused.len() as u64
        );
        assert_eq!((stats.running, stats.inbox.events), (0, 0));
    }
}

async fn all_that_was_answered_200_and_is_not_handled_is_reported(server: Server) {
    for first in ORDERS {
        let valve = Valve::new();
        let receiver = builder()
            .concurrency(4)
            .handlers([with(valve.clone())])
            .build()
            .unwrap();
        let running = server.start(&receiver).await;
        let load = Load::start(running.address);
        load.keeps(300).await;
        valve.begun().next().await;

        let report = match first {
            First::Server => {
                running.stop().await;
                receiver.shutdown(Duration::ZERO).await
            }
            First::Receiver => {
                let report = receiver.shutdown(Duration::ZERO).await;
                running.stop().await;
                report
            }
            First::Neither => tokio::join!(receiver.shutdown(Duration::ZERO), running.stop()).0,
        };
        let load = load.end().await;
        assert!(load.kept.len() >= 300);
        assert!(valve.ended().rest().await.is_empty());
        load.is_settled_by(report.unfinished.iter().map(|left| &left.delivery));
        let ran = report.unfinished.iter();
        let ran = ran.filter(|left| left.state == JobState::Running).count();
        assert!((1..=4).contains(&ran), "{first:?}: {ran}");
    }
}

async fn an_inbox_on_disk_goes_on_keeping_until_the_listener_closes(server: Server) {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    let valve = Valve::new();
    let receiver = builder()
        .concurrency(4)
        .inbox(inbox.clone())
        .handlers([with(valve.clone())])
        .build()
        .unwrap();
    let running = server.start(&receiver).await;
    let load = Load::start(running.address);
    load.keeps(50).await;

    let while_it_drains = async {
        load.keeps(50).await;
        valve.open();
    };
    let (report, ()) = tokio::join!(receiver.shutdown(Duration::MAX), while_it_drains);
    assert!(report.is_clean());
    load.keeps(50).await;
    running.stop().await;
    let load = load.end().await;
    assert!(load.refused.is_empty());
    assert!(load.kept.len() >= 150);

    let mut handled = valve.ended().rest().await;
    handled.extend(handled_by_the_next(&receiver, inbox).await);
    load.is_settled_by(deliveries(&handled));
}

async fn an_inbox_on_disk_leaves_to_the_next_receiver_what_has_not_begun(server: Server) {
    for first in [First::Server, First::Neither] {
        let directory = tempfile::tempdir().unwrap();
        let inbox = DiskInbox::open(directory.path()).await.unwrap();
        let valve = Valve::new();
        let receiver = builder()
            .concurrency(4)
            .inbox(inbox.clone())
            .handlers([with(valve.clone())])
            .build()
            .unwrap();
        let running = server.start(&receiver).await;
        let load = Load::start(running.address);
        load.keeps(100).await;
        valve.begun().next().await;

        // What runs is given the time that it takes, and what waits is not run.
        let (report, load) = if first == First::Server {
            running.stop().await;
            tokio::join!(receiver.shutdown(Duration::MAX), load.end_and_open(&valve))
        } else {
            let (report, (), load) = tokio::join!(
                receiver.shutdown(Duration::MAX),
                running.stop(),
                load.end_and_open(&valve)
            );
            (report, load)
        };
        assert!(report.is_clean(), "{first:?}");
        assert!(load.refused.is_empty());
        let mut handled = valve.ended().rest().await;
        // Those that ran, and a few that began before the receiver had come to a stop.
        assert!((1..100).contains(&handled.len()), "{}", handled.len());
        handled.extend(handled_by_the_next(&receiver, inbox).await);
        load.is_settled_by(deliveries(&handled));
    }
}

/// What a receiver after this one finds and handles.
async fn handled_by_the_next(receiver: &Receiver, inbox: DiskInbox) -> Vec<RecordedRun> {
    let left = receiver.stats().inbox.events;
    assert!(left > 0);
    let recorder = Recorder::new();
    let next = builder()
        .inbox(inbox)
        .handlers([with(recorder.clone())])
        .build()
        .unwrap();
    let mut handled = Vec::new();
    for _ in 0..left {
        handled.push(recorder.next().await);
    }
    assert!(next.shutdown(Duration::MAX).await.is_drained());
    assert_eq!(next.stats().inbox.events, 0);
    handled.extend(recorder.rest().await);
    handled
}
