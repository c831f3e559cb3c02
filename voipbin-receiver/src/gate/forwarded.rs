//! What proxies tell of a client: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Each proxy appends the address that it was called from. So only the end of the list can be
//! believed, as far back as those who wrote it are trusted: everything before is the client's own
//! word.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName, HeaderValue};

use super::network::Networks;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request that a trusted proxy handed over: the last address that is not a trusted
/// proxy's, or the first of all when all are.
///
/// `None` when an element on the way there is missing, malformed or no address, or when both
/// headers came and differ: a proxy that sets one of them may pass on the other as its client wrote
/// it.
pub(super) fn client(headers: &HeaderMap, proxies: &Networks) -> Option<IpAddr> {
    let walked = |name: &HeaderName, elements: Elements| {
        let lines = headers.get_all(name).iter();
        headers
            .contains_key(name)
            .then(|| walk(lines, elements, proxies))
    };
    match (
        walked(&FORWARDED, forwarded_elements),
        walked(&X_FORWARDED_FOR, listed_elements),
    ) {
        (Some(one), None) | (None, Some(one)) => one,
        (Some(one), Some(other)) => one.filter(|_| one == other),
        (None, None) => None,
    }
}

/// Takes a line apart into its elements, the first one first. `None` stands for one that tells no
/// address, and for a line that cannot be read.
type Elements = fn(&str) -> Vec<Option<IpAddr>>;

fn walk<'a>(
    lines: impl DoubleEndedIterator<Item = &'a HeaderValue>,
    elements: Elements,
    proxies: &Networks,
) -> Option<IpAddr> {
    let mut first = None;
    for line in lines.rev() {
        for address in elements(line.to_str().ok()?).into_iter().rev() {
            let address = address?;
            if !proxies.contain(address) {
                return Some(address);
            }
            first = Some(address);
        }
    }
    first
}

fn listed_elements(line: &str) -> Vec<Option<IpAddr>> {
    line.split(',').map(|node| address(node.trim())).collect()
}

/// `for=192.0.2.43;proto=https, for="[2001:db8::17]:4711"`.
fn forwarded_elements(line: &str) -> Vec<Option<IpAddr>> {
    let mut elements = Vec::new();
    let mut rest = line;
    loop {
        // A quote that is open where it should not be moves all borders to its right: then nothing
        // on the line can be believed.
        let Some((element, after)) = forwarded_element(rest) else {
            return vec![None];
        };
        elements.push(element);
        match after {
            Some(after) => rest = after,
            None => return elements,
        }
    }
}

/// One element, and what comes after its comma. `None` when it cannot be read.
fn forwarded_element(text: &str) -> Option<(Option<IpAddr>, Option<&str>)> {
    let mut client = None;
    let mut rest = text;
    loop {
        let (name, after) = rest.split_at(rest.find(['=', ',', ';', '"'])?);
        let (value, after) = value(after.strip_prefix('=')?)?;
        let name = name.trim_start_matches(BLANK);
        if name.is_empty() || name.contains(BLANK) {
            return None;
        }
        if name.eq_ignore_ascii_case("for") && client.replace(address(&value)).is_some() {
            return None;
        }
        let after = after.trim_start_matches(BLANK);
        match after.chars().next() {
            Some(';') => rest = after.get(1..)?,
            Some(',') => return Some((client.flatten(), after.get(1..))),
            Some(_) => return None,
            None => return Some((client.flatten(), None)),
        }
    }
}

const BLANK: [char; 2] = [' ', '\t'];

/// A value in quotes or without, and what comes after it. Without, more is taken than a token may
/// hold: many proxies forget the quotes around a port or an IPv6 address.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';', '"', '\\', ' ', '\t']);
        let (value, after) = text.split_at(end.unwrap_or(text.len()));
        return (!value.is_empty()).then_some((value.into(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value.into(), quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// An address with or without a port. `unknown` and names that hide one (`_gazonk`) are none.
fn address(node: &str) -> Option<IpAddr> {
    let address = if let Some(bracketed) = node.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        is_port(port).then_some(())?;
        address.parse::<Ipv6Addr>().ok()?.into()
    } else if let Ok(address) = node.parse::<IpAddr>() {
        address
    } else {
        let colon = node.find(':')?;
        let (address, port) = node.split_at(colon);
        is_port(port).then_some(())?;
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

/// Nothing, or a colon and a port, which may be a hidden one.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else {
        return text.is_empty();
    };
    let is_word = |word: &str| {
        let of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !word.is_empty() && word.bytes().all(of_word)
    };
    match port.strip_prefix('_') {
        Some(hidden) => is_word(hidden),
        None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests;
