//! Where the platform cannot send, or would not arrive.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use http::Uri;
use http::uri::Scheme;
use ipnet::IpNet;

/// Why something is not made the destination: the platform would store it without a word, and
/// events would be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnfitDestination {
    /// It is no URI, or holds blanks or characters beyond ASCII.
    NotAUri,
    /// It begins with neither `http://` nor `https://`.
    Scheme,
    /// It holds a user or a password, which would be sent in plain sight of whoever reads the
    /// account.
    UserInfo,
    /// It has a fragment, which is never sent.
    Fragment,
    /// It is longer than the 1023 characters that the platform has room for.
    TooLong,
    /// Its host is private, loopback, or otherwise one that the platform never sends to.
    PrivateHost,
    /// Its host is a number, and not an address as addresses are written.
    NumericHost,
    /// The method is not `POST`, `PUT`, `GET` or `DELETE`, in capitals.
    Method,
}

impl fmt::Display for UnfitDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAUri => "this is no URI: write it as https://hooks.example.com/voipbin/webhook, in ASCII and without blanks",
            Self::Scheme => "the URI begins with neither https:// nor http://",
            Self::UserInfo => "the URI holds a user or a password: the signature says who sends, leave them out",
            Self::Fragment => "the URI has a fragment, the part behind #, which is never sent: leave it out",
            Self::TooLong => "the URI is longer than the 1023 characters that the platform has room for",
            Self::PrivateHost => "the platform sends to no private, loopback or reserved address: give a public one, or a tunnel's",
            Self::NumericHost => "the host is a number: write an address as 192.0.2.7 or [2001:db8::7], or a name",
            Self::Method => "the method is none of POST, PUT, GET and DELETE, in capitals",
        })
    }
}

impl std::error::Error for UnfitDestination {}

/// As many characters as the platform's column has.
const LONGEST: usize = 1023;
const METHODS: [&str; 4] = ["POST", "PUT", "GET", "DELETE"];

/// Networks that the platform's sender refuses: private, shared, local, for documentation and
/// benchmarks, reserved, and those that embed IPv4 addresses.
const REFUSED: [&str; 30] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// A URI that could be the destination.
pub(super) fn check(uri: &str, method: &str, private_hosts: bool) -> Result<Uri, UnfitDestination> {
    if !METHODS.contains(&method) {
        return Err(UnfitDestination::Method);
    }
    if uri.chars().count() > LONGEST {
        return Err(UnfitDestination::TooLong);
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UnfitDestination::NotAUri);
    }
    // It would be dropped without a word.
    if uri.contains('#') {
        return Err(UnfitDestination::Fragment);
    }
    let parsed: Uri = uri.parse().map_err(|_| UnfitDestination::NotAUri)?;
    match parsed.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
        Some(_) => return Err(UnfitDestination::Scheme),
        None => {
            return Err(if uri.contains(':') {
                UnfitDestination::Scheme
            } else {
                UnfitDestination::NotAUri
            });
        }
    }
    let authority = parsed.authority().ok_or(UnfitDestination::NotAUri)?;
    if authority.as_str().contains('@') {
        return Err(UnfitDestination::UserInfo);
    }
    let host = Host::of(authority.host());
    match host {
        Host::Name("") => Err(UnfitDestination::NotAUri),
        Host::Number => Err(UnfitDestination::NumericHost),
        Host::Address(address) if !private_hosts && is_refused(address) => {
            Err(UnfitDestination::PrivateHost)
        }
        Host::Name(name) if !private_hosts && is_local(name) => Err(UnfitDestination::PrivateHost),
        _ => Ok(parsed),
    }
}

enum Host<'a> {
    Address(IpAddr),
    Name(&'a str),
    /// Something that resolvers and browsers read as an address, such as `127.1` or `0x7f000001`.
    Number,
}

impl<'a> Host<'a> {
    fn of(host: &'a str) -> Self {
        if let Some(inside) = host.strip_prefix('[') {
            let address = inside
                .strip_suffix(']')
                .and_then(|text| text.parse::<Ipv6Addr>().ok());
            return address.map_or(Self::Number, |address| Self::Address(address.into()));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        if let Ok(address) = name.parse() {
            return Self::Address(address);
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
        let hexadecimal = last
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        match decimal || hexadecimal {
            true => Self::Number,
            false => Self::Name(name),
        }
    }
}

/// Whether the platform's sender refuses this address.
pub(super) fn is_refused(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let networks = REFUSED
        .iter()
        .filter_map(|network| network.parse::<IpNet>().ok());
    networks
        .into_iter()
        .any(|network| network.contains(&address))
}

/// RFC 6761 and RFC 6762: names that are never public.
fn is_local(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    ["localhost", "local", "localdomain", "internal"].contains(&last)
}

/// Whether a host is this machine for sure.
pub(super) fn is_this_machine(host: &str) -> bool {
    match Host::of(host) {
        Host::Address(address) => address.to_canonical().is_loopback(),
        Host::Name(name) => name.eq_ignore_ascii_case("localhost"),
        Host::Number => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str) -> Option<UnfitDestination> {
        check(uri, "POST", false).err()
    }

    #[test]
    fn every_network_of_the_list_is_one() {
        for network in REFUSED {
            assert!(network.parse::<IpNet>().is_ok(), "{network}");
        }
    }

    #[test]
    fn public_hosts_are_taken() {
        for uri in [
            "https://hooks.example.com/voipbin/webhook",
            "http://hooks.example.com:8080/a?b=c%20d",
            "HTTPS://HOOKS.EXAMPLE.COM/",
            "https://8.8.8.8/hook",
            "https://[2606:4700::1111]:8443/hook",
            "https://172.32.0.1/",
            "https://100.128.0.1/",
            "https://localhost.example.com/",
            "https://3com.example/",
            "https://0xa.example.com./",
        ] {
            assert_eq!(refused(uri), None, "{uri}");
        }
    }

    #[test]
    fn hosts_that_the_platform_never_sends_to_are_refused() {
        for host in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "127.0.0.1.",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[64:ff9b::7f00:1]",
            "[2001:db8::1]",
            "[2002:7f00:1::]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[ff02::1]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "printer.local",
            "db.internal",
        ] {
            for port in ["", ":8080"] {
                let uri = format!("https://{host}{port}/hook");
                assert_eq!(refused(&uri), Some(UnfitDestination::PrivateHost), "{uri}");
                assert!(check(&uri, "POST", true).is_ok(), "{uri}");
            }
        }
        for host in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "017700000001",
            "1.2.3.4.5",
        ] {
            let uri = format!("http://{host}/");
            assert_eq!(refused(&uri), Some(UnfitDestination::NumericHost), "{uri}");
        }
    }

    #[test]
    fn what_would_not_arrive_is_refused() {
        for (uri, refusal) in [
            ("", UnfitDestination::NotAUri),
            ("hooks.example.com", UnfitDestination::NotAUri),
            ("/voipbin/webhook", UnfitDestination::NotAUri),
            ("https://", UnfitDestination::NotAUri),
            ("https://hooks.example.com/a b", UnfitDestination::NotAUri),
            (
                "https://hooks.example.com/\u{e9}",
                UnfitDestination::NotAUri,
            ),
            ("https://hooks.example.com/\n", UnfitDestination::NotAUri),
            ("ftp://hooks.example.com/", UnfitDestination::Scheme),
            ("wss://hooks.example.com/", UnfitDestination::Scheme),
            ("javascript:alert(1)", UnfitDestination::Scheme),
            ("https://jo@hooks.example.com/", UnfitDestination::UserInfo),
            (
                "https://jo:pw@hooks.example.com/",
                UnfitDestination::UserInfo,
            ),
            (
                "https://hooks.example.com/#part",
                UnfitDestination::Fragment,
            ),
        ] {
            assert_eq!(refused(uri), Some(refusal), "{uri}");
        }
        let of_length =
            |length: usize| format!("https://hooks.example.com/{}", "a".repeat(length - 26));
        assert_eq!(refused(&of_length(1023)), None);
        assert_eq!(refused(&of_length(1024)), Some(UnfitDestination::TooLong));
        for method in ["", "post", "PATCH", "HEAD", "POST "] {
            let checked = check("https://hooks.example.com/", method, false);
            assert_eq!(checked.err(), Some(UnfitDestination::Method), "{method:?}");
        }
    }
}
