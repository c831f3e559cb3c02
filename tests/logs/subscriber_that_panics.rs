//! A log that cannot be written is nobody else's trouble.

use std::sync::Arc;
use std::time::Duration;

use support::{PreparedInbox, builder, call_hangup, record_logs, within_days};
use tokio::runtime::Handle;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::handler::HandlerName;
use voipbin_receiver::inbox::{Job, JobHistory, KeptEvent, Settled};
use voipbin_receiver::testing::{Act, Recorder, delivery};
use voipbin_receiver::{HandlerOptions, Registration, RetryPolicy};

fn job(id: u64, handler: &str, attempts: u32) -> Job {
    let event = KeptEvent::new(id, delivery(call_hangup(id)).unwrap());
    let mut past = JobHistory::default();
    past.attempts = attempts;
    Job::new(Arc::new(event), HandlerName::new(handler), id).after(past)
}

/// A subscriber that cannot write.
struct Panics;

impl<S: Subscriber> Layer<S> for Panics {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        assert!(*event.metadata().level() > Level::WARN, "on purpose");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_cannot_be_logged_is_settled_like_any_other() {
    record_logs();
    let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(Panics));
    let inbox = PreparedInbox::new(
        [
            job(1, "fails", 0),
            job(2, "fails", 1),
            job(3, "fails", 2),
            job(4, "gone", 0),
        ],
        0,
    );
    let receiver = builder()
        .runtime(Handle::current())
        .handler_options(HandlerOptions::new().retry(RetryPolicy::default().attempts(2)))
        .inbox(inbox.clone())
        .handlers([Registration::new(Any, Recorder::acting(|_| Act::fail())).name("fails")])
        .build()
        .unwrap();
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        let (job, outcome) = within_days(inbox.settled()).await;
        outcomes.push((job.id(), outcome));
    }
    outcomes.sort_by_key(|(id, _)| *id);
    assert!(matches!(outcomes[0].1, Settled::Retry { .. }));
    assert!(matches!(outcomes[1].1, Settled::Dead { failed: Some(_) }));
    assert!(matches!(outcomes[2].1, Settled::Dead { failed: None }));
    assert_eq!(outcomes[3].1, Settled::Unroutable);
    assert!(
        receiver
            .shutdown(Duration::from_secs(3600))
            .await
            .is_drained()
    );
}
