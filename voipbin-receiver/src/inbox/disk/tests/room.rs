//! What becomes of the file when its events are handled.

use super::*;

#[tokio::test]
async fn the_room_of_handled_events_goes_back_to_the_file_system_and_the_others_stay() {
    const EVENTS: u64 = 24;
    const LENGTH: usize = 1 << 20;
    let mut settings = settings();
    settings.retain_done = Duration::ZERO;
    settings.identity_ttl = Duration::ZERO;
    let disk = Disk::new();
    let inbox = open(&disk, settings.clone());
    for number in 1..=EVENTS {
        let kept = keep_for(&inbox, event_at(number, LENGTH, SystemTime::now()), &["a"]);
        assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    }
    assert!(inbox.stats().disk_bytes > EVENTS << 20);
    let mut jobs = patiently(inbox.take(64)).await;
    let last = jobs.pop().unwrap();
    for job in &jobs {
        inbox.settle(job, Settled::Done);
    }
    until(|| inbox.stats().disk_bytes < 6 << 20).await;
    assert_eq!(keep(&inbox, 100).await.unwrap(), Kept::New);

    let inbox = open(&disk.kill(), settings);
    assert!(inbox.stats().disk_bytes < 6 << 20);
    let again = take_one(&inbox).await;
    assert_eq!(again.delivery().body(), last.delivery().body());
    assert_eq!(number_of(take_one(&inbox).await.delivery()), 100);
}
