//! What an inbox needs of a server, and what it says when it does not get it.

use std::time::Duration;

use futures_util::future::join_all;
use voipbin_receiver::inbox::{
    Durability, Inbox, Kept, PostgresInbox, PostgresInboxErrorKind, Settled,
};

use crate::server::{builder, client, schema, url};
use crate::{event, patiently, take};

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_create_one_schema() {
    let schema = schema();
    let all = (0..8).map(|_| builder(schema.clone()).connect());
    let inboxes = patiently(join_all(all)).await;
    assert_eq!(inboxes.into_iter().filter_map(Result::ok).count(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_another_release_is_refused() {
    let schema = schema();
    drop(builder(schema.clone()).connect().await.unwrap());
    let client = client(&url()).await;
    let later = format!("UPDATE {schema}.meta SET version = version + 1");
    client.batch_execute(&later).await.unwrap();
    let refused = builder(schema.clone()).connect().await.unwrap_err();
    assert_eq!(refused.kind(), PostgresInboxErrorKind::NewerFormat);
    let other = format!("UPDATE {schema}.meta SET version = version - 1, partitions = 8");
    client.batch_execute(&other).await.unwrap();
    let refused = builder(schema.clone()).connect().await.unwrap_err();
    assert_eq!(refused.kind(), PostgresInboxErrorKind::Schema);
    let earlier = format!("UPDATE {schema}.meta SET version = version - 1");
    client.batch_execute(&earlier).await.unwrap();
    let refused = builder(schema).connect().await.unwrap_err();
    assert_eq!(refused.kind(), PostgresInboxErrorKind::OlderFormat);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_without_an_end_are_taken() {
    let inbox = builder(schema())
        .retain_done(Duration::MAX)
        .retain_dead(Duration::MAX);
    let inbox = inbox.identity_ttl(Duration::MAX).connect().await.unwrap();
    assert_eq!(patiently(inbox.keep(event(0))).await.unwrap(), Kept::New);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_200_means_is_read_from_the_server() {
    let schema = schema();
    let inbox = builder(schema.clone()).connect().await.unwrap();
    assert_eq!(inbox.guarantees().durability, Durability::Machine);
    assert!(inbox.guarantees().shared);
    let strict = builder(schema).require(Durability::Cluster).connect();
    let refused = strict.await.unwrap_err();
    assert_eq!(refused.kind(), PostgresInboxErrorKind::Durability);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_without_the_password() {
    for (url, kind) in [
        ("postgresql://", PostgresInboxErrorKind::Address),
        ("nonsense", PostgresInboxErrorKind::Address),
        (
            "postgresql://u:hunter2@127.0.0.1:1/x",
            PostgresInboxErrorKind::Connect,
        ),
    ] {
        let builder = PostgresInbox::builder(url);
        assert!(!format!("{builder:?}").contains("hunter2"));
        let refused = patiently(builder.connect()).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{url}: {refused:?}");
        assert!(
            !format!("{refused:?}{refused}").contains("hunter2"),
            "{refused:?}"
        );
    }
    let refused = builder("Not A Name".to_owned())
        .connect()
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), PostgresInboxErrorKind::Address);
}

/// With the rights that the page about PostgreSQL lists.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_owns_nothing_can_use_it_with_the_rights_that_the_page_lists() {
    let schema = schema();
    drop(builder(schema.clone()).connect().await.unwrap());
    let page = include_str!("../../voipbin-receiver/docs/postgres.md");
    let grants: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with("GRANT "))
        .map(|line| {
            line.replace("voipbin_inbox", &schema)
                .replace("receiver;", &format!("{schema}_role;"))
        })
        .collect();
    assert!(grants.len() > 2, "{grants:?}");
    let client = client(&url()).await;
    client
        .batch_execute(&format!(
            "CREATE ROLE {schema}_role LOGIN; {}",
            grants.join("\n")
        ))
        .await
        .unwrap();
    let url = url().replace("user=postgres", &format!("user={schema}_role"));
    let inbox = PostgresInbox::builder(url)
        .schema(schema)
        .connect()
        .await
        .unwrap();
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::New);
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::Duplicate);
    let consumer = inbox.consume().unwrap();
    for job in take(&*consumer, 1).await {
        patiently(consumer.begin(&job)).await.unwrap();
        consumer.settle(&job, Settled::Dead { failed: None });
    }
    consumer.drain();
    patiently(consumer.flush()).await.unwrap();
    assert_eq!(inbox.stats().dead, 1);
    let all = voipbin_receiver::inbox::RecordFilter::new();
    let records = inbox.records().unwrap();
    assert_eq!(patiently(records.replay_all(&all, None)).await.unwrap(), 1);
    assert_eq!(patiently(records.discard_all(&all)).await.unwrap(), 2);
}
