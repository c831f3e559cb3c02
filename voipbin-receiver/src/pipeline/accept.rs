use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::Pipeline;
use crate::event::{Origin, Proof, VerifiedBody};
use crate::inbox::{KeepError, Kept, Reply};
use crate::observe::{Accepted, Refusal};

/// A delivery that was taken over; only the word of the inbox is missing.
pub(crate) enum AcceptFuture {
    /// No handler wants it, and no inbox was asked.
    Unmatched,
    Reply(Reply<Kept, KeepError>),
}

impl Pipeline {
    /// What is no webhook, from its bytes to the word of the inbox.
    pub(crate) async fn receive(&self, bytes: Bytes, origin: Origin) -> Result<Accepted, Refusal> {
        let mut trace = self.recorder.begin(origin);
        let body = VerifiedBody {
            identity: self.gate.verifier.identity(&bytes),
            bytes,
            owned: false,
            proof: Proof::Unsigned,
        };
        let result = match self.accept(body, None, origin, &mut trace) {
            Ok(future) => future.await,
            Err(refusal) => Err(refusal),
        };
        self.recorder.record(&result, &trace);
        result
    }
}

impl Future for AcceptFuture {
    type Output = Result<Accepted, Refusal>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Unmatched => Poll::Ready(Ok(Accepted::Unmatched)),
            Self::Reply(reply) => {
                let kept = ready!(Pin::new(reply).poll(cx));
                Poll::Ready(Ok(kept?.into()))
            }
        }
    }
}
