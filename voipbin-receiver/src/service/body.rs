use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::Body;

/// How much is set aside for a body before it has come. A declared length is not a reason to
/// believe it.
const FIRST_PIECE: usize = 16 * 1024;

/// Gathers a body. Most come in one frame, and that is kept as it is; more frames are put together
/// in memory of their own.
#[derive(Default)]
pub(super) struct Gathered {
    first: Bytes,
    rest: Vec<u8>,
}

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    TooLarge,
    Broken,
}

impl Gathered {
    /// Reads until the end, the limit, or until more must come.
    pub(super) fn poll<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        loop {
            let frame = match std::task::ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(Fault::Broken)),
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
                    return Poll::Ready(Err(Fault::TooLarge));
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
    pub(super) fn finish(&mut self) -> (Bytes, bool) {
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
