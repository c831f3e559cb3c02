//! A 200 is never false, and what comes twice is kept once.

use std::env;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use voipbin_receiver::inbox::{Inbox, KeepErrorKind, Kept, PostgresInbox, Repeats, Settled};

use crate::server::{Server, builder, client, count, inbox, schema, url};
use crate::{GLANCE, event, incoming, patiently, take};

fn rounds(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |rounds| rounds.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_copies_that_reach_two_processes_at_once_one_is_kept() {
    let pairs = rounds("POSTGRES_COPIES", 300);
    let schema = schema();
    let inboxes = [
        builder(schema.clone()).connect().await.unwrap(),
        builder(schema.clone()).connect().await.unwrap(),
    ];
    for first in (0..pairs).step_by(50) {
        let numbers = first..pairs.min(first + 50);
        let all =
            numbers.flat_map(|number| inboxes.iter().map(move |inbox| inbox.keep(event(number))));
        let kept = patiently(join_all(all.collect::<Vec<_>>())).await;
        for pair in kept.chunks(2) {
            let new = pair
                .iter()
                .filter(|kept| matches!(kept, Ok(Kept::New)))
                .count();
            let known = pair
                .iter()
                .filter(|kept| matches!(kept, Ok(Kept::Duplicate)))
                .count();
            assert_eq!((new, known), (1, 1), "{pair:?}");
        }
    }
    let client = client(&url()).await;
    for table in ["event", "body", "job", "seen"] {
        let sql = format!("SELECT count(*) FROM {schema}.{table}");
        assert_eq!(count(&client, &sql).await, pairs as i64, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_elsewhere_holds_up_its_copies_alone_and_they_share_its_fate() {
    for commits in [true, false] {
        let schema = schema();
        let inbox = builder(schema.clone()).connect().await.unwrap();
        let other = client(&url()).await;
        let hangs = event(0);
        let insert =
            format!("INSERT INTO {schema}.seen (identity, event, token) VALUES ($1, 0, 0)");
        other.batch_execute("BEGIN").await.unwrap();
        other
            .execute(&insert, &[&hangs.delivery.identity().as_bytes().as_slice()])
            .await
            .unwrap();
        let mut copy = pin!(inbox.keep(event(0)));
        let began = Instant::now();
        let others = join_all((1..=64).map(|number| inbox.keep(event(number))));
        tokio::select! {
            kept = patiently(others) => {
                assert!(kept.iter().all(|kept| matches!(kept, Ok(Kept::New))), "{kept:?}");
            }
            copy = &mut copy => panic!("the copy is answered before the first: {copy:?}"),
        }
        println!(
            "beside a commit that hangs, 64 others took {:?}",
            began.elapsed()
        );
        assert!(futures_util::poll!(&mut copy).is_pending());
        other
            .batch_execute(if commits { "COMMIT" } else { "ROLLBACK" })
            .await
            .unwrap();
        let kept = patiently(copy).await.unwrap();
        let shared = if commits { Kept::Duplicate } else { Kept::New };
        assert_eq!(kept, shared);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_lose_nothing_and_keep_nothing_twice() {
    const EVENTS: usize = 300;
    let schema = schema();
    let inbox = builder(schema.clone()).connect().await.unwrap();
    let client = client(&url()).await;
    // Each that talks to this schema, in the middle of what it does.
    let breaks = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND query LIKE '%{schema}.keep(%'"
    );
    let mut broken = 0;
    for number in (0..EVENTS).step_by(10) {
        // Those that have no identity of their own are kept each time, but not twice for one
        // request.
        let marks = |number| incoming(format!(r#"{{"number":{number}}}"#), Repeats::Mark);
        let once = (number..number + 5).map(event);
        let each = once.chain((number..number + 5).map(marks));
        let mut keeping = pin!(join_all(each.map(|event| inbox.keep(event))));
        let kept = tokio::select! {
            kept = &mut keeping => kept,
            () = tokio::time::sleep(GLANCE) => {
                broken += count(&client, &breaks).await;
                patiently(keeping).await
            }
        };
        assert!(
            kept.iter().all(|kept| matches!(kept, Ok(Kept::New))),
            "{kept:?}"
        );
    }
    assert!(broken > 0);
    let sql = format!("SELECT count(*) FROM {schema}.event");
    assert_eq!(count(&client, &sql).await, EVENTS as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_one_machine_alone_is_not_answered_by_a_cancelled_commit_nor_by_a_copy() {
    let server = Server::start(&["synchronous_standby_names = 'standby'"]);
    let local = client(&server.url()).await;
    // To create the schema without the standby, which is not there.
    local
        .batch_execute("SET synchronous_commit = local")
        .await
        .unwrap();
    local
        .batch_execute("ALTER ROLE postgres SET synchronous_commit = local")
        .await
        .unwrap();
    drop(PostgresInbox::connect(server.url()).await.unwrap());
    local
        .batch_execute("ALTER ROLE postgres RESET synchronous_commit")
        .await
        .unwrap();
    let connect = || {
        let builder = PostgresInbox::builder(server.url());
        builder.keep_timeout(Duration::from_secs(3)).connect()
    };
    let (inbox, other) = (connect().await.unwrap(), connect().await.unwrap());
    let cancels =
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let mut cancelled = 0;
    let mut first = pin!(inbox.keep(event(0)));
    let refused = loop {
        tokio::select! {
            kept = &mut first => break kept,
            () = tokio::time::sleep(GLANCE * 10) => cancelled += count(&local, cancels).await,
        }
    };
    assert_eq!(refused.unwrap_err().kind(), KeepErrorKind::Storage);
    assert!(cancelled > 1, "the commit was never cut short");
    let there = count(&local, "SELECT count(*) FROM voipbin_inbox.event").await;
    assert_eq!(there, 1, "it is on this machine, once");
    // What needs no standby goes on.
    let records = other.records().unwrap();
    assert!(
        patiently(records.swap_note(None, Some("a note")))
            .await
            .unwrap()
    );
    patiently(other.caught_up()).await.unwrap();
    drop(patiently(connect()).await.unwrap());
    // By the sender's next try at the same and at another process.
    for inbox in [&inbox, &other] {
        let copy = patiently(inbox.keep(event(0))).await;
        assert_eq!(copy.unwrap_err().kind(), KeepErrorKind::Storage);
    }
    // Whether it is on the standby or none is asked for any more.
    local
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        .await
        .unwrap();
    local
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    let kept = patiently(other.keep(event(0))).await.unwrap();
    assert_eq!(kept, Kept::Duplicate);
    assert_eq!(
        count(&local, "SELECT count(*) FROM voipbin_inbox.event").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_503_for_as_long_as_it_is_full() {
    let schema = schema();
    let inbox = builder(schema.clone()).connect().await.unwrap();
    let client = client(&url()).await;
    client
        .batch_execute(&format!(
            "CREATE FUNCTION {schema}.no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
             CREATE TRIGGER no_room BEFORE INSERT ON {schema}.body EXECUTE FUNCTION {schema}.no_room()"
        ))
        .await
        .unwrap();
    let kept = patiently(join_all((0..20).map(|number| inbox.keep(event(number))))).await;
    for kept in kept {
        assert_eq!(kept.unwrap_err().kind(), KeepErrorKind::Storage);
    }
    assert!(inbox.stats().failing);
    client
        .batch_execute(&format!("DROP TRIGGER no_room ON {schema}.body"))
        .await
        .unwrap();
    let kept = patiently(join_all((0..20).map(|number| inbox.keep(event(number))))).await;
    assert!(
        kept.iter().all(|kept| matches!(kept, Ok(Kept::New))),
        "{kept:?}"
    );
    assert!(!inbox.stats().failing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_inbox_refuses_what_is_new_and_knows_what_it_has_across_processes() {
    let schema = schema();
    let connect = || builder(schema.clone()).max_events(3).connect();
    let (inbox, other) = (connect().await.unwrap(), connect().await.unwrap());
    for number in 0..3 {
        assert_eq!(inbox.keep(event(number)).await.unwrap(), Kept::New);
    }
    assert_eq!(
        other.keep(event(3)).await.unwrap_err().kind(),
        KeepErrorKind::Full
    );
    assert_eq!(other.keep(event(0)).await.unwrap(), Kept::Duplicate);
    let consumer = inbox.consume().unwrap();
    for job in take(&*consumer, 1).await {
        consumer.settle(&job, Settled::Done);
    }
    patiently(consumer.flush()).await.unwrap();
    assert_eq!(other.keep(event(3)).await.unwrap(), Kept::New);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_exact_and_no_text_is_too_odd() {
    let inbox = inbox().await;
    let bodies = [
        "{\"type\":\"call_hangup\",\"data\":{\"id\":\"a\\u0000b\",\"n\":1.50e2,\"n\":0.1}}  \n",
        "{\"type\":\"call_hangup\",\"data\":{\"id\":\"\\\\'\u{1f4de}\"}}",
        "{\"what\":\"\\ud83d\\ude00\"}",
    ];
    let consumer = inbox.consume().unwrap();
    for body in bodies {
        let kept = inbox.keep(incoming(body, Repeats::Mark)).await.unwrap();
        assert_eq!(kept, Kept::New);
        for job in take(&*consumer, 1).await {
            assert_eq!(job.delivery().body(), body);
        }
    }
}
