//! What a handler that always fails costs: what is written for its attempts, and the memory that
//! the inbox takes meanwhile.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use tokio::runtime::Builder;
use voipbin_receiver::inbox::{Attempt, AttemptEnd, DiskInbox, Inbox, Kept, Prefetch, Settled};

use crate::events::{incoming, jobs};
use support::process::{disk_use, memory, written};

const ATTEMPTS: u32 = 8;
const ERROR: usize = 1000;
/// As many handlers run at once.
const AT_ONCE: usize = 256;

pub(crate) fn measure(place: &Path, events: usize) {
    println!("{events} events of 1.5 KB, each with {ATTEMPTS} attempts that end in {ERROR} bytes");
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(&place.join("failing"), events));
}

async fn run(directory: &Path, events: usize) {
    // What waits is in the file alone.
    let inbox = DiskInbox::builder(directory)
        .memory(0)
        .open()
        .await
        .unwrap();
    let consumer = inbox.consume().unwrap();
    let jobs = jobs();
    let kept = (0..events).map(|number| inbox.keep(incoming(number, &jobs)));
    for kept in join_all(kept).await {
        assert_eq!(kept.unwrap(), Kept::New);
    }
    let begun = Instant::now();
    let (before, resident) = (written(), memory("VmRSS:"));
    for attempt in 1..=ATTEMPTS {
        let mut ended = 0;
        while ended < events {
            let jobs = consumer.take(Prefetch::for_jobs(AT_ONCE)).await.unwrap();
            let may = join_all(jobs.iter().map(|job| consumer.begin(job))).await;
            assert!(may.into_iter().all(|may| may.is_ok()));
            for job in &jobs {
                let error = AttemptEnd::Failed("x".repeat(ERROR));
                let failed = Attempt::new(SystemTime::now(), Duration::from_millis(1), error);
                let outcome = match attempt {
                    ATTEMPTS => Settled::Dead {
                        failed: Some(failed),
                    },
                    _ => Settled::Retry {
                        failed,
                        // All of them wait before the first comes again.
                        after: Duration::from_secs(5),
                        in_place: false,
                    },
                };
                consumer.settle(job, outcome);
            }
            ended += jobs.len();
        }
    }
    consumer.flush().await.unwrap();
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let since = |now: Option<u64>, before: Option<u64>| match (now, before) {
        (Some(now), Some(before)) => megabytes(now.saturating_sub(before)),
        _ => "n/a".to_owned(),
    };
    println!(
        "written: {}; resident memory grew by {}; {} in {:.1} s",
        since(written(), before),
        since(memory("VmRSS:"), resident),
        megabytes(disk_use(directory)),
        begun.elapsed().as_secs_f64()
    );
}
