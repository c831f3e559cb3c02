use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::gate::Limits;
use crate::observe::{Refusal, RefusalReason};

/// How much is set aside for a body before it has come. A declared length is not a reason to
/// believe it.
const FIRST_PIECE: usize = 16 * 1024;

pin_project! {
    /// Reads a body within a size and a time.
    pub(super) struct ReadBody<B> {
        #[pin]
        body: B,
        collected: BodyCollector,
        // Set when the body does not come at once: most do, and save the timer.
        #[pin]
        deadline: Option<Sleep>,
    }
}

impl<B: Body> ReadBody<B> {
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            collected: BodyCollector::default(),
            deadline: None,
        }
    }

    /// The bytes, and whether they are in memory of their own.
    pub(super) fn poll_read(
        self: Pin<&mut Self>,
        limits: &Limits,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Bytes, bool), Refusal>> {
        let mut this = self.project();
        if let Poll::Ready(read) = this.collected.poll(this.body, limits.body, cx) {
            let collected = read.map(|()| this.collected.finish());
            return Poll::Ready(collected.map_err(Refusal::from));
        }
        if this.deadline.is_none() {
            this.deadline
                .set(Some(tokio::time::sleep(limits.read_timeout)));
        }
        if let Some(deadline) = this.deadline.as_mut().as_pin_mut() {
            ready!(deadline.poll(cx));
        }
        Poll::Ready(Err(RefusalReason::TooSlow.into()))
    }
}

/// A body type need not know its length; the head may.
pub(super) fn declared_length(headers: &HeaderMap) -> u64 {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// Gathers a body. Most come in one frame, and that is kept as it is; more frames are put together
/// in memory of their own.
#[derive(Default)]
struct BodyCollector {
    first: Bytes,
    rest: Vec<u8>,
}

impl BodyCollector {
    /// Reads until the end, the limit, or until more must come.
    fn poll<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), RefusalReason>> {
        loop {
            let frame = match ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(RefusalReason::Broken)),
                None => return Poll::Ready(Ok(())),
            };
            // Trailers are not part of the body.
            if let Ok(data) = frame.into_data() {
                if !data.has_remaining() {
                    // A body that sends nothing, over and over, is one that does not come: give the
                    // deadline and the other tasks their turn.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if data.remaining() > limit.saturating_sub(self.len()) {
                    return Poll::Ready(Err(RefusalReason::TooLarge));
                }
                let expected = usize::try_from(body.size_hint().lower()).unwrap_or(FIRST_PIECE);
                self.push(data, expected);
                if body.is_end_stream() {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn len(&self) -> usize {
        if self.rest.is_empty() {
            self.first.len()
        } else {
            self.rest.len()
        }
    }

    fn push(&mut self, mut data: impl Buf, expected: usize) {
        if self.len() == 0 {
            // For `Bytes` this is a reference count and no copy.
            self.first = data.copy_to_bytes(data.remaining());
            return;
        }
        if self.rest.is_empty() {
            let size = self.first.len() + data.remaining() + expected.min(FIRST_PIECE);
            self.rest.reserve_exact(size);
            self.rest.extend_from_slice(&self.first);
            self.first = Bytes::new();
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            self.rest.extend_from_slice(chunk);
            let read = chunk.len();
            data.advance(read);
        }
    }

    /// The bytes, and whether they are in memory of their own.
    fn finish(&mut self) -> (Bytes, bool) {
        if self.rest.is_empty() {
            (std::mem::take(&mut self.first), false)
        } else {
            // Without the slack: it may be kept for long.
            (
                Bytes::from(std::mem::take(&mut self.rest).into_boxed_slice()),
                true,
            )
        }
    }
}
