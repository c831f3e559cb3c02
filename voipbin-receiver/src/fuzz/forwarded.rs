use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request};

use super::head_and_body;
use crate::gate::{Networks, PeerAddr, Source, Sources};

const PROXY: &str = "10.0.0.1";
const CLIENT: &str = "203.0.113.9";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a client writes into `Forwarded` or `X-Forwarded-For` never makes it somebody else once a
/// trusted proxy has said who it is.
///
/// The first line is what the client wrote, the second a host that it asked for, which proxies pass on
/// in quotes. All further lines are networks.
pub fn forwarded(bytes: &[u8]) {
    let (mut lines, _) = head_and_body(bytes);
    let forged = lines.next().unwrap_or_default();
    let host = lines.next().unwrap_or_default();

    let line = [forged, b", ", CLIENT.as_bytes()].concat();
    let listed = |lines: &[&[u8]]| told(&X_FORWARDED_FOR, lines);
    let client = Source::Client(CLIENT.parse().unwrap());
    let readable = forged.iter().all(|byte| matches!(byte, b'\t' | 32..127));
    for source in [listed(&[&line]), listed(&[&line, PROXY.as_bytes()])] {
        assert_eq!(source == client, readable, "{source:?}");
    }
    // A line of its own takes no other along.
    assert_eq!(listed(&[forged, CLIENT.as_bytes()]), client);

    let host = host.escape_ascii();
    for said in [
        format!("for={CLIENT}"),
        format!("for={CLIENT};host=\"{host}\""),
        format!("host=\"{host}\";proto=https; For=\"{CLIENT}:4711\""),
    ] {
        let line = [forged, b", ", said.as_bytes()].concat();
        let alone = told(&FORWARDED, &[&line]);
        assert!(is_client_or_none(alone), "{said}: {alone:?}");
        let lines = [forged, said.as_bytes(), b"for=10.0.0.1"];
        let several = told(&FORWARDED, &lines);
        assert_eq!(several, client, "{said}");
    }

    let mut networks: Vec<String> = Vec::new();
    for line in lines {
        networks.push(String::from_utf8_lossy(line).into_owned());
        // The text is all that is wrong with it.
        if let Err(error) = Networks::parse(&networks) {
            assert_eq!(Some(&error.text), networks.last());
            let _ = error.to_string();
            networks.pop();
        }
    }
    let parsed = Networks::parse(&networks).unwrap();
    for network in &networks {
        let address = network.split('/').next().unwrap_or_default();
        let address: IpAddr = address.parse().unwrap();
        assert!(parsed.contain(address) && parsed.contain(address.to_canonical()));
    }
}

fn is_client_or_none(source: Source) -> bool {
    match source {
        Source::Client(client) => client.to_string() == CLIENT,
        Source::Unclear { .. } => true,
        Source::Unknown => false,
    }
}

/// What a request with these header lines is taken for that comes from a trusted proxy.
fn told(name: &HeaderName, lines: &[&[u8]]) -> Source {
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(name, value);
        }
    }
    let sources = Sources {
        allowed: None,
        proxies: Networks::parse(&["10.0.0.0/8".to_owned()]).unwrap(),
    };
    let proxy = SocketAddr::new(PROXY.parse().unwrap(), 443);
    let mut head: Parts = Request::new(()).into_parts().0;
    head.headers = headers;
    head.extensions.insert(PeerAddr(proxy));
    sources.check(&head).unwrap()
}
