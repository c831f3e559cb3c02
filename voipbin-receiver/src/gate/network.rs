use std::fmt;
use std::net::IpAddr;

// ipnet: parses and compares networks of both kinds, without dependencies of its own.
use ipnet::IpNet;

/// Networks. An IPv4 address that is written as an IPv6 one, `::ffff:192.0.2.1`, is the IPv4 one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<IpNet>);

/// A text that is no network.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NetworkError {
    pub(crate) text: String,
    kind: NetworkErrorKind,
}

#[derive(Debug, PartialEq, Eq)]
enum NetworkErrorKind {
    Unreadable,
    /// Bits are set beyond the prefix; this is the network without them.
    HostBits(IpNet),
}

/// How many bits of `::ffff:0:0/96` are the same for all IPv4 addresses.
const MAPPED_BITS: u8 = 96;

impl Networks {
    /// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address alone.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, NetworkError> {
        let networks: Result<Vec<IpNet>, NetworkError> =
            texts.iter().map(|text| network(text)).collect();
        Ok(Self(IpNet::aggregate(&networks?)))
    }

    #[cfg(feature = "server")]
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    #[cfg(feature = "server")]
    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(text: &str) -> Result<IpNet, NetworkError> {
    let error = |kind| NetworkError {
        text: text.to_owned(),
        kind,
    };
    let unreadable = || error(NetworkErrorKind::Unreadable);
    // ipnet reads 010.0.0.0/8 as 10.0.0.0/8, which others read as 8.0.0.0/8: the address must stand
    // alone.
    let address = text.split('/').next().unwrap_or(text);
    let address: IpAddr = address.parse().map_err(|_| unreadable())?;
    let network = match text.contains('/') {
        true => text.parse().map_err(|_| unreadable())?,
        false => IpNet::from(address),
    };
    // Whoever writes 192.0.2.7/24 may mean the address as well as the network.
    if network.trunc() != network {
        return Err(error(NetworkErrorKind::HostBits(network.trunc())));
    }
    let unmapped = network
        .prefix_len()
        .checked_sub(MAPPED_BITS)
        .filter(|_| matches!(network, IpNet::V6(_)))
        .and_then(|bits| match network.addr().to_canonical() {
            IpAddr::V4(address) => IpNet::new(address.into(), bits).ok(),
            IpAddr::V6(_) => None,
        });
    Ok(unmapped.unwrap_or(network))
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, kind } = self;
        match kind {
            NetworkErrorKind::Unreadable => write!(
                f,
                "`{text}` is neither an address nor a network: write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"
            ),
            NetworkErrorKind::HostBits(network) => write!(
                f,
                "`{text}` has bits set beyond its prefix: write `{network}`, or the address alone"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Result<Networks, NetworkError> {
        Networks::parse(&texts.iter().copied().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_is_in_a_network_by_its_prefix() {
        for (network, address, inside) in [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.0/25", "192.0.2.128", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let networks = networks(&[network]).unwrap();
            assert_eq!(
                networks.contain(address.parse().unwrap()),
                inside,
                "{address} in {network}"
            );
        }
    }

    #[test]
    fn a_mapped_ipv4_address_is_the_ipv4_one_on_both_sides() {
        for network in ["192.0.2.0/24", "::ffff:192.0.2.0/120"] {
            let networks = networks(&[network]).unwrap();
            for (address, inside) in [
                ("192.0.2.9", true),
                ("::ffff:192.0.2.9", true),
                ("::ffff:c000:0209", true),
                ("::ffff:192.0.3.9", false),
                // The deprecated, compatible form is no IPv4 address.
                ("::192.0.2.9", false),
            ] {
                let address = address.parse().unwrap();
                assert_eq!(networks.contain(address), inside, "{address} in {network}");
            }
        }
        assert_eq!(
            networks(&["::ffff:192.0.2.9"]).unwrap(),
            networks(&["192.0.2.9"]).unwrap()
        );
        // All of IPv6 is not all of IPv4.
        let ipv6 = networks(&["::/0"]).unwrap();
        assert!(!ipv6.contain("::ffff:192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_said_with_what_to_write() {
        for text in [
            "",
            "192.0.2",
            "192.0.2.0/33",
            "example.org",
            " 192.0.2.1",
            "010.0.0.1",
            "010.0.0.0/8",
            "192.0.2.0/",
            "fe80::1%eth0",
        ] {
            let error = networks(&["192.0.2.1", text]).unwrap_err();
            assert_eq!(
                (error.text.as_str(), &error.kind),
                (text, &NetworkErrorKind::Unreadable)
            );
        }
        for (text, meant) in [
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7/95", "::fffe:0:0/95"),
        ] {
            let error = networks(&[text]).unwrap_err();
            assert_eq!(
                error.kind,
                NetworkErrorKind::HostBits(meant.parse().unwrap())
            );
        }
    }
}
