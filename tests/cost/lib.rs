//! A receiver on one thread, where what it does for a delivery can be told apart: up to the answer,
//! and from there to the end of its handler.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::testing::Signer;
use voipbin_receiver::{Context, Receiver, ReceiverService};

/// The secret of the receiver.
pub const SECRET: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9";

/// The end of a call as the platform sends it, with all that it tells: 1.5 KB. Each number is
/// another call.
#[must_use]
pub fn hangup(call: u64) -> String {
    const SENT: &str = include_str!("../fixtures/today/call_hangup.json");
    const ID: &str = "cfda08cd-ba8e-5c29-a927-67156793afc4";
    SENT.trim_end()
        .replacen(ID, &format!("{ID:.24}{call:012x}"), 1)
}

/// A request with a signature.
pub type Signed = Request<Full<Bytes>>;

/// A receiver whose handler does nothing but count, and the requests for it.
pub struct OneThread {
    runtime: Runtime,
    /// The receiver.
    pub receiver: Receiver,
    service: ReceiverService,
    signer: Signer,
    handled: Arc<AtomicU64>,
    next: u64,
}

impl OneThread {
    /// A receiver with the default settings.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it starts something")]
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let handled = Arc::<AtomicU64>::default();
        let count = Arc::clone(&handled);
        let handler = move |_: Context| {
            count.fetch_add(1, Ordering::Relaxed);
            async {}
        };
        let receiver = Receiver::builder()
            .secret(SECRET)
            .runtime(runtime.handle().clone())
            .on(Any, handler)
            .build()
            .unwrap();
        Self {
            runtime,
            service: receiver.service(),
            receiver,
            signer: Signer::new(SECRET),
            handled,
            next: 0,
        }
    }

    /// Requests of events that did not come before.
    pub fn requests(&mut self, number: u64) -> Vec<Signed> {
        let first = self.next;
        self.next += number;
        (first..self.next)
            .map(|call| {
                let body = Bytes::from(hangup(call));
                // A server's is a part of a buffer that it shares, and not the only owner of its
                // bytes.
                drop(body.clone());
                self.signer.request("/".parse().unwrap(), body)
            })
            .collect()
    }

    /// Has them answered, one after the other. Nothing is handled meanwhile.
    pub fn answer(&mut self, requests: Vec<Signed>, status: StatusCode) {
        for request in requests {
            self.answer_one(request, status);
        }
    }

    /// Has one answered.
    pub fn answer_one(&mut self, request: Signed, status: StatusCode) {
        let answer = self.service.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(answer.status(), status);
    }

    /// Handles all that was accepted.
    pub fn handle(&self) {
        let accepted = self.receiver.stats().accepted;
        self.runtime.block_on(async {
            while self.handled.load(Ordering::Relaxed) < accepted {
                tokio::task::yield_now().await;
            }
        });
    }
}
