//! What is removed, and what is refused.

use super::*;

#[tokio::test]
async fn what_is_removed_is_gone_from_the_file_and_its_log() {
    let directory = tempdir().unwrap();
    let inbox = builder(&directory)
        .retain_done(Duration::ZERO)
        .open()
        .await
        .unwrap();
    let secret = |number| format!(r#"{{"type":"secret_type","data":{{"id":"person-{number}"}}}}"#);
    for number in 1..=20 {
        keep(&inbox, number, &["a"], secret(number)).await;
    }
    assert!(holds(directory.path(), "person-7"));
    for job in take(&inbox, 20).await {
        inbox.settle(&job, Settled::Done);
    }
    until(&inbox, |stats| stats.events == 0).await;
    let since = Instant::now();
    while holds(directory.path(), "person-") {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Copies are known all the same, after a restart too.
    let inbox = again(inbox, &directory).await;
    assert_eq!(inbox.stats().identities, 20);
}

#[tokio::test]
async fn dead_letters_have_a_limit_at_which_done_events_go_first_and_then_the_oldest() {
    let directory = tempdir().unwrap();
    let inbox = builder(&directory).max_dead(5).open().await.unwrap();
    keep_all(&inbox, 1..=20).await;
    let jobs = take(&inbox, 20).await;
    for job in &jobs[..8] {
        inbox.settle(job, Settled::Done);
    }
    for job in &jobs[8..11] {
        inbox.settle(job, dead());
    }
    until(&inbox, |stats| stats.dead == 3).await;
    assert!(!inbox.stats().dead_nearly_full);
    for job in &jobs[11..13] {
        inbox.settle(job, dead());
    }
    until(&inbox, |stats| stats.dead == 5).await;
    assert_eq!(inbox.stats().dead_dropped, 0);
    assert!(inbox.stats().dead_nearly_full);
    assert!(inbox.get(RecordId::new(1)).await.unwrap().is_some());
    for job in &jobs[13..16] {
        inbox.settle(job, dead());
    }
    until(&inbox, |stats| stats.dead_dropped == 3 && stats.dead == 5).await;
    for gone in [1, 8, 9, 11] {
        assert!(
            inbox.get(RecordId::new(gone)).await.unwrap().is_none(),
            "{gone}"
        );
    }
    assert!(inbox.get(RecordId::new(12)).await.unwrap().is_some());
    assert_eq!(inbox.stats().events, 4);
}

#[tokio::test]
async fn finished_events_give_way_to_new_ones_and_unfinished_ones_do_not() {
    let directory = tempdir().unwrap();
    let inbox = builder(&directory).max_bytes(1 << 20).open().await.unwrap();
    let big = |number: u64| {
        let text = "x".repeat(64 << 10);
        format!(r#"{{"type":"call_hangup","data":{{"id":"{number}","text":"{text}"}}}}"#)
    };
    for number in 1..=40 {
        keep(&inbox, number, &["a"], big(number)).await;
        let job = take(&inbox, 1).await.remove(0);
        inbox.settle(&job, Settled::Done);
        until(&inbox, |stats| stats.events == 0 && !stats.full).await;
    }
    let since = Instant::now();
    while inbox.get(RecordId::new(1)).await.unwrap().is_some() {
        assert!(since.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(inbox.get(RecordId::new(40)).await.unwrap().is_some());
    for number in 41..=56 {
        keep(&inbox, number, &["a"], big(number)).await;
    }
    assert!(inbox.stats().full);
}
