//! The order in which events are handed out, from memory and from the file.

use super::*;

async fn take_all(inbox: &DiskInbox, until: u64, most: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&until) {
        let taken = patiently(inbox.take(most)).await;
        for job in &taken {
            numbers.push(number_of(job.delivery()));
            inbox.settle(job, Settled::Done);
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_events_that_do_not_fit_in_memory_come_in_order_while_others_are_kept() {
    const EVENTS: u64 = 4000;
    for memory in [0, 500, 20_000] {
        let mut settings = settings();
        settings.memory = memory;
        let inbox = open(&Disk::new(), settings);
        let keeper = inbox.clone();
        let kept = tokio::spawn(async move {
            let mut receipts = VecDeque::new();
            for number in 1..=EVENTS {
                receipts.push_back(keep_for(&keeper, event(number), &["a"]));
                // Now and then the taker catches up.
                if number % 256 == 0 || number == EVENTS {
                    for receipt in receipts.drain(..) {
                        assert_eq!(patiently(receipt).await.unwrap(), Kept::New);
                    }
                }
            }
        });
        let numbers = take_all(&inbox, EVENTS, 7).await;
        assert_eq!(numbers, Vec::from_iter(1..=EVENTS), "memory {memory}");
        kept.await.unwrap();
        until(|| inbox.stats().events == 0).await;
        assert!(inbox.take(1).now_or_never().is_none());
    }
}

#[tokio::test]
async fn the_line_stays_within_its_memory_and_all_of_it_comes_once() {
    let mut settings = settings();
    settings.memory = 1000;
    let inbox = open(&Disk::new(), settings);
    for number in 1..=500 {
        let kept = keep_for(&inbox, event_at(number, 98, SystemTime::now()), &["a", "b"]);
        assert_eq!(patiently(kept).await.unwrap(), Kept::New);
    }
    assert_eq!(inbox.shared().ready().in_file, Some(11));
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        for job in patiently(inbox.take(3)).await {
            seen.push((number_of(job.delivery()), job.handler().to_string()));
        }
    }
    let expected = (1..=500).flat_map(|number| [(number, "a".into()), (number, "b".into())]);
    assert_eq!(seen, Vec::from_iter(expected));
    assert!(inbox.take(1).now_or_never().is_none());
}

#[tokio::test]
async fn a_job_that_waited_and_is_put_back_before_the_line_comes_to_it_is_handed_out_once() {
    let disk = Disk::new();
    let inbox = open_on(&disk);
    for number in 1..=3 {
        assert_eq!(keep(&inbox, number).await.unwrap(), Kept::New);
    }
    let jobs = patiently(inbox.take(3)).await;
    let failed = failed();
    let after = Duration::ZERO;
    inbox.settle(&jobs[2], Settled::Retry { failed, after });
    assert!(flushed(&inbox).await);

    let inbox = open_on(&disk.kill());
    let mut numbers = Vec::new();
    let waited = take_one(&inbox).await;
    assert_eq!((number_of(waited.delivery()), waited.attempts()), (3, 1));
    inbox.settle(&waited, Settled::Released);
    assert!(flushed(&inbox).await);
    while numbers.len() < 3 {
        let taken = patiently(inbox.take(1)).await;
        numbers.extend(taken.iter().map(|job| number_of(job.delivery())));
    }
    let more = timeout(Duration::from_millis(20), inbox.take(1)).await;
    assert!(more.is_err(), "{more:?}");
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
}
