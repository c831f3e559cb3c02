use std::sync::{OnceLock, Weak};

use async_trait::async_trait;

use super::*;
use crate::clock::SystemClock;
use crate::dispatch::LaneKey;
use crate::inbox::{Durability, InboxStats, Incoming, Kept, Promises, Receipt};

/// An inbox that looks whether another receiver could attach to it meanwhile.
#[derive(Default)]
struct Looking {
    dispatch: OnceLock<Weak<Dispatch>>,
    calls: AtomicUsize,
}

impl Looking {
    fn look(&self) {
        let dispatch = self.dispatch.get().and_then(Weak::upgrade).unwrap();
        let free = dispatch.attached.try_lock().is_ok();
        assert!(!free, "it can be detached meanwhile");
        self.calls.fetch_add(1, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for Looking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Looking")
    }
}

#[async_trait]
impl Inbox for Looking {
    fn detach(&self) {
        self.look();
    }

    fn keep(&self, _: Incoming) -> Receipt {
        Receipt::ready(Ok(Kept::New))
    }

    async fn take(&self, _: usize) -> Vec<Taken> {
        self.look();
        Vec::new()
    }

    fn settle(&self, _: &Taken, _: Settled) {}

    fn close(&self) {
        self.look();
    }

    fn promises(&self) -> Promises {
        Promises::new(Durability::Process)
    }

    fn stats(&self) -> InboxStats {
        InboxStats::default()
    }
}

#[test]
fn an_inbox_is_closed_emptied_and_left_only_while_no_other_receiver_can_have_it() {
    let inbox = Arc::new(Looking::default());
    let handlers = Handlers::default();
    let dispatch = Arc::new(Dispatch::new(Parts {
        inbox: inbox.clone(),
        lanes: Lanes::new(LaneKey::Off, &handlers),
        handlers,
        counters: Arc::default(),
        hooks: Arc::default(),
        clock: Arc::new(SystemClock::new()),
        concurrency: 1,
    }));
    inbox.dispatch.set(Arc::downgrade(&dispatch)).unwrap();
    dispatch.close();
    assert!(dispatch.unfinished().is_empty());
    dispatch.detach();
    assert_eq!(inbox.calls.load(Ordering::SeqCst), 3);
    // From here on it may be another's.
    dispatch.close();
    assert!(dispatch.unfinished().is_empty());
    dispatch.detach();
    assert_eq!(inbox.calls.load(Ordering::SeqCst), 3);
}
