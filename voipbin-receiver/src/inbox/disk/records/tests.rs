use std::io::ErrorKind;

use super::ROWS;
use crate::event::RecordId;
use crate::handler::HandlerName;
use crate::inbox::disk::faults::{Disk, Fault, Target};
use crate::inbox::disk::store::Store;
use crate::inbox::disk::{DiskInbox, DiskInboxBuilder};
use crate::inbox::{
    Inbox, Incoming, Jobs, Kept, RecordFilter, Records, RecordsErrorKind, Repeats, StoredDelivery,
};
use crate::{EventKey, event::Proof};

fn inbox(disk: &Disk) -> DiskInbox {
    let disk = disk.clone();
    let open = move |_| Store::open_on(disk.clone(), 1 << 20);
    DiskInbox::on(DiskInboxBuilder::new("nowhere".into()).0, open, false, None).unwrap()
}

async fn keep(inbox: &DiskInbox, number: u8) {
    let body = format!(r#"{{"type":"call_hangup","data":{{"id":"{number}"}}}}"#);
    let stored = StoredDelivery::new(
        body.into(),
        EventKey::from_bytes([number; 16]),
        Proof::Unsigned,
        std::time::SystemTime::now(),
    );
    let jobs = Jobs::from_iter([HandlerName::new("handler")]);
    let incoming = Incoming::new(stored.restore().unwrap(), jobs, Repeats::Drop);
    assert_eq!(inbox.keep(incoming).await.unwrap(), Kept::New);
}

async fn ids(inbox: &DiskInbox, after: Option<RecordId>, most: usize) -> (Vec<u64>, Option<u64>) {
    let page = inbox.list(&RecordFilter::new(), after, most).await.unwrap();
    let ids = page.records.iter().map(|record| record.id.get()).collect();
    (ids, page.next.map(RecordId::get))
}

/// Each of these events has a row of its own, and there are as many rows as are read at once.
#[tokio::test]
async fn a_page_that_holds_the_last_event_is_the_last_page() {
    let inbox = inbox(&Disk::new());
    let all: Vec<u64> = (1..=ROWS as u64).collect();
    for number in &all {
        keep(&inbox, u8::try_from(*number).unwrap()).await;
    }
    let most = all.len();
    assert_eq!(ids(&inbox, None, most).await, (all.clone(), None));
    let last = RecordId::new(most as u64 - 1);
    let (first, next) = ids(&inbox, None, most - 1).await;
    assert_eq!(
        (first.as_slice(), next),
        (&all[..most - 1], Some(last.get()))
    );
    assert_eq!(ids(&inbox, Some(last), 3).await, (vec![most as u64], None));
    assert_eq!(
        ids(&inbox, Some(RecordId::new(most as u64)), 1).await,
        (vec![], None)
    );
}

#[tokio::test]
async fn an_event_is_given_up_once() {
    let inbox = inbox(&Disk::new());
    for number in 1..=3 {
        keep(&inbox, number).await;
    }
    let both = [RecordId::new(1), RecordId::new(2)];
    assert_eq!(inbox.discard(&both).await.unwrap(), 2);
    assert_eq!(inbox.discard(&both).await.unwrap(), 0);
    let twice = [RecordId::new(3), RecordId::new(3), RecordId::new(9)];
    assert_eq!(inbox.discard(&twice).await.unwrap(), 1);
}

#[tokio::test]
async fn that_events_are_given_up_is_not_said_before_it_is_stored() {
    let disk = Disk::new();
    let inbox = inbox(&disk);
    keep(&inbox, 1).await;
    disk.fail(Fault {
        target: Target::Sync,
        after: 0,
        error: ErrorKind::StorageFull,
        lasting: true,
        forget: None,
    });
    let error = inbox.discard(&[RecordId::new(1)]).await.unwrap_err();
    assert_eq!(error.kind(), RecordsErrorKind::Storage);
}
