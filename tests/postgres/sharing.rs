//! Who has what: leases, take-overs and shares of the lanes.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use tokio_postgres::{AsyncMessage, NoTls};
use voipbin_receiver::inbox::{
    Attempt, AttemptEnd, HandlerSet, Inbox, Kept, Lane, PostgresInbox, RecordId, RecordState,
    RecordsError, RecordsErrorKind, Settled, Stage,
};

use crate::server::{builder, client, count, schema, url};
use crate::{GLANCE, event, patiently, take};

/// So long that nothing is taken over by its end.
const LONG: Duration = Duration::from_secs(600);

async fn pair(schema: &str, lease: Duration) -> [PostgresInbox; 2] {
    let connect = || builder(schema.to_owned()).lease(lease).connect();
    [connect().await.unwrap(), connect().await.unwrap()]
}

async fn until(holds: impl AsyncFn() -> bool) {
    patiently(async {
        while !holds().await {
            tokio::time::sleep(GLANCE).await;
        }
    })
    .await;
}

fn failed() -> Attempt {
    let ended = AttemptEnd::Failed("the CRM is down".into());
    Attempt::new(
        std::time::SystemTime::now(),
        Duration::from_millis(1),
        ended,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_over_is_neither_begun_nor_settled() {
    let schema = schema();
    let [inbox, _] = pair(&schema, LONG).await;
    let client = client(&url()).await;
    for number in 0..3 {
        assert_eq!(inbox.keep(event(number)).await.unwrap(), Kept::New);
    }
    let consumer = inbox.consume().unwrap();
    let jobs = take(&*consumer, 3).await;
    patiently(consumer.begin(&jobs[0])).await.unwrap();
    // As another process does when the lease is over.
    let taken_over = format!("SELECT {schema}.remove(id, true) FROM {schema}.consumer");
    client.simple_query(&taken_over).await.unwrap();
    consumer.settle(&jobs[0], Settled::Done);
    patiently(consumer.begin(&jobs[1])).await.unwrap_err();
    assert!(jobs.iter().all(|job| job.is_lost()));
    consumer.settle(&jobs[2], Settled::Dead { failed: None });

    // It joins again, and has all of them: what had begun as one that was interrupted.
    let again = take(&*consumer, 3).await;
    let histories: Vec<_> = again
        .iter()
        .map(|job| (job.attempts(), job.is_suspect()))
        .collect();
    assert_eq!(histories, [(1, true), (0, false), (0, false)]);
    let ended = &again[0].history().unwrap().history[0].ended;
    assert_eq!(*ended, AttemptEnd::Interrupted);
    for job in &again {
        consumer.settle(job, Settled::Done);
    }
    patiently(consumer.flush()).await.unwrap();
    assert_eq!(inbox.stats().events, 0);
    assert_eq!(
        count(&client, &format!("SELECT count(*) FROM {schema}.job")).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_waits_for_what_is_being_settled() {
    let schema = schema();
    let [inbox, _] = pair(&schema, LONG).await;
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::New);
    let consumer = inbox.consume().unwrap();
    let jobs = take(&*consumer, 1).await;
    patiently(consumer.begin(&jobs[0])).await.unwrap();
    // A commit of that consumer that is under way, and the end of its lease.
    let (settles, other) = (client(&url()).await, client(&url()).await);
    let owner = format!("SELECT max(id) FROM {schema}.consumer");
    let owner = count(&settles, &owner).await;
    settles.batch_execute("BEGIN").await.unwrap();
    let settle = format!(
        "SELECT {schema}.settle({owner}, array_agg(event), array_agg(place), '{{1}}', '{{0}}', '{{0}}', '{{NULL}}') \
         FROM {schema}.job"
    );
    settles.batch_execute(&settle).await.unwrap();
    let taken_over = format!("SELECT {schema}.remove({owner}, true)");
    let mut taking_over = pin!(other.batch_execute(&taken_over));
    let waits = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query = '{taken_over}'"
    );
    let looks = client(&url()).await;
    while count(&looks, &waits).await == 0 {
        assert!(futures_util::poll!(&mut taking_over).is_pending());
        tokio::time::sleep(GLANCE).await;
    }
    settles.batch_execute("COMMIT").await.unwrap();
    patiently(taking_over).await.unwrap();
    let done = format!("SELECT count(*) FROM {schema}.event WHERE state = 1");
    assert_eq!(count(&looks, &done).await, 1);
    // What comes after it changes nothing.
    let late: Option<Vec<i64>> = looks.query_one(&settle, &[]).await.unwrap().get(0);
    assert_eq!(late, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_processes_are_told_of_what_is_kept() {
    let schema = schema();
    let inbox = builder(schema.clone()).connect().await.unwrap();
    let (listens, mut connection) = tokio_postgres::connect(&url(), NoTls).await.unwrap();
    let mut messages = Box::pin(stream::poll_fn(move |cx| connection.poll_message(cx)));
    let listen = format!("LISTEN {schema}");
    tokio::select! {
        listens = listens.batch_execute(&listen) => listens.unwrap(),
        message = messages.next() => panic!("{message:?}"),
    }
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::New);
    let told = patiently(messages.next()).await.unwrap().unwrap();
    assert!(matches!(told, AsyncMessage::Notification(told) if told.channel() == schema));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_retried_together() {
    const EVENTS: usize = 300;
    let schema = schema();
    let inbox = builder(schema.clone()).connect().await.unwrap();
    let kept = (0..EVENTS).map(|number| inbox.keep(event(number)));
    patiently(join_all(kept)).await;
    let consumer = inbox.consume().unwrap();
    let mut dead = Vec::new();
    for job in take(&*consumer, EVENTS).await {
        consumer.settle(&job, Settled::Dead { failed: None });
        let handlers = HandlerSet::from_iter([job.handler().clone()]);
        dead.push((RecordId::new(job.id()), handlers));
    }
    patiently(consumer.flush()).await.unwrap();
    dead.push((RecordId::new(i64::MAX as u64), dead[0].1.clone()));
    let records = inbox.records().unwrap();
    let retried = patiently(records.retry(&dead)).await;
    let again = patiently(records.retry(&dead)).await;
    for (number, (first, again)) in retried.iter().zip(&again).enumerate() {
        let kind =
            |of: &Result<_, RecordsError>| of.as_ref().map_or_else(|of| Some(of.kind()), |_| None);
        let expected = match number {
            EVENTS => (
                Some(RecordsErrorKind::NotFound),
                Some(RecordsErrorKind::NotFound),
            ),
            _ => (None, Some(RecordsErrorKind::Replayed)),
        };
        assert_eq!((kind(first), kind(again)), expected, "{number}");
    }
    let client = client(&url()).await;
    let commits = format!(
        "SELECT count(DISTINCT xmin::text) FROM {schema}.event WHERE replay_of IS NOT NULL"
    );
    assert_eq!(count(&client, &commits).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_consumer_has_the_floor_or_the_ceiling_of_what_there_is_for_it() {
    let schema = schema();
    let inbox = builder(schema.clone()).lease(LONG).connect().await.unwrap();
    let client = client(&url()).await;
    let shares = format!(
        "SELECT array_agg(n ORDER BY n)::text FROM \
         (SELECT count(*) AS n FROM {schema}.partition GROUP BY owner HAVING owner IS NOT NULL) x"
    );
    let shares =
        async || -> Option<String> { client.query_one(&shares, &[]).await.unwrap().get(0) };
    let mut consumers = Vec::new();
    for expected in [
        "{64}",
        "{32,32}",
        "{21,21,22}",
        "{16,16,16,16}",
        "{12,13,13,13,13}",
    ] {
        consumers.push(inbox.consume().unwrap());
        until(async || shares().await.as_deref() == Some(expected)).await;
    }
    for expected in ["{16,16,16,16}", "{21,21,22}", "{32,32}", "{64}"] {
        consumers.remove(0);
        until(async || shares().await.as_deref() == Some(expected)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_leaves_all_to_the_others_at_once_and_counts_nothing() {
    let schema = schema();
    let [inbox, other] = pair(&schema, LONG).await;
    for number in 0..40 {
        assert_eq!(inbox.keep(event(number)).await.unwrap(), Kept::New);
    }
    let consumer = inbox.consume().unwrap();
    let jobs = take(&*consumer, 40).await;
    for job in &jobs[..5] {
        patiently(consumer.begin(job)).await.unwrap();
    }
    let mut fails = jobs[5].clone();
    for _ in 0..2 {
        let settled = Settled::Retry {
            failed: failed(),
            after: LONG,
            in_place: true,
        };
        patiently(consumer.begin(&fails)).await.unwrap();
        consumer.settle(&fails, settled);
        fails = fails.after_failure(failed());
    }
    let next = other.consume().unwrap();
    consumer.drain();
    patiently(consumer.flush()).await.unwrap();
    let mut rest = take(&*next, 40).await;
    rest.sort_by_key(|job| job.id());
    for (number, job) in rest.iter().enumerate() {
        let attempts = if number == 5 { 2 } else { 0 };
        assert_eq!(
            (job.attempts(), job.is_suspect()),
            (attempts, false),
            "{number}"
        );
    }
    // It keeps its lane until its time has come.
    let delay = rest[5].history().unwrap().delay.unwrap();
    assert!(delay > LONG / 2 && delay <= LONG, "{delay:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_is_given_away_waits_for_what_runs_in_it() {
    let schema = schema();
    let [inbox, other] = pair(&schema, LONG).await;
    for number in 0..128 {
        let lane = Lane::from_number(number as u64 % 64);
        let kept = inbox.keep(event(number).in_lane(Some(lane))).await;
        assert_eq!(kept.unwrap(), Kept::New);
    }
    let consumer = inbox.consume().unwrap();
    let jobs = take(&*consumer, 128).await;
    // One of each lane runs, and another one waits behind it.
    let (running, waiting) = jobs.split_at(64);
    for job in running {
        patiently(consumer.begin(job)).await.unwrap();
    }
    let next = other.consume().unwrap();
    // Some lanes are to go: of those, what waits is nobody's, and what runs goes on.
    until(async || waiting.iter().any(|job| job.is_lost())).await;
    assert!(running.iter().all(|job| !job.is_lost()));
    let client = client(&url()).await;
    let moved = format!(
        "SELECT count(*) FROM {schema}.job j JOIN {schema}.partition p ON p.id = j.partition \
         WHERE j.running AND p.owner <> (SELECT min(id) FROM {schema}.consumer)"
    );
    assert_eq!(count(&client, &moved).await, 0);
    for job in running {
        consumer.settle(job, Settled::Done);
    }
    for job in waiting.iter().filter(|job| !job.is_lost()) {
        consumer.settle(job, Settled::Done);
    }
    let lost = waiting.iter().filter(|job| job.is_lost()).count();
    let theirs = take(&*next, lost).await;
    assert!(theirs.iter().all(|job| job.attempts() == 0));
    for job in &theirs {
        next.settle(job, Settled::Done);
    }
    patiently(next.flush()).await.unwrap();
    until(async || inbox.stats().events == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_attempt_and_a_dead_letter_are_everybodys() {
    let schema = schema();
    let [inbox, other] = pair(&schema, LONG).await;
    for number in 0..2 {
        assert_eq!(inbox.keep(event(number)).await.unwrap(), Kept::New);
    }
    let consumer = inbox.consume().unwrap();
    let jobs = take(&*consumer, 2).await;
    for job in &jobs {
        patiently(consumer.begin(job)).await.unwrap();
    }
    let after = Duration::from_millis(20);
    let again = Settled::Retry {
        failed: failed(),
        after,
        in_place: false,
    };
    consumer.settle(&jobs[0], again);
    consumer.settle(
        &jobs[1],
        Settled::Dead {
            failed: Some(failed()),
        },
    );
    drop(consumer);
    let next = other.consume().unwrap();
    let [job] = &take(&*next, 1).await[..] else {
        panic!("one")
    };
    assert_eq!(
        (job.id(), job.attempts(), job.is_suspect()),
        (jobs[0].id(), 1, false)
    );
    let records = other.records().unwrap();
    let id = RecordId::new(jobs[1].id());
    let dead = patiently(records.get(id)).await.unwrap().unwrap();
    assert_eq!(dead.state, RecordState::Dead);
    assert!(matches!(dead.jobs[0].stage, Stage::Dead { .. }));
    assert_eq!(dead.jobs[0].history[0].ended, failed().ended);
    until(async || other.stats().dead == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_removed_and_its_identity_stays_for_its_time() {
    let schema = schema();
    let connect = || {
        builder(schema.clone())
            .retain_done(Duration::ZERO)
            .connect()
    };
    let inbox = connect().await.unwrap();
    let consumer = inbox.consume().unwrap();
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::New);
    for job in take(&*consumer, 1).await {
        consumer.settle(&job, Settled::Done);
    }
    patiently(consumer.flush()).await.unwrap();
    let client = client(&url()).await;
    let left = format!(
        "SELECT (SELECT count(*) FROM {schema}.event) + (SELECT count(*) FROM {schema}.body) + \
         (SELECT count(*) FROM {schema}.ended)"
    );
    until(async || count(&client, &left).await == 0).await;
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::Duplicate);
    // As if its hour were over.
    let old = format!("UPDATE {schema}.seen SET kept_at = kept_at - interval '61 minutes'");
    client.batch_execute(&old).await.unwrap();
    let seen = format!("SELECT count(*) FROM {schema}.seen");
    until(async || count(&client, &seen).await == 0).await;
    assert_eq!(inbox.keep(event(0)).await.unwrap(), Kept::New);
    assert_eq!(inbox.stats().identities, 1);
}
