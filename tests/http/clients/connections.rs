//! Clients that end their connections, and many at once.

use futures_util::future::join_all;
use support::{HeldInbox, Wire, builder, call_hangup, on_the_wire};

use crate::clients::mounts::{Mount, assert_received};

pub(crate) async fn a_client_that_closes_its_side_is_answered_where_the_server_can_and_loses_nothing(
    mount: Mount,
) {
    let inbox = HeldInbox::new();
    let mounted = mount.start_with(builder().inbox(inbox.clone())).await;
    let request = on_the_wire("POST", &call_hangup(1));
    let mut wire = mounted.connect().await;
    wire.write(&request).await;
    inbox.handed_over().await;
    wire.half_close().await;
    if mount.answers_half_closed() {
        inbox.release();
        assert_received(&wire.read().await);
        assert_eq!(wire.rest().await, Some(Vec::new()));
    } else {
        assert_eq!(wire.rest().await.unwrap_or_default(), b"");
        inbox.release();
    }

    let reply = mounted.connect().await.exchange(&request).await;
    assert_eq!(reply.word(), "duplicate");
    assert_eq!(mounted.handled().await, 1);
}

pub(crate) async fn a_client_that_leaves_in_its_request_leaves_nothing_behind(mount: Mount) {
    let mounted = mount.start().await;
    let request = on_the_wire("POST", &call_hangup(1));
    for cut in (0..request.len()).step_by(7) {
        for resets in [true, false] {
            let mut wire = Wire::connect(mounted.address).await;
            wire.write(request.get(..cut).unwrap()).await;
            if resets {
                wire.reset();
            }
        }
    }
    let mut wire = Wire::connect(mounted.address).await;
    assert_received(&wire.exchange(&request).await);
    let stats = mounted.receiver.stats();
    assert_eq!((stats.accepted, stats.inbox.identities), (1, 1));
    assert_eq!(mounted.handled().await, 1);
}

pub(crate) async fn an_event_whose_client_leaves_before_the_answer_is_handled_once(mount: Mount) {
    let mounted = mount.start().await;
    for id in 0..50 {
        let request = on_the_wire("POST", &call_hangup(id));
        let mut wire = Wire::connect(mounted.address).await;
        wire.write(&request).await;
        if id % 2 == 0 {
            wire.reset();
        }
        // It may have been kept or not: that is all that may be different.
        let mut wire = Wire::connect(mounted.address).await;
        let reply = wire.exchange(&request).await;
        assert!(["received", "duplicate"].contains(&reply.word().as_str()));
    }
    assert_eq!(mounted.handled().await, 50);
}

pub(crate) async fn of_200_identical_deliveries_at_once_exactly_one_is_handled(mount: Mount) {
    let mounted = mount.start().await;
    let request = on_the_wire("POST", &call_hangup(1));
    let (last, all_but_last) = request.split_last().unwrap();
    let mut wires = join_all((0..200).map(|_| Wire::connect(mounted.address))).await;
    join_all(wires.iter_mut().map(|wire| wire.write(all_but_last))).await;
    let replies = wires.into_iter().map(|mut wire| {
        let last = *last;
        // Each in a task of its own, so that they really race.
        tokio::spawn(async move { wire.exchange(&[last]).await })
    });
    let mut words: Vec<_> = join_all(replies)
        .await
        .into_iter()
        .map(|reply| reply.unwrap().word())
        .collect();
    words.sort();
    let (received, duplicates) = words.split_last().unwrap();
    assert_eq!(received, "received");
    assert!(duplicates.iter().all(|word| word == "duplicate"));
    assert_eq!(mounted.receiver.stats().inbox.identities, 1);
    assert_eq!(mounted.handled().await, 1);
}
