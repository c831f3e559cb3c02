//! A file that is moved, replaced or removed while it is used.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::inbox::KeepErrorKind;

fn in_directory(directory: &Path) -> (DiskInbox, PathBuf) {
    let mut settings = settings();
    settings.directory = directory.to_owned();
    let inbox = DiskInbox::with(settings).unwrap();
    (inbox, directory.join(EVENTS_FILE))
}

async fn is_refused(inbox: &DiskInbox, number: u64) -> bool {
    let kept = keep(inbox, number).await.map_err(|error| error.kind());
    kept == Err(KeepErrorKind::Storage) && inbox.stats().failing
}

#[tokio::test]
async fn while_the_file_is_away_or_another_one_new_events_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (inbox, path) = in_directory(directory.path());
    let aside = directory.path().join("aside");
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    assert!(!inbox.stats().failing);

    fs::rename(&path, &aside).unwrap();
    // Without any traffic too.
    until(|| inbox.stats().failing).await;
    assert!(is_refused(&inbox, 2).await);
    assert!(!path.exists(), "an empty file was made");
    fs::copy(&aside, &path).unwrap();
    assert!(is_refused(&inbox, 2).await);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::Duplicate);
    // What is there is still handed out, and its end is not lost.
    let job = take_one(&inbox).await;
    inbox.settle(&job, Settled::Done);
    assert!(!flushed(&inbox).await);

    fs::rename(&aside, &path).unwrap();
    until(|| !inbox.stats().failing).await;
    assert_eq!(keep(&inbox, 2).await.unwrap(), Kept::New);
    assert!(flushed(&inbox).await);
    closed(inbox).await;
    let (inbox, _) = in_directory(directory.path());
    assert_eq!(inbox.stats().events, 1);
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::Duplicate);
}

#[tokio::test]
async fn no_event_is_kept_in_a_file_that_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let (inbox, path) = in_directory(directory.path());
    assert_eq!(keep(&inbox, 1).await.unwrap(), Kept::New);
    fs::remove_file(&path).unwrap();
    assert!(is_refused(&inbox, 2).await);
    assert!(is_refused(&inbox, 3).await);
    assert!(!path.exists(), "an empty file was made");
    assert_eq!(number_of(take_one(&inbox).await.delivery()), 1);
}
