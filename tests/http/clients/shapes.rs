//! One table of the shapes that a request can have, and what each is answered.

use std::fmt::Display;

use support::{PATH, Reply, call_hangup, on_the_wire, signer, with_headers};

/// The receiver's limit for bodies in these tests.
pub(crate) const LIMIT: usize = 600;

/// One request as some client writes it, and what becomes of it.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) request: Vec<u8>,
    outcome: Outcome,
    /// Whether the connection ends with the answer.
    pub(crate) closes: bool,
}

enum Outcome {
    /// The event that is handled.
    Received(String),
    Refused(u16, &'static str),
}

/// Words of a head, and what is written in their place.
type Edits = &'static [(&'static str, &'static str)];

/// The platform's own request with other words in its head.
const HEADS: &[(&str, Edits)] = &[
    ("POST", &[]),
    ("PUT", &[("POST", "PUT")]),
    ("GET with a body", &[("POST", "GET")]),
    ("DELETE with a body", &[("POST", "DELETE")]),
    ("post", &[("POST", "post")]),
    ("put", &[("POST", "put")]),
    ("get with a body", &[("POST", "get")]),
    ("delete with a body", &[("POST", "delete")]),
    ("Post", &[("POST", "Post")]),
    ("a query", &[(PATH, "/voipbin/webhook?from=a&note=%20/%3F")]),
    (
        "an absolute target",
        &[(PATH, "http://127.0.0.1:5000/voipbin/webhook")],
    ),
    (
        "HTTP/1.0 that would stay",
        &[
            ("HTTP/1.1", "HTTP/1.0"),
            ("Accept-Encoding: gzip", "Connection: keep-alive"),
        ],
    ),
    (
        "names in capitals",
        &[
            ("Host", "HOST"),
            ("Content-Length", "CONTENT-LENGTH"),
            ("X-Voipbin-Signature", "X-VOIPBIN-SIGNATURE"),
        ],
    ),
    (
        "names in small letters",
        &[
            ("Host", "host"),
            ("Content-Length", "content-length"),
            ("X-Voipbin-Signature", "x-voipbin-signature"),
        ],
    ),
    (
        "names in any letters",
        &[
            ("Host", "hOST"),
            ("Content-Length", "cOnTeNt-LeNgTh"),
            ("X-Voipbin-Signature", "X-VoIPBIN-Signature"),
        ],
    ),
    ("no blanks", &[(": ", ":")]),
    (
        "blanks around values",
        &[("sha256=", " \t sha256="), ("\r\nAccept", " \t\r\nAccept")],
    ),
    (
        "another type",
        &[("application/json", "text/plain; a=\"B c\"")],
    ),
    ("no type", &[("Content-Type: application/json\r\n", "")]),
    (
        "what a proxy adds",
        &[("Accept-Encoding: gzip", FROM_A_PROXY)],
    ),
    (
        "a user in the address",
        &[(
            "Accept-Encoding: gzip",
            "Authorization: Basic dXNlcjpwYXNzd29yZA==",
        )],
    ),
    ("an empty line before it", &[("POST", "\r\nPOST")]),
];

const CLOSING_HEADS: &[(&str, Edits)] = &[
    ("HTTP/1.0", &[("HTTP/1.1", "HTTP/1.0")]),
    (
        "a last request",
        &[("Accept-Encoding: gzip", "Connection: close")],
    ),
];

const FROM_A_PROXY: &str = "Via: 1.1 a, 1.1 b\r\n\
    Forwarded: for=\"[2001:db8::1]\";proto=https\r\n\
    X-Forwarded-For: 203.0.113.7\r\n\
    X-Forwarded-For: 10.0.0.1\r\n\
    X-City: Zürich\r\n\
    Cookie: a=b";

/// Bodies in chunks: of this size, with this behind it, this spelling of `chunked` and this
/// trailer.
const CHUNKED: &[(&str, usize, [&str; 3])] = &[
    ("one chunk", LIMIT, ["", "chunked", ""]),
    ("chunks of a byte", 1, ["", "chunked", ""]),
    ("chunks", 7, ["", "Chunked", ""]),
    (
        "a trailer",
        50,
        ["", "chunked", "X-Trailer: no part of it\r\n"],
    ),
    ("extensions", 50, [";name=value", "chunked", ""]),
];

/// All of them, each that is received with an event of its own.
pub(crate) fn shapes(of: impl Display) -> Vec<Shape> {
    let mut shapes = refused();
    let named = |name: &str| call_hangup(format_args!("{name} {of}"));
    for (name, edits) in HEADS {
        let event = named(name);
        shapes.push(Shape::received(name, edited(edits, &event), event));
    }
    for (name, edits) in CLOSING_HEADS {
        let event = named(name);
        shapes.push(Shape::received(name, edited(edits, &event), event).closing());
    }
    for (name, size, words) in CHUNKED {
        let event = named(name);
        shapes.push(Shape::received(name, chunked(&event, *size, *words), event));
    }
    let event = padded(&format!("full {of}"), LIMIT);
    let request = on_the_wire("POST", &event);
    shapes.push(Shape::received("a body at the limit", request, event));
    let event = padded(&format!("full, in chunks {of}"), LIMIT);
    let request = chunked(&event, 64, ["", "chunked", ""]);
    shapes.push(Shape::received("chunks at the limit", request, event));
    shapes
}

/// Those that are no event. What is refused before its body comes is sent without one, for a server
/// that closes a connection with bytes that it has not read may break it.
fn refused() -> Vec<Shape> {
    let event = call_hangup(1);
    let signed = String::from_utf8(on_the_wire("POST", &event)).unwrap();
    let signature = signer().sign(event.as_bytes());
    let line = format!("X-Voipbin-Signature: {signature}\r\n");
    let edited = |word: &str, other: &str| signed.replace(word, other).into_bytes();
    let head = |method, headers: &str| with_headers(method, headers, "");
    let no_body = "Content-Length: 0\r\n";
    let declared = format!("Content-Length: {}\r\n{line}", LIMIT + 1);
    let over = chunked(&padded("over", LIMIT + 1), LIMIT + 1, ["", "chunked", ""]);
    // The chunk that says that the body is complete never comes.
    let over = over.strip_suffix(b"\r\n0\r\n\r\n").unwrap().to_vec();

    let unauthorized = |name, request, code| Shape::refused(name, request, 401, code);
    let too_large = |name, request| Shape::refused(name, request, 413, "body_too_large").closing();
    vec![
        unauthorized(
            "a forged body",
            edited("normal", "busied"),
            "signature_mismatch",
        ),
        unauthorized("no signature", edited(&line, ""), "signature_missing"),
        unauthorized(
            "two signatures",
            edited(&line, &line.repeat(2)),
            "signature_malformed",
        ),
        unauthorized(
            "no digest",
            edited("sha256=", "sha256=0"),
            "signature_malformed",
        ),
        unauthorized("nothing", head("POST", no_body), "signature_missing"),
        Shape::refused(
            "what a redirect leaves",
            head("GET", &line),
            503,
            "signature_without_body",
        ),
        Shape::refused(
            "nothing, signed",
            on_the_wire("POST", ""),
            503,
            "body_empty",
        ),
        Shape::refused("no JSON", on_the_wire("POST", "a=1"), 400, "body_not_json"),
        Shape::refused("PATCH", head("PATCH", no_body), 405, "method_not_allowed").closing(),
        too_large("a declared length over the limit", head("POST", &declared)),
        too_large("chunks over the limit", over),
    ]
}

/// The platform's own request with other words in its head.
fn edited(edits: Edits, event: &str) -> Vec<u8> {
    let request = String::from_utf8(on_the_wire("POST", event)).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut head = head.to_owned();
    for (word, other) in edits {
        assert!(head.contains(word), "{word} is not there");
        head = head.replace(word, other);
    }
    format!("{head}\r\n\r\n{body}").into()
}

/// A signed body in chunks.
fn chunked(body: &str, size: usize, [extension, chunked, trailer]: [&str; 3]) -> Vec<u8> {
    let signature = signer().sign(body.as_bytes());
    let headers = format!("Transfer-Encoding: {chunked}\r\nX-Voipbin-Signature: {signature}\r\n");
    let mut chunks = String::new();
    for chunk in body.as_bytes().chunks(size) {
        let chunk = std::str::from_utf8(chunk).unwrap();
        chunks.push_str(&format!("{:X}{extension}\r\n{chunk}\r\n", chunk.len()));
    }
    with_headers("POST", &headers, &format!("{chunks}0\r\n{trailer}\r\n"))
}

/// An event of this length.
fn padded(id: &str, length: usize) -> String {
    let missing = length - call_hangup(id).len();
    call_hangup(format_args!("{id}{}", "-".repeat(missing)))
}

impl Shape {
    fn received(name: &'static str, request: Vec<u8>, event: String) -> Self {
        Self {
            name,
            request,
            outcome: Outcome::Received(event),
            closes: false,
        }
    }

    fn refused(name: &'static str, request: Vec<u8>, status: u16, code: &'static str) -> Self {
        Self {
            name,
            request,
            outcome: Outcome::Refused(status, code),
            closes: false,
        }
    }

    fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The event, where it is one.
    pub(crate) fn event(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Received(event) => Some(event.clone()),
            Outcome::Refused(..) => None,
        }
    }

    /// Checks an answer: this word is for an event, any other shape is refused as it is.
    pub(crate) fn is_answered_by(&self, reply: &Reply, word: &str) {
        let expected = match self.outcome {
            Outcome::Received(_) => (200, word, ""),
            Outcome::Refused(status, code) => (status, "refused", code),
        };
        let given = (reply.status, &*reply.word(), &*reply.code());
        assert_eq!(given, expected, "{}", self.name);
    }
}
