//! Events that were recorded and are sent again.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use support::{ManualClock, PreparedInbox, Recorder, builder, deliver};
use voipbin_receiver::catalog::{Any, Custom};
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox};
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::{BuildErrorKind, Receiver, ReceiverBuilder};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// A receiver whose clock begins with the year 1970 and whose inbox remembers for an hour.
fn remembering(age: Option<Duration>) -> (Arc<ManualClock>, Receiver) {
    let clock = Arc::new(ManualClock::default());
    let inbox = MemoryInbox::builder()
        .identity_ttl(HOUR)
        .clock(clock.clone())
        .build();
    let builder = builder()
        .on((Any, Custom), Recorder::new())
        .clock(clock.clone())
        .inbox(inbox);
    let builder = match age {
        Some(age) => builder.max_event_age(age),
        None => builder,
    };
    (clock, builder.build().unwrap())
}

fn event(times: &str) -> String {
    format!(r#"{{"type":"call_hangup","data":{{"id":"1"{times}}}}}"#)
}

/// How often a recorded event is taken for new, sent each minute for three hours.
async fn taken(receiver: &Receiver, clock: &ManualClock) -> u64 {
    let recorded =
        event(r#","tm_create":"1969-12-31T23:50:00Z","tm_update":"1970-01-01T00:00:00Z""#);
    for _ in 0..180 {
        let handled = receiver.stats().accepted;
        deliver(&receiver.service(), recorded.clone()).await;
        // What is not finished is not forgotten.
        while receiver.stats().handled < receiver.stats().accepted {
            tokio::task::yield_now().await;
        }
        assert!(receiver.stats().accepted <= handled + 1);
        clock.advance(MINUTE);
    }
    receiver.stats().accepted
}

#[tokio::test]
async fn a_recorded_event_is_taken_once_whenever_it_is_sent_again() {
    for age in [HOUR, HOUR / 2, Duration::from_secs(100)] {
        let (clock, receiver) = remembering(Some(age));
        assert_eq!(taken(&receiver, &clock).await, 1);
    }
    // Without a limit it is new each time that it was forgotten.
    let (clock, receiver) = remembering(None);
    assert_eq!(taken(&receiver, &clock).await, 3);
}

#[tokio::test]
async fn an_event_over_its_age_gets_a_403_and_is_not_remembered() {
    let (clock, receiver) = remembering(Some(HOUR));
    clock.advance(HOUR + MINUTE);
    for (times, status) in [
        (r#","tm_update":"1970-01-01T00:01:00Z""#, 200),
        (r#","tm_update":"1970-01-01T00:00:59.999Z""#, 403),
        // The last change counts.
        (
            r#","tm_create":"1970-01-01T00:00:00Z","tm_update":"1970-01-01T00:30:00Z""#,
            200,
        ),
        (
            r#","tm_create":"1970-01-01T00:30:00Z","tm_update":"1970-01-01T00:00:00Z""#,
            403,
        ),
        (
            r#","tm_create":"1970-01-01T00:00:00Z","tm_update":null"#,
            403,
        ),
        (
            r#","tm_create":"1970-01-01 00:00:00.000000","tm_update":"9999-01-01 00:00:00.000000""#,
            403,
        ),
        // Nothing tells, or nothing that can be read; or a clock is ahead.
        ("", 200),
        (r#","tm_update":"yesterday""#, 200),
        (r#","tm_update":"1970-01-01T09:00:00Z""#, 200),
    ] {
        let answer = deliver(&receiver.service(), event(times)).await;
        assert_eq!(answer.status().as_u16(), status, "{times}");
        assert_eq!(answer.code() == "event_too_old", status == 403, "{times}");
    }
    let stats = receiver.stats();
    assert_eq!(
        (stats.refused(RefusalReason::TooOld), stats.accepted),
        (4, 5)
    );
    assert_eq!(stats.inbox.identities, 5);
}

#[tokio::test]
async fn what_is_no_event_of_the_catalogue_has_times_of_its_own() {
    let (clock, receiver) = remembering(Some(HOUR));
    clock.advance(24 * HOUR);
    let old = r#"{"id":"1","tm_create":"1970-01-01T00:00:00Z"}"#;
    for body in [
        old.to_owned(),
        format!(r#"{{"type":"my_own","data":{old}}}"#),
    ] {
        assert_eq!(
            deliver(&receiver.service(), body).await.status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn an_age_beyond_what_is_remembered_or_within_the_senders_tries_is_refused_by_build() {
    let directory = tempfile::tempdir().unwrap();
    let disk = DiskInbox::builder(directory.path().join("inbox"))
        .identity_ttl(2 * HOUR)
        .open()
        .await
        .unwrap();
    let build = |builder: ReceiverBuilder| {
        let built = builder.on(Any, Recorder::new()).build();
        built.map(drop).map_err(|error| error.kind())
    };
    let refused = Err(BuildErrorKind::BadSetting);
    let tick = Duration::from_nanos(1);
    assert_eq!(build(builder().max_event_age(HOUR)), Ok(()));
    assert_eq!(build(builder().max_event_age(HOUR + tick)), refused);
    assert_eq!(
        build(builder().max_event_age(Duration::from_secs(100))),
        Ok(())
    );
    assert_eq!(
        build(builder().max_event_age(Duration::from_secs(100) - tick)),
        refused
    );
    let disk = Arc::new(disk);
    assert_eq!(
        build(builder().inbox(Arc::clone(&disk)).max_event_age(3 * HOUR)),
        refused
    );
    assert_eq!(build(builder().inbox(disk).max_event_age(2 * HOUR)), Ok(()));
    // One that does not say how long it remembers.
    let silent = PreparedInbox::new([], 0);
    assert_eq!(build(builder().inbox(silent).max_event_age(HOUR)), refused);
}
