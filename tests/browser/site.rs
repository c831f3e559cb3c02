//! An inspector at an address, with what there is to see.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use chrome::{Screen, Tab};
use support::serve_app;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use voipbin_receiver::Origin;
use voipbin_receiver::inbox::RecordState;

use crate::fixture::{Fixture, TOKEN};
use crate::server;

pub(crate) const WIDE: Screen = Screen {
    width: 1280,
    dark: false,
};

pub(crate) struct Site {
    pub(crate) fixture: Arc<Fixture>,
    address: SocketAddr,
    /// Connections through the relay.
    connections: Arc<Mutex<Vec<AbortHandle>>>,
}

impl Site {
    /// Over an inbox on disk; over another one where `BROWSER_INBOX` says so.
    pub(crate) async fn empty() -> Self {
        let fixture = match std::env::var("BROWSER_INBOX").as_deref() {
            Ok("memory") => Fixture::in_memory(),
            Ok("postgres") => {
                let inbox = server::inbox().await;
                Fixture::with(|builder| builder.inbox(inbox))
            }
            _ => Fixture::new().await,
        };
        let fixture = Arc::new(fixture);
        let app = Router::new().nest_service("/ops/inspector/", fixture.inspector.clone());
        let server = serve_app(app).await;
        let connections = Arc::default();
        let address = relay(server, Arc::clone(&connections)).await;
        Self {
            fixture,
            address,
            connections,
        }
    }

    /// With events in every state, and refusals.
    pub(crate) async fn filled() -> Self {
        let site = Self::empty().await;
        site.fixture.deliver(r#"{"custom":"fails"}"#).await;
        for number in 0..70 {
            site.deliver(
                number,
                if number % 5 == 0 {
                    "fails: the store is busy"
                } else {
                    "well"
                },
            )
            .await;
        }
        for body in [
            "{}",
            r#"{ "type": "call_hangup", "data": { "id": "15551234567" } }"#,
        ] {
            site.fixture.deliver_forged(body).await;
        }
        site.fixture.settled().await;
        site
    }

    pub(crate) async fn deliver(&self, number: usize, note: &str) {
        let names = ["call_created", "call_progressing", "call_hangup"];
        let (name, call) = (names[number % 3], number / 3);
        let body = format!(
            r#"{{"type":"{name}","data":{{"id":"5371e9db-d035-4db6-a8d6-{call:012}","source":{{"target":"+15551234567"}},"note":"{note}"}}}}"#
        );
        self.fixture.deliver(body).await;
    }

    /// Goes on delivering until it is dropped.
    pub(crate) fn traffic(&self) -> Traffic {
        let fixture = Arc::clone(&self.fixture);
        Traffic(
            tokio::spawn(async move {
                for number in 0_u64.. {
                    let note = if number % 7 == 0 { "fails" } else { "well" };
                    let body = format!(
                        r#"{{"type":"call_hangup","data":{{"id":"t-{number}","note":"{note}"}}}}"#
                    );
                    drop(fixture.receiver.accept(body, Origin::History).await);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
            .abort_handle(),
        )
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!(
            "http://localhost:{}/ops/inspector/{path}",
            self.address.port()
        )
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// Signs in, and so may do everything.
    pub(crate) async fn sign_in(&self, tab: &Tab) {
        tab.go(&self.url("sign-in")).await;
        tab.until("document.activeElement.id === 'token'").await;
        tab.write(TOKEN).await;
        tab.press("Enter").await;
        tab.until("document.title.startsWith('Now')").await;
        // It was asked for before the sign-in.
        tab.console();
    }

    pub(crate) async fn dead(&self) -> u64 {
        self.fixture.latest(RecordState::Dead).await
    }
}

pub(crate) struct Traffic(AbortHandle);

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An address whose connections can be cut.
async fn relay(to: SocketAddr, connections: Arc<Mutex<Vec<AbortHandle>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let relayed = tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
            connections.lock().unwrap().push(relayed.abort_handle());
        }
    });
    address
}
