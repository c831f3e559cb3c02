//! What a receiver says of its own health.

use std::time::Duration;

use support::{Recorder, Valve, builder, call_hangup, deliver};
use tokio::runtime::Builder;
use voipbin_receiver::Problem;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::MemoryInbox;

#[tokio::test]
async fn a_receiver_is_ready_until_its_inbox_is_full_and_again_when_there_is_room() {
    let valve = Valve::new();
    let receiver = builder()
        .inbox(MemoryInbox::builder().max_events(1).build())
        .on(Any, valve.clone())
        .build()
        .unwrap();
    assert!(receiver.health().is_ready());
    deliver(&receiver.service(), call_hangup(1)).await;
    valve.begun().next().await;
    assert_eq!(receiver.health().problems, [Problem::InboxFull]);
    let refused = deliver(&receiver.service(), call_hangup(2)).await;
    assert_eq!(refused.code(), "inbox_full");
    valve.open();
    let report = receiver.shutdown(Duration::from_secs(10)).await;
    assert!(report.is_drained());
    assert_eq!(receiver.health().problems, [Problem::ShuttingDown]);
}

#[test]
fn a_receiver_whose_handlers_lost_their_runtime_says_so() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let receiver = builder()
        .on(Any, Recorder::new())
        .runtime(runtime.handle().clone())
        .build()
        .unwrap();
    assert!(receiver.health().is_ready());
    drop(runtime);
    assert_eq!(receiver.health().problems, [Problem::HandlersGone]);
}
