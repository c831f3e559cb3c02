use std::io;

use redb::StorageBackend;
use shuttle::future::block_on;
use shuttle::sync::mpsc;
use shuttle::thread::{self, JoinHandle};

use super::faults::{Disk, Fault, Target};
use super::store::Store;
use super::*;
use crate::inbox::Settled;
use crate::inbox::model::{StoppedClock, incoming, name, names};
use crate::inbox::{KeepErrorKind, Kept};
use crate::sync::model::time::{NEVER, advance};
use crate::sync::model::{check_fewer, step};

/// Opening a file for each schedule takes ten times as long as the schedule.
const FEWER: usize = 8;

/// A disk in memory that takes its time to sync.
#[derive(Clone, Debug, Default)]
struct Slow(Disk);

impl StorageBackend for Slow {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        advance(Duration::from_millis(5));
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// The inbox with its own writer, on a thread that the schedule decides about. What waits for the writer's
/// tick waits for ever.
fn open(disk: &Disk) -> (DiskInbox, JoinHandle<()>) {
    let mut settings = DiskInboxBuilder::new("on a disk in memory".into()).0;
    settings.completion_delay = NEVER;
    settings.tick = NEVER * 2;
    settings.clock = Arc::new(StoppedClock);
    let disk = Slow(disk.clone());
    let open = move |_: bool| Store::open_on(disk.clone(), 0);
    let shared = Arc::new(Shared::new(settings, open(false).unwrap()));
    load(&shared).unwrap();
    let writer = Writer::new(Arc::clone(&shared), Box::new(open), None);
    let writer = thread::spawn(move || {
        writer.run();
    });
    let reader = Reader::start().unwrap();
    let inbox = DiskInbox(Arc::new(Handle {
        shared,
        reader,
        _user: None,
    }));
    inbox.attach().unwrap();
    (inbox, writer)
}

/// Lets the next sync fail.
fn fail(disk: &Disk) {
    disk.fail(Fault {
        target: Target::Sync,
        after: 0,
        error: io::ErrorKind::StorageFull,
        lasting: false,
        forget: None,
    });
}

fn keep(inbox: &DiskInbox, number: u32, jobs: usize) -> Result<Kept, KeepErrorKind> {
    block_on(inbox.keep(incoming(number, jobs))).map_err(|error| error.kind())
}

fn keeps(inbox: &DiskInbox, number: u32, jobs: usize) -> JoinHandle<Result<Kept, KeepErrorKind>> {
    let inbox = inbox.clone();
    thread::spawn(move || keep(&inbox, number, jobs))
}

#[test]
fn a_copy_in_flight_shares_the_fate_of_the_first_and_nothing_is_burned() {
    for fails in [false, true] {
        check_fewer(FEWER, move || {
            let disk = Disk::new();
            let (inbox, writer) = open(&disk);
            if fails {
                fail(&disk);
            }
            let copies = [(); 3].map(|()| keeps(&inbox, 1, 1));
            let kept = copies.map(|copy| copy.join().unwrap());
            let new = kept.iter().filter(|kept| **kept == Ok(Kept::New)).count();
            let known = kept.iter().filter(|kept| **kept == Ok(Kept::Duplicate));
            let known = known.count();
            if fails {
                // Copies of what failed fail, and so does what comes before the file is open again.
                assert_eq!(kept, [Err(KeepErrorKind::Storage); 3]);
            } else {
                assert_eq!((new, known), (1, 2));
            }
            drop(inbox);
            writer.join().unwrap();
            disk.heal();
            let (inbox, writer) = open(&disk.kill());
            let again = if fails { Kept::New } else { Kept::Duplicate };
            assert_eq!(keep(&inbox, 1, 1), Ok(again));
            drop(inbox);
            writer.join().unwrap();
        });
    }
}

#[test]
fn what_is_kept_is_handed_out_once_and_neither_writer_nor_taker_sleeps_through_it() {
    check_fewer(FEWER, || {
        let (inbox, writer) = open(&Disk::new());
        let (tell, told) = mpsc::channel();
        let takers = [1, 2].map(|max| {
            let (inbox, tell) = (inbox.clone(), tell.clone());
            thread::spawn(move || {
                loop {
                    let jobs = block_on(inbox.take(max));
                    if jobs.is_empty() {
                        return;
                    }
                    for job in jobs {
                        assert!(block_on(inbox.begin(&job)));
                        inbox.settle(&job, Settled::Done);
                        tell.send(name(&job)).unwrap();
                    }
                }
            })
        });
        let keepers = [(1, 2), (2, 1)].map(|(number, jobs)| keeps(&inbox, number, jobs));
        let mut jobs: Vec<_> = (0..3).map(|_| told.recv().unwrap()).collect();
        jobs.sort();
        assert_eq!(jobs, [names(1, 2), names(2, 1)].concat());
        for keeper in keepers {
            assert_eq!(keeper.join().unwrap(), Ok(Kept::New));
        }
        block_on(inbox.flush()).unwrap();
        assert_eq!(inbox.stats().events, 0);
        inbox.close();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        drop((inbox, tell));
        writer.join().unwrap();
        assert!(told.recv().is_err(), "one was handed out twice");
    });
}

#[test]
fn of_two_who_wait_each_gets_a_job_of_one_event() {
    check_fewer(FEWER, || {
        let (inbox, writer) = open(&Disk::new());
        let takers = [(); 2].map(|()| {
            let inbox = inbox.clone();
            thread::spawn(move || block_on(inbox.take(1)))
        });
        assert_eq!(keep(&inbox, 1, 2), Ok(Kept::New));
        let jobs = takers.map(|taker| taker.join().unwrap()).concat();
        let mut jobs: Vec<_> = jobs.iter().map(name).collect();
        jobs.sort();
        assert_eq!(jobs, names(1, 2));
        drop(inbox);
        writer.join().unwrap();
    });
}

#[test]
fn senders_that_come_again_at_once_are_all_answered() {
    // So that the writer waits for those who come again, and some do not.
    check_fewer(FEWER, || {
        let (inbox, writer) = open(&Disk::new());
        let senders = [(1, 3), (10, 2), (20, 1)].map(|(first, events)| {
            let inbox = inbox.clone();
            thread::spawn(move || {
                for number in first..first + events {
                    assert_eq!(keep(&inbox, number, 0), Ok(Kept::New));
                }
            })
        });
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
        drop(inbox);
        writer.join().unwrap();
    });
}

#[test]
fn whoever_waits_for_the_writer_is_told_of_its_end() {
    check_fewer(FEWER, || {
        let (inbox, writer) = open(&Disk::new());
        assert_eq!(keep(&inbox, 1, 1), Ok(Kept::New));
        let jobs = block_on(inbox.take(1));
        let keeper = keeps(&inbox, 2, 1);
        let begins = inbox.clone();
        let begins = thread::spawn(move || block_on(begins.begin(&jobs[0])));
        let flushes = inbox.clone();
        let flushes = thread::spawn(move || block_on(flushes.flush()).is_ok());
        let takes = inbox.clone();
        let takes = thread::spawn(move || while !block_on(takes.take(1)).is_empty() {});
        step();
        inbox.shared().stop();
        writer.join().unwrap();
        let kept = keeper.join().unwrap();
        assert!(
            matches!(kept, Ok(Kept::New) | Err(KeepErrorKind::Storage)),
            "{kept:?}"
        );
        // Whatever they are told, they are told something.
        begins.join().unwrap();
        flushes.join().unwrap();
        takes.join().unwrap();
        assert_eq!(keep(&inbox, 3, 1), Err(KeepErrorKind::Storage));
        assert!(inbox.attach().is_err());
    });
}
