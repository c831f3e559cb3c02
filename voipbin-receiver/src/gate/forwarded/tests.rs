use super::*;

fn networks(texts: &[&str]) -> Networks {
    Networks::parse(&texts.iter().copied().map(String::from).collect::<Vec<_>>()).unwrap()
}

/// What trusted proxies in 10.0.0.0/8 and 2001:db8:aaaa::/48 tell.
fn told(lines: &[(&'static str, &str)]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let proxies = networks(&["10.0.0.0/8", "2001:db8:aaaa::/48"]);
    client(&headers, &proxies).map(|address| address.to_string())
}

#[test]
fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
    for (line, client) in [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.0.0.1", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (
            "198.51.100.1,203.0.113.9,10.0.0.1 ,\t10.0.0.2",
            "203.0.113.9",
        ),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::17]", "2001:db8::17"),
        ("[2001:db8::17]:4711", "2001:db8::17"),
        ("2001:db8::17", "2001:db8::17"),
        ("2001:db8::17, 2001:db8:aaaa::1", "2001:db8::17"),
        ("::ffff:203.0.113.9, ::ffff:10.0.0.1", "203.0.113.9"),
        // What stands before the client may be anything.
        ("<script>, unknown, , 203.0.113.9", "203.0.113.9"),
        // A proxy that calls by itself.
        ("10.0.0.7, 10.0.0.1", "10.0.0.7"),
    ] {
        assert_eq!(
            told(&[("x-forwarded-for", line)]).as_deref(),
            Some(client),
            "{line}"
        );
    }
    for (line, client) in [
        ("for=203.0.113.9", "203.0.113.9"),
        (
            "For=\"203.0.113.9:4711\";proto=https;by=10.0.0.1",
            "203.0.113.9",
        ),
        (
            "proto=https;host=\"a,b;c\";FOR=203.0.113.9, for=10.0.0.1",
            "203.0.113.9",
        ),
        ("for=198.51.100.1, for=203.0.113.9", "203.0.113.9"),
        ("for=\"[2001:db8::17]:4711\"", "2001:db8::17"),
        ("for=\"[2001:db8::17]:_port\"", "2001:db8::17"),
        ("for=\"20\\3.0.113.9\"", "203.0.113.9"),
        ("host=\"with \\\" in it\" ; for=203.0.113.9", "203.0.113.9"),
        ("for=_hidden, for=unknown, for=203.0.113.9", "203.0.113.9"),
        // Forgotten quotes.
        ("for=[2001:db8::17]:4711;proto=http", "2001:db8::17"),
    ] {
        assert_eq!(
            told(&[("forwarded", line)]).as_deref(),
            Some(client),
            "{line}"
        );
    }
}

#[test]
fn an_element_that_tells_no_address_ends_the_walk() {
    for line in [
        "",
        ",",
        "203.0.113.9,",
        "203.0.113.9, unknown",
        "203.0.113.9, _hidden",
        "203.0.113.9, 10.0.0",
        "203.0.113.9, 10.0.0.1.",
        "203.0.113.9, 010.0.0.1",
        "203.0.113.9, 10.0.0.1:",
        "203.0.113.9, 10.0.0.1:+80",
        "203.0.113.9, 10.0.0.1:65536",
        "203.0.113.9, [10.0.0.1]",
        "203.0.113.9, [2001:db8:aaaa::1",
        "203.0.113.9, [2001:db8:aaaa::1]x",
        "203.0.113.9, fe80::1%eth0",
        "203.0.113.9, \"10.0.0.1\"",
        "203.0.113.9 10.0.0.1",
        "203.0.113.9, münchen",
    ] {
        assert_eq!(told(&[("x-forwarded-for", line)]), None, "{line}");
    }
    for line in [
        "",
        ",",
        "for",
        "for=",
        "for=unknown",
        "for=_hidden",
        "proto=https",
        "for=203.0.113.9,",
        "for=203.0.113.9;",
        "for=203.0.113.9;for=203.0.113.9",
        "for=203.0.113.9, for=unknown",
        "for=203.0.113.9, by=10.0.0.1",
        "for=\"203.0.113.9",
        "for=203.0.113.9\"",
        "for=203.0.113.9 x",
        "for=\"203.0.113.9\"x",
        "=203.0.113.9",
        "for =203.0.113.9 proto=http",
        "for=203.0.113.9\\",
        // An open quote that a client sent swallows what the proxy added.
        "x=\", for=10.0.0.1",
        "x=\", for=\"[2001:db8::17]\"",
    ] {
        assert_eq!(told(&[("forwarded", line)]), None, "{line}");
    }
}

#[test]
fn several_lines_are_one_list_in_their_order() {
    let x = "x-forwarded-for";
    assert_eq!(
        told(&[(x, "198.51.100.1"), (x, "203.0.113.9"), (x, "10.0.0.1")]).as_deref(),
        Some("203.0.113.9")
    );
    assert_eq!(told(&[(x, "203.0.113.9"), (x, ""), (x, "10.0.0.1")]), None);
    let forwarded = "forwarded";
    assert_eq!(
        told(&[
            (forwarded, "for=\""),
            (forwarded, "for=203.0.113.9"),
            (forwarded, "for=10.0.0.1")
        ])
        .as_deref(),
        Some("203.0.113.9")
    );
}

#[test]
fn of_both_headers_neither_is_believed_alone() {
    let both = |x, forwarded| told(&[("x-forwarded-for", x), ("forwarded", forwarded)]);
    assert_eq!(
        both("203.0.113.9", "for=203.0.113.9").as_deref(),
        Some("203.0.113.9")
    );
    assert_eq!(both("203.0.113.9", "for=198.51.100.1"), None);
    assert_eq!(both("203.0.113.9", "for=unknown"), None);
    assert_eq!(both("", "for=203.0.113.9"), None);
    assert_eq!(both("", "for="), None);
    assert_eq!(told(&[]), None);
}
