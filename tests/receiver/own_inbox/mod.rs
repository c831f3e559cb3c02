//! A whole inbox of one's own, as a table with rows: what to write for a database or a broker.

mod table;

use std::time::Duration;

use support::{Recorder, builder, call_hangup, deliver};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::inbox::{Inbox, MemoryInbox};
use voipbin_receiver::testing::inbox_contract;
use voipbin_receiver::{BuildErrorKind, Receiver, Registration, Role};

use self::table::TableInbox;

const DRAIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn it_keeps_the_contract() {
    inbox_contract::check(async || TableInbox::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_keeps_what_its_workers_handle_once() {
    const EVENTS: usize = 50;
    let inbox = TableInbox::default();
    let recorder = Recorder::new();
    let ingress = builder()
        .role(Role::Ingress)
        .inbox(inbox.clone())
        .handlers([Registration::elsewhere(Any, "crm")])
        .build()
        .unwrap();
    for id in 0..EVENTS {
        let answer = deliver(&ingress.service(), call_hangup(id)).await;
        assert_eq!(answer.word(), "received");
    }
    let worker = || {
        Receiver::builder()
            .role(Role::Worker)
            .inbox(inbox.clone())
            .handlers([Registration::new(Any, recorder.clone()).name("crm")])
            .build()
            .unwrap()
    };
    let workers = [worker(), worker()];
    for _ in 0..EVENTS {
        recorder.next().await;
    }
    for receiver in workers.into_iter().chain([ingress]) {
        assert!(receiver.shutdown(DRAIN).await.is_drained());
    }
    assert!(recorder.rest().await.is_empty());
    assert_eq!(inbox.stats().events, 0);
}

#[tokio::test]
async fn a_worker_has_what_comes_to_it_by_mistake_sent_again() {
    let worker = Receiver::builder()
        .role(Role::Worker)
        .inbox(MemoryInbox::new())
        .on(Any, || async {})
        .build()
        .unwrap();
    let answer = deliver(&worker.service(), call_hangup(1)).await;
    assert_eq!(answer.status(), 503);
    assert!(worker.shutdown(DRAIN).await.is_drained());
}

#[test]
fn a_role_needs_an_inbox_to_share_and_handlers_that_can_run() {
    for role in [Role::Ingress, Role::Worker] {
        let error = builder()
            .role(role)
            .on(Any, || async {})
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::BadSetting);
        assert!(error.to_string().contains("`inbox`"), "{error}");
    }
    for role in [Role::Both, Role::Worker] {
        let error = builder()
            .role(role)
            .inbox(MemoryInbox::new())
            .handlers([Registration::elsewhere(Any, "crm")])
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), BuildErrorKind::BadSetting);
        assert!(error.to_string().contains("`crm`"), "{error}");
    }
}
