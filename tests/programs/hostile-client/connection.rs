use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::timeout;

/// For how long a server may leave a connection open on which nothing can come any more.
const OPEN: Duration = Duration::from_secs(20);

/// What a server did with a connection.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// It answered with these statuses, which may be none, and closed.
    Closed(Vec<u16>),
    /// It left it open.
    Open,
}

impl End {
    /// As the test is told.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Closed(statuses) => json!(statuses),
            Self::Open => json!("open"),
        }
    }
}

/// Connects, writes as it is told, and reads until the server closes.
pub(crate) async fn connection<W>(address: SocketAddr, write: W) -> End
where
    W: AsyncFnOnce(&mut OwnedWriteHalf) -> std::io::Result<()>,
{
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut told = Vec::new();
    let read = async {
        // A reset ends it as well; what came before counts.
        let _ = reading.read_to_end(&mut told).await;
    };
    let write = async {
        // The server may have had enough.
        if write(&mut writing).await.is_ok() {
            let _ = writing.shutdown().await;
        }
    };
    let mut read = std::pin::pin!(read);
    let ended = timeout(OPEN, async {
        tokio::select! {
            () = &mut read => {}
            () = write => read.await,
        }
    })
    .await;
    match ended {
        Ok(()) => End::Closed(statuses(&told)),
        Err(_) => End::Open,
    }
}

/// The statuses of all answers in what a server said.
fn statuses(told: &[u8]) -> Vec<u16> {
    let told = String::from_utf8_lossy(told);
    // One to HTTP/1.0 begins with that.
    let answers = told.split("HTTP/1.").skip(1);
    answers
        .map(|answer| answer.get(2..5).unwrap().parse().unwrap())
        .collect()
}

/// How many connections ended how.
pub(crate) async fn count(ends: impl IntoIterator<Item = impl Future<Output = End>>) -> Value {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut ends: FuturesUnordered<_> = ends.into_iter().collect();
    while let Some(end) = ends.next().await {
        *counts.entry(end.to_json().to_string()).or_default() += 1;
    }
    json!(counts)
}
