//! A machine whose clock is set while the inbox is open, and between two processes.

use std::sync::Arc;

use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const NOW: u64 = 1_800_000_000;

#[derive(Debug)]
struct Hands(Mutex<(u64, u64)>);

impl Hands {
    /// A process that begins at this time, in seconds.
    fn at(wall: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new((0, wall))))
    }

    /// Time passes.
    fn pass(&self, seconds: u64) {
        let mut hands = self.0.lock().unwrap();
        (hands.0, hands.1) = (hands.0 + seconds, hands.1 + seconds);
    }

    fn set(&self, wall: u64) {
        self.0.lock().unwrap().1 = wall;
    }
}

impl Clock for Hands {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.lock().unwrap().0)
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.lock().unwrap().1)
    }
}

async fn with(directory: &TempDir, clock: &Arc<Hands>) -> DiskInbox {
    let builder = builder(directory).retain_done(Duration::from_secs(2 * HOUR));
    builder
        .clock(Arc::clone(clock) as Arc<dyn Clock>)
        .open()
        .await
        .unwrap()
}

async fn finish(inbox: &DiskInbox) {
    keep_all(inbox, 1..=1).await;
    let job = take(inbox, 1).await.remove(0);
    inbox.settle(&job, Settled::Done);
    until(inbox, |stats| stats.events == 0).await;
}

async fn is_there(inbox: &DiskInbox) -> bool {
    // The writer has looked at what is over meanwhile.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        inbox.flush().await.unwrap();
    }
    inbox.get(RecordId::new(1)).await.unwrap().is_some()
}

async fn goes(inbox: &DiskInbox) {
    let since = Instant::now();
    while is_there(inbox).await {
        assert!(since.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_ages_nothing() {
    let directory = tempdir().unwrap();
    let clock = Hands::at(NOW);
    let inbox = with(&directory, &clock).await;
    finish(&inbox).await;
    for wall in [NOW + 60 * DAY, NOW, 946_684_800, NOW] {
        clock.set(wall);
        assert!(is_there(&inbox).await, "{wall}");
        clock.pass(8);
    }
    clock.pass(HOUR);
    assert!(is_there(&inbox).await);
    clock.pass(2 * HOUR);
    goes(&inbox).await;
}

#[tokio::test]
async fn a_machine_that_starts_in_another_year_removes_nothing_until_its_clock_is_set() {
    for wall in [946_684_800, NOW + 60 * DAY] {
        let directory = tempdir().unwrap();
        let inbox = with(&directory, &Hands::at(NOW)).await;
        finish(&inbox).await;
        inbox.closed().await;
        let clock = Hands::at(wall);
        let inbox = with(&directory, &clock).await;
        assert!(is_there(&inbox).await);
        clock.pass(8);
        clock.set(NOW + 16);
        assert!(is_there(&inbox).await);
        clock.pass(HOUR + 60);
        assert!(is_there(&inbox).await, "{wall}");
        clock.pass(HOUR);
        goes(&inbox).await;
    }
}

/// A machine without a clock of its own, whose server is started anew once the clock is set.
#[tokio::test]
async fn years_that_only_a_clock_has_seen_do_not_count() {
    let directory = tempdir().unwrap();
    let inbox = with(&directory, &Hands::at(NOW)).await;
    finish(&inbox).await;
    inbox.closed().await;
    let inbox = with(&directory, &Hands::at(946_684_800)).await;
    assert!(is_there(&inbox).await);
    inbox.closed().await;
    let clock = Hands::at(NOW + 60);
    let inbox = with(&directory, &clock).await;
    clock.pass(HOUR + 1);
    assert!(is_there(&inbox).await);
    clock.pass(HOUR);
    goes(&inbox).await;
}

#[tokio::test]
async fn time_without_a_process_counts_after_an_hour() {
    let directory = tempdir().unwrap();
    let inbox = with(&directory, &Hands::at(NOW)).await;
    finish(&inbox).await;
    inbox.closed().await;
    let clock = Hands::at(NOW + 3 * HOUR);
    let inbox = with(&directory, &clock).await;
    assert!(is_there(&inbox).await);
    clock.pass(HOUR);
    goes(&inbox).await;
}
