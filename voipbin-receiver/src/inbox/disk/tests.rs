//! The whole inbox, on a disk that loses power, runs full and fails.

mod attempts;
mod failure;
mod moved;
mod order;
mod replay;
mod restart;
mod room;
mod schedule;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::{sleep, timeout};

use super::faults::{Disk, Fault, Target};
use super::load::{left, spread};
use super::ready::Next;
use super::store::Store;
use super::*;
use crate::event::{Delivery, EventKey, Proof, StoredDelivery};
use crate::handler::HandlerName;
use crate::inbox::{
    Attempt, AttemptEnd, Begun, Incoming, Jobs, KeepError, Kept, Receipt, RecordId, Records,
    Repeats, Settled, Taken,
};

/// For what comes in its own time.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings() -> Settings {
    let mut settings = DiskInboxBuilder::new("on a disk in memory".into()).0;
    settings.completion_delay = Duration::from_millis(1);
    settings.tick = Duration::from_millis(5);
    settings.spread = Duration::ZERO;
    settings
}

fn try_open(disk: &Disk, settings: Settings) -> Result<DiskInbox, StoreError> {
    let disk = disk.clone();
    let open = move |check: bool| {
        let open = if check {
            Store::open_checked_on
        } else {
            Store::open_on
        };
        // Every read goes to the disk.
        open(disk.clone(), 0)
    };
    DiskInbox::on(settings, open, false, None)
}

fn open(disk: &Disk, settings: Settings) -> DiskInbox {
    try_open(disk, settings).unwrap()
}

fn open_on(disk: &Disk) -> DiskInbox {
    open(disk, settings())
}

fn identity(number: u64) -> EventKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    EventKey::from_bytes(key)
}

fn number_of(delivery: &Delivery) -> u64 {
    let key = delivery.identity();
    u64::from_le_bytes(key.as_bytes()[8..].try_into().unwrap())
}

fn event_at(number: u64, len: usize, at: SystemTime) -> Delivery {
    let body = Bytes::from(format!("\"{}\"", "x".repeat(len)));
    let stored = StoredDelivery::new(body, identity(number), Proof::Signed, at);
    stored.restore().unwrap()
}

fn event(number: u64) -> Delivery {
    event_at(number, 20, SystemTime::now())
}

fn jobs(names: &[&str]) -> Jobs {
    names.iter().map(|name| HandlerName::new(name)).collect()
}

fn keep_for(inbox: &DiskInbox, delivery: Delivery, names: &[&str]) -> Receipt {
    inbox.keep(Incoming::new(delivery, jobs(names), Repeats::Drop))
}

async fn keep(inbox: &DiskInbox, number: u64) -> Result<Kept, KeepError> {
    patiently(keep_for(inbox, event(number), &["a"])).await
}

async fn patiently<T>(step: impl Future<Output = T>) -> T {
    timeout(PATIENCE, step).await.expect("it takes too long")
}

async fn take_one(inbox: &DiskInbox) -> Taken {
    patiently(inbox.take(1)).await.remove(0)
}

/// Whether everything that came before is stored.
async fn flushed(inbox: &DiskInbox) -> bool {
    patiently(inbox.flush()).await.is_ok()
}

/// For what the writer does by itself.
async fn until(holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "it takes too long");
        sleep(Duration::from_millis(1)).await;
    }
}

fn failed() -> Attempt {
    let ended = AttemptEnd::Failed("it failed".into());
    Attempt::new(SystemTime::now(), Duration::from_millis(1), ended)
}

/// Ends an inbox and waits until its writer is gone.
async fn closed(inbox: DiskInbox) {
    patiently(inbox.closed()).await;
}

fn fails(target: Target, error: io::ErrorKind, lasting: bool) -> Fault {
    Fault {
        target,
        after: 0,
        error,
        lasting,
        forget: None,
    }
}

fn on_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(test)
}
