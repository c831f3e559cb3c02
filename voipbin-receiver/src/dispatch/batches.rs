use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::yield_now;

pin_project! {
    /// A future that lets all else that is ready go first each time it is woken: what it would be woken
    /// for one by one has come together by then.
    ///
    /// A runtime would otherwise run what was woken last before what was ready by then: the pump between
    /// any two answers.
    pub(super) struct InBatches<F> {
        #[pin]
        inner: F,
        others_went: bool,
    }
}

impl<F> InBatches<F> {
    pub(super) fn new(inner: F) -> Self {
        Self {
            inner,
            others_went: false,
        }
    }
}

impl<F: Future> Future for InBatches<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Whoever yields is woken again after the others.
        if !*this.others_went && pin!(yield_now()).poll(cx).is_pending() {
            *this.others_went = true;
            return Poll::Pending;
        }
        *this.others_went = false;
        this.inner.poll(cx)
    }
}

#[cfg(test)]
#[cfg(not(shuttle))]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_comes_from_several_tasks_is_found_together() {
        let (send, mut receive) = mpsc::unbounded_channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let collect = async move {
            let mut all = Vec::new();
            poll_fn(|cx| {
                counted.fetch_add(1, Ordering::Relaxed);
                while let Poll::Ready(number) = receive.poll_recv(cx) {
                    match number {
                        Some(number) => all.push(number),
                        None => return Poll::Ready(()),
                    }
                }
                Poll::Pending
            })
            .await;
            all
        };
        let collecting = tokio::spawn(InBatches::new(collect));
        // It waits by now.
        while polls.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
        for number in 0..10 {
            let send = send.clone();
            tokio::spawn(async move { send.send(number) });
        }
        drop(send);
        let mut all = collecting.await.unwrap();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
