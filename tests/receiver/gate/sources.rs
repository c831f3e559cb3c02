//! Which addresses may send.

use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use std::net::SocketAddr;
use support::{PATH, Recorder, Wire, builder, call_hangup, deliver, on_the_wire, send};
use tokio::net::TcpListener;
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::PeerAddr;
use voipbin_receiver::observe::RefusalReason;
use voipbin_receiver::{BuildErrorKind, Receiver, ReceiverBuilder};

use crate::gate::{event_from, from};

const PLATFORM: &str = "203.0.113.9";
const STRANGER: &str = "198.51.100.66";
const PROXY: &str = "10.0.0.1";

fn listed() -> ReceiverBuilder {
    builder()
        .on(Any, Recorder::new())
        .allow_sources(["203.0.113.0/24", "2001:db8::/32"])
}

fn proxied() -> Receiver {
    listed().trust_proxies(["10.0.0.0/8"]).build().unwrap()
}

#[tokio::test]
async fn an_event_from_an_allowed_address_is_received() {
    let receiver = listed().build().unwrap();
    for (id, peer) in [PLATFORM, "::ffff:203.0.113.9", "2001:db8::1"]
        .iter()
        .enumerate()
    {
        let answer = send(&receiver.service(), event_from(peer, id)).await;
        assert_eq!(answer.word(), "received", "{peer}");
    }
}

#[tokio::test]
async fn a_request_from_elsewhere_gets_a_403_before_its_body_is_read() {
    let receiver = listed().build().unwrap();
    for peer in [STRANGER, "::ffff:198.51.100.66", "2001:db9::1"] {
        let answer = send(&receiver.service(), from(peer, HeaderMap::new())).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (StatusCode::FORBIDDEN, "source_not_allowed"),
            "{peer}"
        );
        assert_eq!(answer.header("connection"), "close");
    }
    assert_eq!(receiver.stats().refused(RefusalReason::Source), 3);
}

#[tokio::test]
async fn a_list_without_a_server_that_tells_the_peer_refuses_and_the_sender_may_try_again() {
    let receiver = listed().build().unwrap();
    let answer = deliver(&receiver.service(), call_hangup(1)).await;
    assert_eq!(
        (answer.status(), answer.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "source_unknown")
    );
}

#[tokio::test]
async fn without_a_list_nobody_has_to_tell_the_peer() {
    let receiver = builder()
        .on(Any, Recorder::new())
        .trust_proxies(["10.0.0.0/8"])
        .build()
        .unwrap();
    assert_eq!(
        deliver(&receiver.service(), call_hangup(1)).await.word(),
        "received"
    );
    let answer = send(&receiver.service(), event_from(PROXY, 2)).await;
    assert_eq!(answer.word(), "received");
}

#[tokio::test]
async fn a_header_counts_from_a_trusted_proxy_alone() {
    let receiver = proxied();
    for (peer, client, status) in [
        (PROXY, PLATFORM, StatusCode::OK),
        (PROXY, STRANGER, StatusCode::FORBIDDEN),
        // Not a proxy of ours: whatever it says.
        (STRANGER, PLATFORM, StatusCode::FORBIDDEN),
        (PLATFORM, STRANGER, StatusCode::OK),
    ] {
        for header in [
            ("x-forwarded-for", client.to_owned()),
            ("forwarded", format!("for={client};proto=https")),
        ] {
            let mut request = event_from(peer, format!("{peer}{client}{}", header.0));
            request
                .headers_mut()
                .insert(header.0, header.1.parse().unwrap());
            let answer = send(&receiver.service(), request).await;
            assert_eq!(
                answer.status(),
                status,
                "{client} by {peer} in {}",
                header.0
            );
        }
    }
}

#[tokio::test]
async fn what_a_proxy_or_its_settings_do_wrong_gets_a_503_that_the_sender_may_try_again() {
    let proxied = proxied();
    let untold = listed().build().unwrap();
    for (receiver, peer, headers) in [
        // A trusted proxy that names no client, or not clearly.
        (&proxied, PROXY, &[("x-unrelated", "")][..]),
        (&proxied, PROXY, &[("x-forwarded-for", "unknown")]),
        (&proxied, PROXY, &[("forwarded", "for=_a")]),
        (&proxied, PROXY, &[("forwarded", "for=\"")]),
        (
            &proxied,
            PROXY,
            &[
                ("x-forwarded-for", PLATFORM),
                ("forwarded", "for=198.51.100.66"),
            ],
        ),
        // One that names another proxy alone, and one that is behind a proxy which is not trusted.
        (&proxied, PROXY, &[("x-forwarded-for", "10.0.0.2")]),
        (
            &proxied,
            PROXY,
            &[("x-forwarded-for", "203.0.113.9, 172.16.0.1")],
        ),
        // Proxies that nobody has named.
        (&proxied, "172.16.0.1", &[("x-forwarded-for", PLATFORM)]),
        (&untold, PROXY, &[("x-forwarded-for", PLATFORM)]),
        (&untold, "127.0.0.1", &[]),
        (&untold, "100.64.0.1", &[]),
        (&untold, "169.254.0.1", &[]),
        (&untold, "::ffff:192.168.0.1", &[]),
        (&untold, "::1", &[]),
        (&untold, "fd00::1", &[]),
        (&untold, "fe80::1", &[]),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let answer = send(&receiver.service(), from(peer, map)).await;
        assert_eq!(
            (answer.status(), answer.code()),
            (StatusCode::SERVICE_UNAVAILABLE, "source_unknown"),
            "{headers:?} from {peer}"
        );
    }
}

#[tokio::test]
async fn the_list_may_name_a_proxy_or_a_private_address() {
    let receiver = listed()
        .allow_sources(["10.0.0.0/8", "127.0.0.1"])
        .trust_proxies(["10.0.0.0/8"])
        .build()
        .unwrap();
    let mut behind = event_from(PROXY, 1);
    let address = HeaderValue::from_static("10.0.0.2");
    behind.headers_mut().insert("x-forwarded-for", address);
    for request in [behind, event_from("127.0.0.1", 2)] {
        assert_eq!(send(&receiver.service(), request).await.word(), "received");
    }
}

#[test]
fn a_list_that_can_mean_nothing_is_refused_by_build() {
    let no_networks: [&str; 0] = [];
    for wrong in [
        builder()
            .on(Any, Recorder::new())
            .allow_sources(no_networks),
        builder()
            .on(Any, Recorder::new())
            .allow_sources(["203.0.113.9/24"]),
        builder()
            .on(Any, Recorder::new())
            .trust_proxies(["proxy.example"]),
    ] {
        assert_eq!(
            wrong.build().map(drop).map_err(|error| error.kind()),
            Err(BuildErrorKind::BadSetting)
        );
    }
}

#[tokio::test]
async fn an_axum_app_tells_the_peer_with_a_layer() {
    async fn tell_peer(
        ConnectInfo(peer): ConnectInfo<SocketAddr>,
        mut request: Request,
    ) -> Request {
        request.extensions_mut().insert(PeerAddr(peer));
        request
    }
    let statuses = async |network: &str| {
        let receiver = builder()
            .on(Any, Recorder::new())
            .allow_sources([network])
            .build()
            .unwrap();
        let app = axum::Router::new()
            .route_service(PATH, receiver.service())
            .layer(map_request(tell_peer))
            .into_make_service_with_connect_info::<SocketAddr>();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, app).await });
        let mut wire = Wire::connect(address).await;
        wire.exchange(&on_the_wire("POST", &call_hangup(1)))
            .await
            .status
    };
    assert_eq!(statuses("127.0.0.0/8").await, 200);
    assert_eq!(statuses("203.0.113.0/24").await, 503);
}

/// Header values that a client makes up: whole and broken lists, with the platform's address in
/// them.
fn forged() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(PLATFORM.to_owned()),
        Just(PROXY.to_owned()),
        Just(format!("for={PLATFORM}")),
        Just(format!("for=\"{PLATFORM}\"")),
        Just(format!("for=\"[2001:db8::1]:80\", for={PROXY}")),
        Just("for=\"".to_owned()),
        Just("[2001:db8::1]".to_owned()),
        Just("unknown".to_owned()),
        Just("\\".to_owned()),
        Just("=".to_owned()),
        "[ -~]{0,12}",
    ];
    let between = prop_oneof![Just(", "), Just(","), Just(";"), Just(""), Just("\"")];
    prop::collection::vec((piece, between), 0..6).prop_map(|pieces| {
        pieces
            .into_iter()
            .map(|(piece, between)| piece + between)
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a stranger sends, its own address is what the proxy adds behind.
    #[test]
    fn no_forged_header_lets_a_stranger_in(
        lines in prop::collection::vec((any::<bool>(), forged()), 0..4),
        appends_forwarded in any::<bool>(),
        hops in 0..3_usize,
        as_new_line in any::<bool>(),
    ) {
        let (name, mut added) = if appends_forwarded {
            ("forwarded", format!("for={STRANGER}"))
        } else {
            ("x-forwarded-for", STRANGER.to_owned())
        };
        for hop in 0..hops {
            let element = if appends_forwarded { "for=" } else { "" };
            added += &format!(", {element}10.0.0.{}", hop + 2);
        }
        let mut headers = HeaderMap::new();
        for (forwarded, value) in &lines {
            let name = if *forwarded { "forwarded" } else { "x-forwarded-for" };
            let Ok(value) = HeaderValue::from_str(value.trim()) else { continue };
            headers.append(name, value);
        }
        // A proxy adds a line of its own, or joins what came with what it adds.
        let name = HeaderName::from_static(name);
        if !as_new_line && headers.contains_key(&name) {
            let lines: Vec<&str> = headers.get_all(&name).iter().map(|line| line.to_str().unwrap()).collect();
            added = format!("{}, {added}", lines.join(", "));
            headers.remove(&name);
        }
        headers.append(name, added.parse().unwrap());

        let receiver = proxied();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(send(&receiver.service(), from(PROXY, headers.clone())));
        let refused = [StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE];
        prop_assert!(refused.contains(&answer.status()), "{:?}", headers);
    }
}
