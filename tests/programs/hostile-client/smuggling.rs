//! Requests whose end is told in two ways, or in none that is right. Two readers of the same bytes,
//! such as a proxy and the server behind it, may see one request or two in them, unless both see
//! what is wrong.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};
use support::{PATH, call_hangup, on_the_wire, signer};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use crate::connection::connection;

/// Request line, header lines and body. `{outer}` is a signed event, `{len}` and `{hex}` its
/// length, `{smuggled}` a whole request that nobody is to take for one, and `{all}` the length of
/// the body as it stands here.
struct Shape(&'static str, &'static str, &'static str);

const POST: &str = "POST {path} HTTP/1.1";
const CHUNKED: &str = "Transfer-Encoding: chunked";
/// The event, and behind it what is not to be seen.
const TWO: &str = "{outer}{smuggled}";
const TWO_CHUNKED: &str = "{hex}\r\n{outer}\r\n0\r\n\r\n{smuggled}";

/// No request.
const REFUSED: &[Shape] = &[
    // Lengths that differ, or are none.
    Shape(POST, "Content-Length: {len}\r\nContent-Length: {all}", TWO),
    Shape(POST, "Content-Length: {all}\r\nContent-Length: {len}", TWO),
    Shape(POST, "Content-Length: {len}, {all}", TWO),
    Shape(POST, "Content-Length: {len}, {len}", TWO),
    Shape(POST, "Content-Length: {len} {all}", TWO),
    Shape(POST, "Content-Length: +{len}", TWO),
    Shape(POST, "Content-Length: -1", TWO),
    Shape(POST, "Content-Length: 0x{hex}", TWO),
    Shape(POST, "Content-Length: {len}.0", TWO),
    Shape(POST, "Content-Length: \"{len}\"", TWO),
    Shape(POST, "Content-Length:", TWO),
    Shape(POST, "Content-Length: 99999999999999999999", TWO),
    // Encodings that do not end with chunks.
    Shape(POST, "Transfer-Encoding: identity", TWO_CHUNKED),
    Shape(POST, "Transfer-Encoding: chunked, identity", TWO_CHUNKED),
    Shape(
        POST,
        "Content-Length: {all}\r\nTransfer-Encoding: chunked, identity",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        TWO_CHUNKED,
    ),
    Shape(POST, "Transfer-Encoding: xchunked", TWO_CHUNKED),
    Shape(POST, "Transfer-Encoding: chunkedx", TWO_CHUNKED),
    Shape(POST, "Transfer-Encoding: chunked;q=1", TWO_CHUNKED),
    Shape(POST, "Transfer-Encoding: \"chunked\"", TWO_CHUNKED),
    Shape(POST, "Transfer-Encoding: \u{b}chunked", TWO_CHUNKED),
    Shape(POST, "Transfer-Encoding:", TWO_CHUNKED),
    Shape("POST {path} HTTP/1.0", CHUNKED, TWO_CHUNKED),
    // Header lines that one reader may pass over.
    Shape(
        POST,
        "Content-Length: {all}\r\nTransfer-Encoding : chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Content-Length: {all}\r\nTransfer-Encoding\t: chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Content-Length: {all}\r\nTransfer-Encoding:\r\n chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Content-Length: {all}\r\n Transfer-Encoding: chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Content-Length: {all}\rTransfer-Encoding: chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Content-Length: {all}\r\nX: a\rTransfer-Encoding: chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Content-Length: {all}\r\nX: a\0\r\nTransfer-Encoding: chunked",
        TWO_CHUNKED,
    ),
    Shape(POST, "(Content-Length): 5\r\nContent-Length: {all}", TWO),
    Shape(POST, "Content Length: 5\r\nContent-Length: {all}", TWO),
    Shape(POST, "nothing at all\r\nContent-Length: {all}", TWO),
    Shape(POST, ": nameless\r\nContent-Length: {all}", TWO),
    // Chunks whose length is none, or not theirs.
    Shape(POST, CHUNKED, "+{hex}\r\n{outer}\r\n0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, "-1\r\n{outer}\r\n0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, "0x{hex}\r\n{outer}\r\n0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, "{hex}g\r\n{outer}\r\n0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, "\r\n{hex}\r\n{outer}\r\n0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, ";a\r\n{outer}\r\n0\r\n\r\n{smuggled}"),
    Shape(
        POST,
        CHUNKED,
        "fffffffffffffffff\r\n{outer}\r\n0\r\n\r\n{smuggled}",
    ),
    Shape(POST, CHUNKED, "{hex}\n{outer}\n0\n\n{smuggled}"),
    Shape(POST, CHUNKED, "{hex}\r\n{outer}0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, "{hex}\r\n{outer}\n0\r\n\r\n{smuggled}"),
    Shape(POST, CHUNKED, "{hex}\r\n{outer}xx0\r\n\r\n{smuggled}"),
    Shape(
        POST,
        CHUNKED,
        "{hex};a\nb\r\n{outer}\r\n0\r\n\r\n{smuggled}",
    ),
    // Request lines that are none.
    Shape(" POST {path} HTTP/1.1", "Content-Length: {all}", TWO),
    Shape("POST {path}", "Content-Length: {all}", TWO),
    Shape("POST {path} {path} HTTP/1.1", "Content-Length: {all}", TWO),
    Shape("POST {path} HTTP/1.1 x", "Content-Length: {all}", TWO),
    Shape("POST {path} HTTP/2.0", "Content-Length: {all}", TWO),
    Shape("POST {path} HTTP/1.1\rX: x", "Content-Length: {all}", TWO),
    Shape("PO(ST {path} HTTP/1.1", "Content-Length: {all}", TWO),
    Shape("POST \0{path} HTTP/1.1", "Content-Length: {all}", TWO),
];

/// One request, and the last of its connection unless nothing comes behind it.
const ONE: &[Shape] = &[
    // Chunks go before a length, and no other request may come then (RFC 9112, 6.1).
    Shape(
        POST,
        "Content-Length: {all}\r\nTransfer-Encoding: chunked",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Transfer-Encoding: chunked\r\nContent-Length: {all}",
        TWO_CHUNKED,
    ),
    Shape(
        POST,
        "Transfer-Encoding: Chunked\r\nContent-Length: 5\r\nContent-Length: 6",
        TWO_CHUNKED,
    ),
    Shape(POST, "Connection: close\r\nContent-Length: {len}", TWO),
    Shape(
        POST,
        "Connection: close\r\nConnection: keep-alive\r\nContent-Length: {len}",
        TWO,
    ),
    Shape("POST {path} HTTP/1.0", "Content-Length: {len}", TWO),
    // What is told twice, or with more words, is the same.
    Shape(
        POST,
        "Content-Length: {len}\r\nContent-Length: {len}",
        "{outer}",
    ),
    Shape(POST, "Content-Length: \t{len}\t ", "{outer}"),
    Shape(POST, "Content-Length: 0{len}", "{outer}"),
    Shape(POST, CHUNKED, "{hex};a=\"b\"\r\n{outer}\r\n0\r\n\r\n"),
    Shape(POST, CHUNKED, "000{hex}\r\n{outer}\r\n0\r\n\r\n"),
    Shape(
        POST,
        CHUNKED,
        "{hex}\r\n{outer}\r\n0\r\nContent-Length: 5\r\nX-Voipbin-Signature: sha256=00\r\n\r\n",
    ),
    Shape(
        POST,
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: {len}",
        "{outer}",
    ),
    Shape(
        "\r\n\r\nPOST {path} HTTP/1.1",
        "Content-Length: {len}",
        "{outer}",
    ),
    Shape(
        "POST {path} HTTP/1.1\nX: x",
        "X: x\nContent-Length: {len}",
        "{outer}",
    ),
    Shape(
        "POST http://elsewhere.example{path} HTTP/1.1",
        "Content-Length: {len}",
        "{outer}",
    ),
];

/// What came of each, in the order in which they stand here.
pub(crate) async fn attack(address: SocketAddr) -> Value {
    let mut ends = Map::new();
    for (name, shapes) in [("refused", REFUSED), ("one", ONE)] {
        let mut of_these = Vec::new();
        for (number, shape) in shapes.iter().enumerate() {
            let request = shape.request(&format!("{name}-{number}"));
            let end = connection(address, async |writing: &mut OwnedWriteHalf| {
                writing.write_all(request.as_bytes()).await
            });
            of_these.push(json!({ "request": format!("{shape}"), "end": end.await.to_json() }));
        }
        ends.insert(name.to_owned(), json!(of_these));
    }
    json!(ends)
}

impl Shape {
    fn request(&self, name: &str) -> String {
        let outer = call_hangup(format_args!("outer-{name}"));
        let smuggled = on_the_wire("POST", &call_hangup(format_args!("smuggled-{name}")));
        let smuggled = String::from_utf8(smuggled).unwrap();
        let signature = signer().sign(outer.as_bytes());
        let put = |text: &str| {
            text.replace("{path}", PATH)
                .replace("{len}", &outer.len().to_string())
                .replace("{hex}", &format!("{:x}", outer.len()))
                .replace("{outer}", &outer)
                .replace("{smuggled}", &smuggled)
        };
        let Self(line, framing, body) = self;
        let body = put(body);
        let framing = put(framing).replace("{all}", &body.len().to_string());
        format!(
            "{}\r\nHost: localhost\r\nX-Voipbin-Signature: {signature}\r\n{framing}\r\n\r\n{body}",
            put(line)
        )
    }
}

/// For people.
impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(line, framing, body) = self;
        write!(f, "{line:?} {framing:?} {body:?}")
    }
}
