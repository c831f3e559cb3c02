//! Several receivers on one inbox: one after the other, and never two at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use support::{Recorder, Valve, builder, call_hangup, deliver, label, labelled_call, within};
use tokio::runtime::{Builder, Handle};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{DiskInbox, Durability, Inbox, MemoryInbox};
use voipbin_receiver::{BuildErrorKind, EventHandler, Receiver, Registration};

const HOUR: Duration = Duration::from_secs(3600);

fn on(inbox: impl Inbox, handler: impl EventHandler) -> Result<Receiver, BuildErrorKind> {
    let receiver = builder()
        .runtime(Handle::current())
        .inbox(inbox)
        .handlers([Registration::new(Any, handler).name("handler")])
        .build();
    receiver.map_err(|error| error.kind())
}

/// The same for an inbox of each kind.
async fn each<F, Fut>(check: F)
where
    F: Fn(Arc<dyn Inbox>) -> Fut,
    Fut: Future<Output = ()>,
{
    check(Arc::new(MemoryInbox::new())).await;
    let directory = tempfile::tempdir().unwrap();
    check(Arc::new(DiskInbox::open(directory.path()).await.unwrap())).await;
}

#[tokio::test]
async fn two_receivers_cannot_take_from_one_inbox() {
    each(|inbox| async move {
        let first = on(Arc::clone(&inbox), Recorder::new()).unwrap();
        let second = on(Arc::clone(&inbox), Recorder::new());
        assert_eq!(second.unwrap_err(), BuildErrorKind::Inbox);
        assert!(first.shutdown(HOUR).await.is_drained());
    })
    .await;
}

#[tokio::test]
async fn a_receiver_goes_on_where_the_one_before_it_ended() {
    each(|inbox| async move {
        let recorder = Recorder::new();
        let first = on(Arc::clone(&inbox), recorder.clone()).unwrap();
        assert_eq!(
            deliver(&first.service(), call_hangup(1)).await.status(),
            200
        );
        within(recorder.next()).await;
        assert!(first.shutdown(HOUR).await.is_drained());
        let recorder = Recorder::new();
        let second = on(Arc::clone(&inbox), recorder.clone()).unwrap();
        assert!(second.health().is_ready());
        // Going away, the first one does not close what is the second one's.
        drop(first);
        assert_eq!(
            deliver(&second.service(), call_hangup(1)).await.status(),
            200
        );
        assert_eq!(
            deliver(&second.service(), call_hangup(2)).await.status(),
            200
        );
        let run = within(recorder.next()).await;
        assert_eq!(run.delivery().resource_id(), Some("2"));
        assert!(second.shutdown(HOUR).await.is_drained());
        assert_eq!(second.stats().duplicates, 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_shutdown_left_is_handled_by_the_next_receiver() {
    each(|inbox| async move {
        let first = on(Arc::clone(&inbox), Valve::new()).unwrap();
        for id in 0..3 {
            assert_eq!(
                deliver(&first.service(), call_hangup(id)).await.status(),
                200
            );
        }
        let _report = first.shutdown(Duration::ZERO).await;
        let recorder = Recorder::new();
        let second = on(Arc::clone(&inbox), recorder.clone()).unwrap();
        let mut ids = Vec::new();
        for _ in 0..3 {
            let run = within(recorder.next()).await;
            ids.push(run.delivery().resource_id().map(str::to_owned));
        }
        ids.sort_unstable();
        assert_eq!(ids, ["0", "1", "2"].map(|id| Some(id.to_owned())));
        assert!(second.shutdown(HOUR).await.is_drained());
    })
    .await;
}

#[tokio::test]
async fn what_a_shutdown_left_of_a_lane_comes_to_the_next_receiver_in_its_order() {
    each(|inbox| async move {
        // In memory more than a receiver takes at once, so that some were taken and some were not.
        // On disk each run of a lane waits for a sync.
        let events = match inbox.guarantees().durability {
            Durability::Process => 5_000,
            _ => 200,
        };
        let valve = Valve::new();
        let first = on(Arc::clone(&inbox), valve.clone()).unwrap();
        let service = first.service();
        let numbers: Vec<usize> = (0..events).collect();
        for together in numbers.chunks(500) {
            // Handed over in this order, and stored together.
            let sent = together.iter().map(|number| {
                let body = labelled_call("one", &number.to_string());
                deliver(&service, body)
            });
            let answers = join_all(sent).await;
            assert!(answers.iter().all(|answer| answer.status() == 200));
        }
        within(valve.begun().next()).await;
        let _report = first.shutdown(Duration::ZERO).await;
        let recorder = Recorder::new();
        let second = on(Arc::clone(&inbox), recorder.clone()).unwrap();
        let runs = within(recorder.wait_for(events)).await;
        let numbers = runs.iter().map(|run| label(run.delivery()));
        assert!(numbers.eq((0..events).map(|number| number.to_string())));
        assert!(second.shutdown(HOUR).await.is_drained());
    })
    .await;
}

#[tokio::test]
async fn a_receiver_that_cannot_be_built_leaves_its_inbox_free() {
    each(|inbox| async move {
        // Without a timer no handler can run.
        let lacking = Builder::new_multi_thread().build().unwrap();
        let refused = builder()
            .runtime(lacking.handle().clone())
            .inbox(Arc::clone(&inbox))
            .on(Any, Recorder::new())
            .build();
        assert_eq!(refused.unwrap_err().kind(), BuildErrorKind::Runtime);
        lacking.shutdown_background();
        let receiver = on(inbox, Recorder::new()).unwrap();
        assert!(receiver.shutdown(HOUR).await.is_drained());
    })
    .await;
}

#[tokio::test]
async fn a_receiver_whose_runtime_went_away_leaves_a_durable_inbox_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path()).await.unwrap();
    let lost = Builder::new_multi_thread().enable_all().build().unwrap();
    let valve = Valve::new();
    let first = builder()
        .runtime(lost.handle().clone())
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, valve.clone()).name("handler")])
        .build()
        .unwrap();
    assert_eq!(
        deliver(&first.service(), call_hangup(1)).await.status(),
        200
    );
    within(valve.begun().next()).await;
    lost.shutdown_background();
    within(async {
        while first.health().is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Kept, though nobody handles it.
    assert_eq!(
        deliver(&first.service(), call_hangup(2)).await.status(),
        200
    );
    let recorder = Recorder::new();
    let second = within(async {
        loop {
            // The pump lets go of the inbox a moment after its health tells.
            match on(inbox.clone(), recorder.clone()) {
                Ok(receiver) => return receiver,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    within(recorder.next()).await;
    within(recorder.next()).await;
    assert!(second.shutdown(HOUR).await.is_drained());
}
