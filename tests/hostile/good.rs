use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{Certificate, Reply, Wire, call_hangup, offering, on_the_wire, tls_connect};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long one answer may take, its connection and handshake included.
const AT_MOST: Duration = Duration::from_secs(1);

/// From one event to the next.
const PACE: Duration = Duration::from_millis(20);

/// Sends events one after the other: on a connection that it keeps, on a new one, on a new one to a
/// server with room for few, and on a new one with TLS.
pub(crate) struct GoodClient {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Figures>,
}

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) answers: u64,
    pub(crate) slowest: Duration,
}

impl GoodClient {
    /// To a plain, a narrow and a secure server.
    pub(crate) fn start(servers: [&str; 3], certificate: Certificate) -> Self {
        let servers = servers.map(|address| address.parse().unwrap());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(send(servers, certificate, stopped));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Figures {
        // It may have failed; then that is what the test fails with.
        let _ = self.stop.send(());
        self.task.await.unwrap()
    }
}

async fn send(
    [plain, narrow, secure]: [SocketAddr; 3],
    certificate: Certificate,
    mut stopped: oneshot::Receiver<()>,
) -> Figures {
    let mut kept = Wire::connect(plain).await;
    let mut figures = Figures::default();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = &mut stopped => return figures,
            _ = pace.tick() => {}
        }
        let id = format!("good-{}", figures.answers);
        let request = on_the_wire("POST", &call_hangup(&id));
        let begun = Instant::now();
        let exchange = async {
            match figures.answers % 4 {
                0 => kept.exchange(&request).await,
                1 => Wire::connect(plain).await.exchange(&request).await,
                2 => Wire::connect(narrow).await.exchange(&request).await,
                _ => over_tls(secure, &certificate, &request).await,
            }
        };
        let reply = timeout(AT_MOST, exchange).await;
        let reply = reply.unwrap_or_else(|_| panic!("{id}: no answer within {AT_MOST:?}"));
        assert_eq!(reply.word(), "received", "{id}");
        figures.answers += 1;
        figures.slowest = figures.slowest.max(begun.elapsed());
    }
}

async fn over_tls(address: SocketAddr, certificate: &Certificate, request: &[u8]) -> Reply {
    let client = offering(&[], [certificate]);
    let stream = tls_connect(address, client).await.unwrap();
    Wire::over(stream).exchange(request).await
}
