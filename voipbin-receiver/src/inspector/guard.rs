//! What is looked at before anybody's rights: that a page elsewhere has not sent a browser here.

use std::fmt;

use http::header::{COOKIE, FORWARDED, HOST, HeaderName, ORIGIN, VIA};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Uri};

use crate::gate::PeerAddr;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What proxies add.
const OF_PROXIES: [HeaderName; 5] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
];

#[derive(Default)]
pub(super) struct Guard {
    /// Whether requests must come from this machine, to a name of it, and without a proxy.
    pub(super) loopback_only: bool,
    /// Where the inspector is, as browsers see it: `https://ops.example.com`.
    pub(super) public_origin: Option<String>,
}

/// Why a request is refused, whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// It is for a name that is not this machine's, as after DNS rebinding.
    Host,
    /// It came from another machine, or the server does not say from where.
    Peer,
    /// It came by a proxy.
    Proxied,
    /// A page of another site sent it.
    CrossSite,
}

impl Guard {
    pub(super) fn check(&self, head: &Parts) -> Result<(), Rejection> {
        if self.loopback_only {
            check_loopback(head)?;
        }
        if is_safe(&head.method) || self.is_same_origin(head) {
            Ok(())
        } else {
            Err(Rejection::CrossSite)
        }
    }

    /// Browsers that know the first header set it on every request to an origin that is trusted, as
    /// one by TLS or of this machine. All set the second one on what may change something: to
    /// `null` where the page forbids referrers, so pages with forms allow them within their origin.
    fn is_same_origin(&self, head: &Parts) -> bool {
        let mut sites = head.headers.get_all(SEC_FETCH_SITE).iter().peekable();
        if sites.peek().is_some() {
            return sites.all(|site| site == "same-origin");
        }
        let mut origins = head.headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none() {
            // No browser: whoever it is has no cookies of somebody else's.
            return !head.headers.contains_key(COOKIE);
        }
        origins.all(|origin| {
            origin
                .to_str()
                .is_ok_and(|origin| self.is_own(origin, head))
        })
    }

    fn is_own(&self, origin: &str, head: &Parts) -> bool {
        if self.public_origin.as_deref() == Some(origin) {
            return true;
        }
        let Some((scheme @ ("http" | "https"), authority)) = origin.split_once("://") else {
            return false;
        };
        let named = |authority: &Authority| {
            let port = match scheme {
                "https" => 443,
                _ => 80,
            };
            let host = authority.host().to_ascii_lowercase();
            (host, authority.port_u16().unwrap_or(port))
        };
        let origin = authority.parse::<Authority>().ok();
        let own = host(head);
        matches!((origin, own), (Some(origin), Some(own)) if named(&origin) == named(&own))
    }
}

/// Whether a method changes nothing.
pub(super) fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

fn check_loopback(head: &Parts) -> Result<(), Rejection> {
    if OF_PROXIES
        .iter()
        .any(|name| head.headers.contains_key(name))
    {
        return Err(Rejection::Proxied);
    }
    let peer = head.extensions.get::<PeerAddr>();
    if !peer.is_some_and(|PeerAddr(peer)| peer.ip().to_canonical().is_loopback()) {
        return Err(Rejection::Peer);
    }
    match host(head) {
        Some(host) if is_loopback(host.host()) => Ok(()),
        _ => Err(Rejection::Host),
    }
}

/// The host that a request is for: the only one that it names, without a user.
fn host(head: &Parts) -> Option<Authority> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok()?.parse::<Authority>().ok()?),
        (None, _) => None,
        (Some(_), Some(_)) => return None,
    };
    // HTTP/2 has it in the URI, as have requests that are meant for proxies.
    let host = match (host, Uri::authority(&head.uri).cloned()) {
        (Some(host), Some(uri)) => (host == uri).then_some(host),
        (one, other) => one.or(other),
    };
    host.filter(|host| !host.as_str().contains('@'))
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    // RFC 6761: every name below `localhost` is this machine's.
    host == "localhost"
        || host.ends_with(".localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => {
                "The inspector answers to the names and addresses of this machine alone, such as localhost and 127.0.0.1."
            }
            Self::Peer => {
                "The inspector answers this machine alone, and the server does not say that the request came from it (gate::PeerAddr)."
            }
            Self::Proxied => {
                "The inspector answers this machine alone, and the request came by a proxy: give it a token instead."
            }
            Self::CrossSite => {
                "The request was not sent by a page of the inspector. Behind a proxy that changes the host, name its public origin in the settings."
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let peer = PeerAddr("127.0.0.1:4711".parse().unwrap());
        request.extension(peer).body(()).unwrap().into_parts().0
    }

    fn loopback() -> Guard {
        Guard {
            loopback_only: true,
            public_origin: None,
        }
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        for host in [
            "localhost",
            "LOCALHOST:5001",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9:80",
            "[::1]",
            "[::1]:5001",
            "[::ffff:127.0.0.1]",
        ] {
            assert_eq!(
                loopback().check(&head("GET", &[("host", host)])),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com",
            "127.0.0.1.nip.io",
            "notlocalhost",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "2130706433",
            "localhost@example.com",
            "user@localhost",
            "localhost/",
        ] {
            let refused = loopback().check(&head("GET", &[("host", host)]));
            assert_eq!(refused, Err(Rejection::Host), "{host}");
        }
        assert_eq!(loopback().check(&head("GET", &[])), Err(Rejection::Host));
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(loopback().check(&head("GET", &two)), Err(Rejection::Host));
    }

    #[test]
    fn what_came_by_a_proxy_or_from_another_machine_is_refused() {
        for name in OF_PROXIES {
            let proxied = head("GET", &[("host", "localhost"), (name.as_str(), "x")]);
            assert_eq!(
                loopback().check(&proxied),
                Err(Rejection::Proxied),
                "{name}"
            );
        }
        let mut unknown = head("GET", &[("host", "localhost")]);
        unknown.extensions.clear();
        assert_eq!(loopback().check(&unknown), Err(Rejection::Peer));
        let peer = PeerAddr("192.0.2.1:1".parse().unwrap());
        unknown.extensions.insert(peer);
        assert_eq!(loopback().check(&unknown), Err(Rejection::Peer));
        assert_eq!(Guard::default().check(&unknown), Ok(()));
    }

    #[test]
    fn a_post_must_come_from_a_page_of_the_inspector() {
        let guard = Guard {
            loopback_only: false,
            public_origin: Some("https://ops.example.com".into()),
        };
        let is_allowed = |headers: &[(&str, &str)]| {
            let mut all = vec![("host", "10.0.0.1:5001"), ("cookie", "a=b")];
            all.extend(headers);
            guard.check(&head("POST", &all)).is_ok()
        };
        for good in [
            &[("sec-fetch-site", "same-origin")][..],
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "http://10.0.0.1:5001"),
            ],
            // Plain HTTP to an address: no browser sets the first header.
            &[("origin", "http://10.0.0.1:5001")],
            // A proxy with TLS that keeps the host, and one that does not.
            &[("origin", "https://10.0.0.1:5001")],
            &[("origin", "https://ops.example.com")],
        ] {
            assert!(is_allowed(good), "{good:?}");
        }
        for bad in [
            &[][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "none")],
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-site", "cross-site"),
            ],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://ops.example.com"),
            ],
            &[("origin", "null")],
            &[("origin", "http://10.0.0.1")],
            &[
                ("origin", "http://10.0.0.1:5001"),
                ("origin", "http://evil.example"),
            ],
            &[("origin", "http://evil.example")],
            &[("origin", "http://ops.example.com")],
            &[("origin", "https://ops.example.com.evil.example")],
            &[("origin", "file://10.0.0.1:5001")],
        ] {
            assert!(!is_allowed(bad), "{bad:?}");
        }
        // What is no browser has no cookie.
        assert!(guard.check(&head("POST", &[("host", "10.0.0.1")])).is_ok());
        // The default port may be said or not.
        let said = [("host", "a.example:443"), ("origin", "https://a.example")];
        assert!(guard.check(&head("POST", &said)).is_ok());
    }
}
