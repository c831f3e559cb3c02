use http::{HeaderMap, HeaderValue};

use super::TraceContext;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The headers of a request, as the context has them.
fn told(headers: &[(&'static str, &str)]) -> Option<(String, String)> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let context = TraceContext::of_request(&map)?;
    assert_eq!(
        TraceContext::of_stored(context.as_str()),
        Some(context.clone())
    );
    Some((context.traceparent().into(), context.tracestate().into()))
}

fn with_state(state: &str) -> Option<(String, String)> {
    Some((PARENT.into(), state.into()))
}

#[test]
fn what_is_no_traceparent_is_ignored() {
    for parent in [
        "",
        "00",
        "0af7651916cd43dd8448eb211c80319c",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c8031\u{e9}c-b7ad6b7169203331-01",
    ] {
        assert_eq!(told(&[("traceparent", parent)]), None, "{parent}");
    }
    assert_eq!(told(&[("tracestate", "a=1")]), None);
    assert_eq!(
        told(&[("traceparent", PARENT), ("traceparent", PARENT)]),
        None
    );
}

#[test]
fn whether_it_is_sampled_is_kept_and_a_later_version_is_read_as_far_as_it_is_known() {
    let parent =
        |flags: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
    for (flags, kept) in [("00", "00"), ("01", "01"), ("03", "01"), ("fe", "00")] {
        let found = told(&[("traceparent", &parent(flags))]);
        assert_eq!(found, Some((parent(kept), String::new())), "{flags}");
    }
    let later = format!("cc{}-what-comes-then", &PARENT[2..]);
    assert_eq!(told(&[("traceparent", &later)]), with_state(""));
}

#[test]
fn a_state_is_kept_within_bounds() {
    let told = |states: &[&'static str]| {
        let mut headers = vec![("traceparent", PARENT)];
        headers.extend(states.iter().map(|state| ("tracestate", *state)));
        told(&headers)
    };
    assert_eq!(told(&["a=1, b=2"]), with_state("a=1, b=2"));
    assert_eq!(told(&["a=1", "b=2"]), with_state("a=1,b=2"));
    assert_eq!(told(&["a=\u{e9}"]), with_state(""));
    let fits: &str = Box::leak("a".repeat(512).into_boxed_str());
    assert_eq!(told(&[fits]), with_state(fits));
    assert_eq!(told(&[fits, "b=2"]), with_state(""));
    let context = TraceContext::new(PARENT, "a=secret").unwrap();
    assert!(!format!("{context:?}").contains("secret"));
}
