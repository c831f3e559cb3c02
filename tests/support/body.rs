use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

/// A body that comes in the given frames, and then ends or hangs. It is not `Send`, as an actix
/// payload is not.
pub struct Frames {
    frames: VecDeque<Bytes>,
    hangs: bool,
    _not_send: Rc<()>,
}

impl Frames {
    /// Frames and then the end.
    pub fn ending(frames: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        let frames = frames.into_iter().map(Into::into).collect();
        Self {
            frames,
            hangs: false,
            _not_send: Rc::new(()),
        }
    }

    /// Frames and then nothing, for ever.
    pub fn hanging(frames: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        Self {
            hangs: true,
            ..Self::ending(frames)
        }
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}
