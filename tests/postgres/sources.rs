//! Events of the platform's stream and of its history.

use std::time::{Duration, SystemTime};

use support::history::World;
use support::stream::drop_at_random;
use voipbin_receiver::Receiver;
use voipbin_receiver::inbox::Inbox;

use crate::server::{builder, schema};
use crate::{GLANCE, patiently};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_flushed_by_the_stream_is_handled_once_and_what_is_not_is_in_a_gap() {
    let inbox = builder(schema()).connect().await.unwrap();
    drop_at_random(inbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_during_a_downtime_is_recovered_once_and_in_order() {
    let schema = schema();
    let connect = async || builder(schema.clone()).connect().await.unwrap();
    let world = World::new().await;
    let restart = async |receiver: Receiver| {
        let _ = receiver.shutdown(Duration::ZERO).await;
        drop(receiver);
        connect().await
    };
    let inbox = connect().await;
    let report = patiently(world.downtime(inbox, restart)).await;
    assert!(report.known > 50, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downtime_is_known_until_it_is_caught_up() {
    let schema = schema();
    let connect = async || builder(schema.clone()).connect().await.unwrap();
    let before = SystemTime::now();
    let inbox = connect().await;
    assert_eq!(inbox.down_since(), None);
    drop(inbox);
    let inbox = connect().await;
    let down_since = inbox.down_since().unwrap();
    assert!(before <= down_since && down_since <= SystemTime::now());
    drop(inbox);
    // Nobody caught up.
    let inbox = connect().await;
    assert_eq!(inbox.down_since(), Some(down_since));
    inbox.caught_up().await.unwrap();
    assert_eq!(inbox.down_since(), None);
    let later = async {
        loop {
            let later = connect().await.down_since();
            if later > Some(down_since) {
                break;
            }
            tokio::time::sleep(GLANCE).await;
        }
    };
    patiently(later).await;
}
