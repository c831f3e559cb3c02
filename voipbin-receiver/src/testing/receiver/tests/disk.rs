use super::*;
use crate::inbox::DiskInbox;

async fn open(directory: &tempfile::TempDir, clock: &TokioClock) -> DiskInbox {
    DiskInbox::builder(directory.path())
        .clock(Arc::new(clock.clone()))
        .open()
        .await
        .unwrap()
}

fn on(inbox: &DiskInbox, clock: &TokioClock, recorder: &Recorder) -> TestReceiver {
    TestReceiver::build(|builder| {
        builder
            .clock(Arc::new(clock.clone()))
            .inbox(inbox.clone())
            .on(Any, recorder.clone())
    })
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_next_process_takes_up_what_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let recorder = Recorder::acting(|context| match context.delivery().resource_id() {
        Some("fails") => Act::fail(),
        _ => Act::succeed(),
    });
    let inbox = open(&directory, &clock).await;
    let mut receiver = on(&inbox, &clock, &recorder);
    for id in ["fails", "1", "2"] {
        assert!(deliver(&receiver, id).await.contains("received"));
    }
    assert!(deliver(&receiver, "1").await.contains("duplicate"));
    let first = [
        receiver.step().await.unwrap(),
        receiver.step().await.unwrap(),
    ];
    assert_eq!(told(&first), ["fails * 1", "1 * 1"]);
    let stats = receiver.stats();
    assert_eq!((stats.handled, stats.failed), (1, 1));
    let report = receiver.receiver().shutdown(HOUR).await;
    assert!(report.is_clean());
    assert_eq!(report.remaining, 2);
    drop(receiver);
    inbox.closed().await;

    let inbox = open(&directory, &clock).await;
    let mut receiver = on(&inbox, &clock, &recorder);
    assert!(deliver(&receiver, "2").await.contains("duplicate"));
    let steps = receiver.run_until_idle().await;
    assert_eq!(told(&steps), ["2 * 1"]);
    receiver.advance(HOUR).await;
    let steps = receiver.run_until_done().await;
    assert_eq!(steps.len(), 7);
    assert_eq!((steps[0].attempt(), steps[6].attempt()), (2, 8));
    assert!(steps[6].is_dead());
    let dead = receiver.dead_letters().await.unwrap();
    assert_eq!(dead[0].jobs[0].attempts, 8);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_on_the_disk_alone_are_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let clock = TokioClock::new();
    let inbox = DiskInbox::builder(directory.path())
        .memory(1)
        .open()
        .await
        .unwrap();
    let mut receiver = on(&inbox, &clock, &Recorder::new());
    let filling = "x".repeat(100_000);
    for id in 0..50 {
        let body = event(CallHangup)
            .id(id.to_string())
            .set("filling", filling.as_str());
        assert_eq!(receiver.deliver(body).await.unwrap().status(), 200);
    }
    let start = Instant::now();
    for id in 0..50 {
        let step = receiver.step().await.unwrap();
        assert_eq!(step.delivery().resource_id(), Some(id.to_string().as_str()));
        assert!(step.is_done());
    }
    assert!(receiver.step().await.is_none());
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}
