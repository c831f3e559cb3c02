//! Opening an inbox again after its process was killed, and what its file comes down to.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use voipbin_receiver::inbox::{Consumer, DiskInbox, Inbox, Kept, MemoryInbox, Prefetch, Settled};

use crate::events::{incoming, jobs};
use support::process::{Other, disk_use, memory};

/// How long the file may take to come down after the last event.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn measure(place: &Path, events: usize) {
    let directory = place.join("left");
    let path = directory.to_string_lossy();
    println!("{events} events of 1.5 KB, none of them handled, and a kill");
    let begun = Instant::now();
    let mut filler = Other::start(&["fill", &path, &events.to_string()]);
    assert_eq!(filler.line(), "kept");
    filler.kill();
    println!(
        "kept in {:.1} s; {}",
        begun.elapsed().as_secs_f64(),
        megabytes(disk_use(&directory))
    );

    let idle = place.join("idle");
    let runtime = Builder::new_current_thread().build().unwrap();
    drop(runtime.block_on(DiskInbox::open(&idle)).unwrap());
    println!("an idle inbox takes {}", megabytes(disk_use(&idle)));
    let events = events.to_string();
    print!("{}", Other::start(&["identities", &events]).rest());
    print!("{}", Other::start(&["open", &path, &events]).rest());
}

fn megabytes(bytes: u64) -> String {
    format!("{:.3} MB", bytes as f64 / 1e6)
}

fn memory_now() -> String {
    resident().map_or("n/a".to_owned(), megabytes)
}

fn resident() -> Option<u64> {
    memory("VmRSS:")
}

/// Bytes for each event by which the memory has grown.
fn of_each(before: Option<u64>, events: usize) -> String {
    let grown = resident()
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    grown.map_or("n/a".to_owned(), |grown| {
        format!("{:.0}", grown as f64 / events as f64)
    })
}

/// What it takes to remember so many identities and nothing else.
pub(crate) fn identities(events: usize) {
    let inbox = MemoryInbox::builder().max_identities(events).build();
    let none = [].into_iter().collect();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let before = resident();
    runtime.block_on(async {
        for number in 0..events {
            let kept = inbox.keep(incoming(number, &none)).await;
            assert_eq!(kept.unwrap(), Kept::New);
        }
    });
    assert_eq!(
        (inbox.stats().identities, inbox.stats().events),
        (events, 0)
    );
    println!(
        "an identity alone takes {} bytes of memory",
        of_each(before, events)
    );
}

/// Keeps so many events, says so, and waits to be killed.
pub(crate) fn fill(directory: &Path, events: usize) {
    const AT_ONCE: usize = 1024;
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let inbox = DiskInbox::builder(directory).open().await.unwrap();
        let jobs = jobs();
        let mut senders = JoinSet::new();
        for first in 0..AT_ONCE {
            let (inbox, jobs) = (inbox.clone(), jobs.clone());
            senders.spawn(async move {
                for number in (first..events).step_by(AT_ONCE) {
                    let kept = inbox.keep(incoming(number, &jobs)).await;
                    assert_eq!(kept.unwrap(), Kept::New);
                }
            });
        }
        senders.join_all().await;
        println!("kept");
        std::future::pending::<()>().await;
    });
}

/// Opens what was left behind, handles all of it, and watches the file.
pub(crate) fn open(directory: &Path, events: usize) {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    let before = resident();
    let begun = Instant::now();
    let builder = DiskInbox::builder(directory)
        .retain_done(Duration::ZERO)
        .identity_ttl(Duration::from_secs(1));
    let inbox = runtime.block_on(builder.open()).unwrap();
    let took = begun.elapsed();
    assert_eq!(inbox.stats().events, events);
    println!(
        "opened in {:.2} s; resident memory {}, {} bytes for each event, its identity included",
        took.as_secs_f64(),
        memory_now(),
        of_each(before, events)
    );
    let consumer = inbox.consume().unwrap();
    runtime.block_on(handle(&*consumer, events));
    runtime.block_on(watch(&inbox, &*consumer, directory));
}

async fn handle(consumer: &dyn Consumer, events: usize) {
    let begun = Instant::now();
    let mut handled = 0;
    while handled < events {
        for job in consumer.take(Prefetch::for_jobs(256)).await.unwrap() {
            consumer.settle(&job, Settled::Done);
            handled += 1;
        }
    }
    consumer.flush().await.unwrap();
    println!(
        "handled all in {:.1} s; resident memory {}",
        begun.elapsed().as_secs_f64(),
        memory_now()
    );
}

/// Keeps an event now and then meanwhile, to see whether it is held up.
async fn watch(inbox: &DiskInbox, consumer: &dyn Consumer, directory: &Path) {
    let begun = Instant::now();
    let mut told = u64::MAX;
    let mut slowest = Duration::ZERO;
    for beat in 0.. {
        if begun.elapsed() > PATIENCE {
            break;
        }
        let bytes = disk_use(directory);
        if bytes < told / 2 {
            let after = begun.elapsed().as_secs_f64();
            println!("after {after:.1} s it takes {}", megabytes(bytes));
            told = bytes;
        }
        if beat % 16 == 15 {
            let sent = Instant::now();
            let kept = inbox.keep(incoming(usize::MAX - beat, &jobs())).await;
            slowest = slowest.max(sent.elapsed());
            assert_eq!(kept.unwrap(), Kept::New);
            for job in consumer.take(Prefetch::for_jobs(1)).await.unwrap() {
                consumer.settle(&job, Settled::Done);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "at last it takes {}; the slowest of an event every 1.6 s took {} ms",
        megabytes(disk_use(directory)),
        slowest.as_millis()
    );
}
