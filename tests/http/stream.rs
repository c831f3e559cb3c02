//! The platform's stream: what comes by it, what does not, and what is told of that.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::Request;
use support::platform::{ACCESS_KEY, Ending, Fault, Platform};
use support::stream::{body, drop_at_random, names};
use support::{Certificate, Valve, builder, deliver, within};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use voipbin_receiver::Origin;
use voipbin_receiver::catalog::{Any, EventType, named};
use voipbin_receiver::events::CallHangup;
use voipbin_receiver::inbox::{DiskInbox, MemoryInbox};
use voipbin_receiver::platform::PlatformErrorKind;
use voipbin_receiver::source::{EventStream, Gap, GapReason};
use voipbin_receiver::testing::event;

use crate::platform;

fn publish(stand_in: &Platform, body: &Bytes) {
    stand_in.publish(std::str::from_utf8(body).unwrap());
}

async fn stream(stand_in: &Platform, names: &[&str]) -> EventStream {
    let events = names.iter().map(|name| EventType::parse(name));
    let stream = EventStream::builder(&platform::client(stand_in)).events(events);
    stream.connect().await.unwrap()
}

#[tokio::test]
async fn an_event_of_the_stream_is_its_webhook_byte_for_byte() {
    within(async {
        let stand_in = Platform::start().await;
        let names = names(100);
        assert!(names.len() > 90);
        let recorder = support::Recorder::new();
        let receiver = builder().on(Any, recorder.clone()).build().unwrap();
        let mut stream = stream(&stand_in, &names).await;
        for name in &names {
            let webhook = body(name, "00000000-0000-4000-8000-000000000001");
            publish(&stand_in, &webhook);
            let event = stream.next().await.unwrap();
            assert_eq!((event.event_type.as_str(), &event.body), (*name, &webhook));
            assert!(!format!("{event:?}").contains("00000000"));
            // Which of both comes first does not matter.
            receiver.accept(event.body, Origin::Stream).await.unwrap();
            let answer = deliver(&receiver.service(), webhook).await;
            assert_eq!(answer.word(), "duplicate", "{name}");
        }
        let runs = recorder.wait_for(names.len()).await;
        assert!(
            runs.iter()
                .all(|run| run.delivery().origin() == Origin::Stream)
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_flushed_and_ends_by_fin_is_handled_once_and_what_a_reset_discards_is_in_a_gap() {
    drop_at_random(MemoryInbox::new()).await;
}

#[tokio::test]
async fn it_is_the_same_with_an_inbox_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let inbox = DiskInbox::open(directory.path().join("inbox"))
        .await
        .unwrap();
    drop_at_random(inbox).await;
}

#[tokio::test]
async fn what_was_flushed_before_a_fin_comes_and_the_time_without_a_connection_is_a_gap() {
    within(async {
        let stand_in = Platform::start().await;
        let (sender, mut gaps) = tokio::sync::mpsc::unbounded_channel();
        let mut stream = EventStream::builder(&platform::client(&stand_in))
            .events([EventType::CallHangup])
            .on_gap(move |gap| sender.send(gap).unwrap())
            .connect()
            .await
            .unwrap();
        for id in 0..100 {
            publish(&stand_in, &body("call_hangup", id));
        }
        stand_in.drop_streams(Ending::Fin);
        for id in 0..100 {
            assert_eq!(stream.next().await.unwrap().body, body("call_hangup", id));
        }
        // Until then nobody listens.
        while !stand_in.topics().is_empty() {
            tokio::task::yield_now().await;
        }
        let lost = SystemTime::now();
        publish(&stand_in, &body("call_hangup", "lost"));
        let gap = gaps.recv().await.unwrap();
        assert_eq!(gap.reason, GapReason::Disconnected);
        assert!(gap.from < lost && lost < gap.until);
        publish(&stand_in, &body("call_hangup", "after"));
        assert_eq!(
            stream.next().await.unwrap().body,
            body("call_hangup", "after")
        );
    })
    .await;
}

#[tokio::test]
async fn a_slow_handler_never_blocks_the_socket() {
    within(async {
        let stand_in = Platform::start().await;
        let valve = Valve::new();
        let receiver = builder().on(CallHangup, valve.clone()).build().unwrap();
        let events = receiver.handled_events();
        assert_eq!(events, [EventType::CallHangup]);
        let stream = EventStream::builder(&platform::client(&stand_in)).events(events);
        let stream = stream.connect().await.unwrap();
        let listening = receiver.clone();
        tokio::spawn(async move { listening.listen(stream).await });
        // More than the platform holds for who does not read.
        for id in 0..3_000 {
            publish(&stand_in, &body("call_hangup", id));
            if id % 100 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        while receiver.stats().accepted < 3_000 {
            sleep(Duration::from_millis(5)).await;
        }
        valve.open();
        valve.ended().wait_for(3_000).await;
    })
    .await;
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_beyond_a_bound_and_told() {
    within(async {
        let stand_in = Platform::start().await;
        let (sender, mut gaps) = tokio::sync::mpsc::unbounded_channel();
        let mut stream = EventStream::builder(&platform::client(&stand_in))
            .events([EventType::CallHangup])
            .on_gap(move |gap| sender.send(gap).unwrap())
            .connect()
            .await
            .unwrap();
        let large = || event(CallHangup).set("note", "x".repeat(1 << 20));
        for id in 0..80 {
            publish(&stand_in, &Bytes::from(large().id(id.to_string())));
        }
        // It is written down when all of it was read.
        publish(&stand_in, &body("call_hangup", "last"));
        stand_in.drop_streams(Ending::Fin);
        let gap: Gap = gaps.recv().await.unwrap();
        let GapReason::Overflow { events } = gap.reason else {
            panic!("{gap:?}")
        };
        for _ in events..81 {
            stream.next().await.unwrap();
        }
        assert!((16..40).contains(&events), "{events}");
    })
    .await;
}

#[tokio::test]
async fn a_refusal_before_the_upgrade_is_told_and_one_after_it_ends_the_stream() {
    within(async {
        let stand_in = Platform::start().await;
        let events =
            || EventStream::builder(&platform::client(&stand_in)).events([EventType::CallHangup]);
        for (fault, kind) in [
            (
                Fault::Error(401, "INVALID_CREDENTIALS"),
                PlatformErrorKind::Authentication,
            ),
            (
                Fault::Error(403, "PERMISSION_DENIED"),
                PlatformErrorKind::Permission,
            ),
            (Fault::Limited(None), PlatformErrorKind::RateLimited),
            (Fault::Page, PlatformErrorKind::Permission),
            (Fault::Close, PlatformErrorKind::Broken),
        ] {
            // After the one that asks for the account.
            stand_in.fail_after(1, fault);
            let error = events().connect().await.unwrap_err();
            assert_eq!(error.kind(), kind, "{fault:?}");
            assert!(!format!("{error} {error:?}").contains(ACCESS_KEY));
        }
        let none = EventStream::builder(&platform::client(&stand_in))
            .connect()
            .await;
        assert_eq!(none.unwrap_err().kind(), PlatformErrorKind::Request);

        let mut stream = events().connect().await.unwrap();
        stand_in.fail([
            Fault::Error(503, "SERVICE_UNAVAILABLE"),
            Fault::Error(401, "INVALID_CREDENTIALS"),
        ]);
        stand_in.drop_streams(Ending::Reset);
        let error = stream.next().await.unwrap_err();
        assert_eq!(error.kind(), PlatformErrorKind::Authentication);
    })
    .await;
}

#[tokio::test]
async fn a_topic_that_the_platform_refuses_is_no_connection() {
    within(async {
        let stand_in = Platform::start().await;
        let events =
            EventStream::builder(&platform::client(&stand_in)).events([EventType::CallHangup]);
        stand_in.refuse_topics();
        let error = events.connect().await.unwrap_err();
        assert_eq!(error.kind(), PlatformErrorKind::Broken);
    })
    .await;
}

#[tokio::test]
async fn it_goes_over_tls_with_an_authority_of_ones_own() {
    within(async {
        let certificate = Certificate::for_name("localhost");
        let stand_in = Platform::start_tls(&certificate.chain(), &certificate.key()).await;
        let trusting = platform::builder(&stand_in)
            .ca_file(certificate.chain())
            .unwrap();
        let events =
            EventStream::builder(&trusting.build().unwrap()).events([EventType::CallHangup]);
        let mut stream = events.connect().await.unwrap();
        publish(&stand_in, &body("call_hangup", "x"));
        assert_eq!(stream.next().await.unwrap().body, body("call_hangup", "x"));
    })
    .await;
}

#[tokio::test]
async fn handlers_for_some_events_take_connections_for_those_alone() {
    within(async {
        let receiver = builder()
            .on((CallHangup, named("message.received")), || async {})
            .build()
            .unwrap();
        let events = [EventType::CallHangup, EventType::MessageCreated];
        assert_eq!(receiver.handled_events(), events);
        let stand_in = Platform::start().await;
        let stream = EventStream::builder(&platform::client(&stand_in)).events(events);
        let _stream = stream.connect().await.unwrap();
        let customer = stand_in.customer()["id"].as_str().unwrap().to_owned();
        let mut topics = stand_in.topics();
        topics.sort();
        let expected = ["call:call_hangup", "message:message_created"];
        assert_eq!(
            topics,
            expected.map(|topic| format!("customer_id:{customer}:{topic}"))
        );
    })
    .await;
}

/// What the stand-in does, and so the platform: the reason why there is a connection for each type.
#[tokio::test]
async fn a_topic_without_a_type_gives_each_event_twice_and_no_name() {
    within(async {
        let stand_in = Platform::start().await;
        let address = stand_in.url().replace("http://", "");
        let mut request: Request<()> = format!("ws://{address}/v1.0/ws")
            .into_client_request()
            .unwrap();
        let cookie = format!("accesskey={ACCESS_KEY}");
        request
            .headers_mut()
            .insert("cookie", cookie.parse().unwrap());
        let socket = TcpStream::connect(&address).await.unwrap();
        let (mut socket, _) = client_async(request, socket).await.unwrap();
        let customer = stand_in.customer()["id"].as_str().unwrap().to_owned();
        let topics = format!(r#"{{"type":"subscribe","topics":["customer_id:{customer}:call"]}}"#);
        socket.send(Message::text(topics)).await.unwrap();
        socket.send(Message::Ping(Bytes::new())).await.unwrap();
        let mut frames = Vec::new();
        while frames.len() < 2 {
            match socket.next().await.unwrap().unwrap() {
                Message::Pong(_) => publish(&stand_in, &body("call_hangup", "x")),
                Message::Text(frame) => frames.push(frame.to_string()),
                _ => {}
            }
        }
        assert_eq!(frames[0], frames[1]);
        assert!(!frames[0].contains("call_hangup"), "{}", frames[0]);
    })
    .await;
}
