use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{FORWARDED, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Empty;
use tokio::runtime::{Builder, Runtime};
use voipbin_receiver::catalog::Any;
use voipbin_receiver::gate::PeerAddr;
use voipbin_receiver::{BuildErrorKind, Receiver, ReceiverBuilder};

use crate::{head_and_body, send};

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "203.0.113.9";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());

/// Lets in everybody but the client, so that each answer tells who was taken for the sender.
static ALL_OTHERS: LazyLock<Receiver> = LazyLock::new(|| {
    let client = u32::from(CLIENT.parse::<Ipv4Addr>().unwrap());
    // The networks that differ from it in one bit, and are the same before.
    let others = (0..32).map(|bit| {
        let address = Ipv4Addr::from((client ^ (1 << bit)) >> bit << bit);
        format!("{address}/{}", 32 - bit)
    });
    let allowed = others.chain(["::/0".to_owned()]);
    let builder = allowing(allowed).trust_proxies(["10.0.0.0/8"]);
    builder.build().unwrap()
});

/// What a client writes into `Forwarded` or `X-Forwarded-For` never makes it somebody else once a
/// trusted proxy has said who it is.
///
/// The first line is what the client wrote, the second a host that it asked for, which proxies pass
/// on in quotes. All further lines are networks.
pub fn forwarded(bytes: &[u8]) {
    let (mut lines, _) = head_and_body(bytes);
    let forged = lines.next().unwrap_or_default();
    let host = lines.next().unwrap_or_default();

    let line = [forged, b", ", CLIENT.as_bytes()].concat();
    let listed = |lines: &[&[u8]]| told(&X_FORWARDED_FOR, lines);
    let readable = forged.iter().all(|byte| matches!(byte, b'\t' | 32..127));
    for source in [listed(&[&line]), listed(&[&line, PROXY.as_bytes()])] {
        assert_eq!(source == TakenFor::Client, readable, "{source:?}");
    }
    // A line of its own takes no other along.
    assert_eq!(listed(&[forged, CLIENT.as_bytes()]), TakenFor::Client);

    let host = host.escape_ascii();
    for said in [
        format!("for={CLIENT}"),
        format!("for={CLIENT};host=\"{host}\""),
        format!("host=\"{host}\";proto=https; For=\"{CLIENT}:4711\""),
    ] {
        let line = [forged, b", ", said.as_bytes()].concat();
        let alone = told(&FORWARDED, &[&line]);
        assert_ne!(alone, TakenFor::Another, "{said}");
        let lines = [forged, said.as_bytes(), b"for=10.0.0.1"];
        let several = told(&FORWARDED, &lines);
        assert_eq!(several, TakenFor::Client, "{said}");
    }

    let mut networks: Vec<String> = Vec::new();
    for line in lines {
        let network = String::from_utf8_lossy(line).into_owned();
        match allowing([&network]).build() {
            Ok(_) => networks.push(network),
            Err(error) => {
                assert_eq!(error.kind(), BuildErrorKind::BadSetting);
                assert!(error.to_string().contains(&network));
            }
        }
    }
    if !networks.is_empty() {
        let receiver = allowing(&networks).build().unwrap();
        for network in networks {
            let address = network.split('/').next().unwrap_or_default();
            let address: IpAddr = address.parse().unwrap();
            for address in [address, address.to_canonical()] {
                assert_eq!(
                    asked(&receiver, address, &FORWARDED, &[]),
                    "signature_missing"
                );
            }
        }
    }
}

/// Who is taken for the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TakenFor {
    Client,
    Another,
    Nobody,
}

/// What a request with these header lines is taken for that comes from a trusted proxy.
fn told(name: &HeaderName, lines: &[&[u8]]) -> TakenFor {
    match &*asked(&ALL_OTHERS, PROXY.parse().unwrap(), name, lines) {
        "source_not_allowed" => TakenFor::Client,
        "signature_missing" => TakenFor::Another,
        "source_unknown" => TakenFor::Nobody,
        code => panic!("{code}"),
    }
}

fn allowing<N: Into<String>>(networks: impl IntoIterator<Item = N>) -> ReceiverBuilder {
    Receiver::builder()
        .secret("the-webhook-secret-of-a-customer")
        .allow_sources(networks)
        .runtime(RUNTIME.handle().clone())
        .on(Any, || async {})
}

/// Why an unsigned request is refused.
fn asked(receiver: &Receiver, peer: IpAddr, name: &HeaderName, lines: &[&[u8]]) -> String {
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::POST;
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            request.headers_mut().append(name, value);
        }
    }
    request
        .extensions_mut()
        .insert(PeerAddr(SocketAddr::new(peer, 443)));
    RUNTIME.block_on(send(receiver, request)).code.unwrap()
}
