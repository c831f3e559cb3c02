//! What stands between an inbox and its server, and what goes wrong there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// What becomes of what goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// Connections end, and new ones are refused.
    Cut,
    /// Connections stay, and nothing goes through them.
    Held,
}

/// A proxy for TCP before the socket of a server.
pub(crate) struct Proxy {
    port: u16,
    flow: watch::Sender<Flow>,
    bytes: Arc<AtomicU64>,
}

impl Proxy {
    pub(crate) async fn before(host: &str) -> Self {
        let socket = PathBuf::from(host).join(".s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (flow, flows) = watch::channel(Flow::Open);
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *flows.borrow() == Flow::Cut {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket).await else {
                    continue;
                };
                let (flows, counted) = (flows.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::select! {
                        () = forward(from_client, to_server, flows.clone(), &counted) => {}
                        () = forward(from_server, to_client, flows, &counted) => {}
                    }
                });
            }
        });
        Self { port, flow, bytes }
    }

    pub(crate) fn url(&self) -> String {
        let Self { port, .. } = self;
        format!("host=127.0.0.1 port={port} user=postgres dbname=postgres")
    }

    pub(crate) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    /// How many have gone through, both ways together.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
    bytes: &AtomicU64,
) {
    let mut cut = flow.clone();
    let forward = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if flow.wait_for(|flow| *flow != Flow::Held).await.is_err() {
                return;
            }
            bytes.fetch_add(read as u64, Ordering::Relaxed);
            if to.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = forward => {}
        _ = cut.wait_for(|flow| *flow == Flow::Cut) => {}
    }
}
