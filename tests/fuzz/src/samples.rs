//! What mutations begin with: the bodies of `tests/fixtures`, in the form that each property takes,
//! and what they do not show.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::signature::signed;

const SECRET: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz012-_9";

pub(crate) fn of(property: &str) -> Vec<Vec<u8>> {
    match property {
        "edge" => edge(),
        "envelope" | "resource" => bodies(),
        "signature" => signature(),
        "time" => times(),
        "forwarded" => forwarded(),
        other => panic!("no samples for {other}"),
    }
}

fn fixtures() -> Vec<Vec<u8>> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")];
    let mut paths = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => paths.push(path),
            }
        }
    }
    // In an order that does not depend on the file system.
    paths.sort();
    let read = |path| fs::read(path).unwrap().trim_ascii_end().to_vec();
    paths.into_iter().map(read).collect()
}

fn bodies() -> Vec<Vec<u8>> {
    let mut bodies = fixtures();
    bodies.extend(
        [
            "",
            "\u{feff}{\"type\":\"t\",\"data\":{\"id\":\"x\"}}",
            r#"{"data":{"id":"\u0061"},"type":"call\u005fhangup"}"#,
            r#"{"type":"a","data":{"id":"x","id":"y"},"data":1}"#,
            r#"{"type":"call_hangup","data":{"\ud800":1,"id":"x"}}"#,
        ]
        .map(|body| body.as_bytes().to_vec()),
    );
    bodies
}

fn edge() -> Vec<Vec<u8>> {
    let heads = [
        "POST signed",
        "PUT signed cut=10 cut=0 cut=1 trailers",
        "get signed guarded from=203.0.113.9\ncontent-type: text/plain",
        "DELETE unsigned",
        "POST guarded signed from=10.0.0.1\nforwarded: for=203.0.113.9",
        "POST signed unheard\nhost: localhost\nuser-agent: Go-http-client/1.1",
        "POST signed hangs cut=3",
        "POST signed breaks",
        "HEAD signed\ncontent-length: 40",
    ];
    let heads = heads.iter().cycle();
    let of = |(body, head): (Vec<u8>, &&str)| [head.as_bytes(), b"\n\n", &body].concat();
    bodies().into_iter().zip(heads).map(of).collect()
}

fn signature() -> Vec<Vec<u8>> {
    let of = |body: Vec<u8>| {
        let signature = signed(SECRET, &body).unwrap();
        let head = [
            format!("secret: {SECRET}\nsign"),
            format!("secret: \"{SECRET}\"\nsecret: x\nsignature: "),
            format!("secret: 5a1894d4235a24f7361ad58af04064e2\nsecret: {SECRET}\nsignature: "),
        ];
        let head = &head[body.len() % head.len()];
        let value = match head.ends_with("sign") {
            true => &b""[..],
            false => signature.as_bytes(),
        };
        [head.as_bytes(), value, b"\n\n", &body].concat()
    };
    bodies().into_iter().map(of).collect()
}

fn times() -> Vec<Vec<u8>> {
    let mut times: Vec<String> = [
        "2026-08-22T10:30:08.115004902Z",
        "2026-08-22T19:30:00+09:00",
        "2022-05-01 15:10:38.721000",
        "0001-01-01 00:05:04.441160",
        "0002-01-01T00:00:00Z",
        "9999-01-01 00:00:00.000000",
        "9999-12-31T23:59:59Z",
        "-000001-01-01T00:00:00-01:30",
        "2016-12-31T23:59:60Z",
        "20260822T103008Z",
        "1969-12-31T23:59:59.999999999Z",
    ]
    .map(Into::into)
    .into();
    for body in fixtures() {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let fields = body["data"].as_object().into_iter().flatten();
        let is_time = |(name, _): &(&String, &Value)| name.starts_with("tm_");
        let texts = fields.filter(is_time).filter_map(|(_, time)| time.as_str());
        times.extend(texts.map(Into::into));
    }
    times.sort();
    times.dedup();
    times.into_iter().map(Into::into).collect()
}

fn forwarded() -> Vec<Vec<u8>> {
    [
        "198.51.100.1\nexample.org\n192.0.2.0/24\n2001:db8::/32",
        "for=198.51.100.1;proto=https\n, for=6.6.6.6;x=\n192.0.2.7\n::ffff:192.0.2.0/120",
        "x=\"\nlocal\\host\n0.0.0.0/0\n::/0",
        "for=\"[2001:db8::17]:4711\", for=unknown\n\"quoted\"\n192.0.2.7/24",
        "10.0.0.7, 10.0.0.1\n",
    ]
    .map(Into::into)
    .into()
}
