use syn::parse_str;

use super::*;

/// The limits of a handler with these options, or what was said about them.
fn limits(options: &str) -> std::result::Result<Limits, Vec<String>> {
    let function = Function::parse(quote::quote!(
        async fn update_crm() {}
    ));
    let Ok(function) = function else {
        return Err(vec!["not a function".to_owned()]);
    };
    parse_str(&format!("CallHangup, {options}"))
        .and_then(|args| handler(args, &function).map(|handler| handler.limits))
        .map_err(|error| error.into_iter().map(|one| one.to_string()).collect())
}

#[test]
fn a_time_is_a_number_with_its_unit() {
    for (text, millis) in [
        ("1ms", 1),
        ("500ms", 500),
        ("30s", 30_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("007s", 7_000),
        ("18446744073709551615ms", u64::MAX),
    ] {
        let found = limits(&format!("timeout = \"{text}\"")).map(|limits| limits.timeout);
        assert_eq!(found, Ok(Some(Duration::from_millis(millis))), "{text}");
    }
}

#[test]
fn a_backoff_is_two_times() {
    let millis = Duration::from_millis;
    for (text, first, longest) in [
        ("1s..10m", 1_000, 600_000),
        ("500ms..500ms", 500, 500),
        ("0s..1h", 0, 3_600_000),
    ] {
        let found = limits(&format!("backoff = \"{text}\"")).map(|limits| limits.backoff);
        assert_eq!(found, Ok(Some((millis(first), millis(longest)))), "{text}");
    }
}

#[test]
fn a_count_is_one_or_more() {
    for (text, count) in [
        ("1", 1),
        ("5", 5),
        ("1_000", 1_000),
        ("0x10", 16),
        ("4294967295", u32::MAX),
    ] {
        let found = limits(&format!("attempts = {text}, concurrency = {text}"))
            .map(|limits| (limits.attempts, limits.concurrency));
        assert_eq!(found, Ok((Some(count), Some(count))), "{text}");
    }
}

#[test]
fn what_is_not_given_is_not_limited() {
    let found = limits("name = \"crm\"")
        .map(|limits| (limits.attempts, limits.timeout, limits.concurrency));
    assert_eq!(found, Ok((None, None, None)));
}

#[test]
fn a_value_that_makes_no_sense_is_answered_with_one_that_does() {
    const UNITS: &str = "`timeout` takes a whole number of `ms`, `s`, `m` or `h`: \"500ms\", \"30s\", \"5m\", \"1h\"";
    for (options, answer) in [
        (
            "attempts = 0",
            "with zero `attempts` the handler could never run: write 1 or more",
        ),
        (
            "concurrency = 0x0",
            "with zero `concurrency` the handler could never run: write 1 or more",
        ),
        ("attempts = 4294967296", "`attempts` is at most 4294967295"),
        (
            "timeout = \"0s\"",
            "with zero `timeout` the handler could never run: write \"1ms\" or more",
        ),
        ("timeout = \"\"", UNITS),
        ("timeout = \"30\"", UNITS),
        ("timeout = \"s\"", UNITS),
        ("timeout = \"30 s\"", UNITS),
        ("timeout = \"-30s\"", UNITS),
        ("timeout = \"1.5s\"", UNITS),
        ("timeout = \"30sec\"", UNITS),
        ("timeout = \"1d\"", UNITS),
        ("timeout = \"٣s\"", UNITS),
        (
            "backoff = \"5s\"",
            "`backoff` takes the first and the longest wait: \"1s..10m\"",
        ),
        (
            "backoff = \"1s..\"",
            "`backoff` takes a whole number of `ms`, `s`, `m` or `h`: \"500ms\", \"30s\", \"5m\", \"1h\"",
        ),
        (
            "backoff = \"10m..1s\"",
            "the first wait of `backoff` is longer than the longest one",
        ),
        (
            "timeout = \"18446744073709551615s\"",
            "`timeout` is longer than can be counted: leave it out for no limit",
        ),
        (
            "timeout = \"99999999999999999999ms\"",
            "`timeout` is longer than can be counted: leave it out for no limit",
        ),
    ] {
        let answers = limits(options).err();
        assert_eq!(answers, Some(vec![answer.to_owned()]), "{options}");
    }
}

#[test]
fn all_limits_are_judged_together() {
    let answers = limits("attempts = 0, timeout = \"soon\", concurrency = 0, name = \"\"").err();
    assert_eq!(answers.map(|answers| answers.len()), Some(4));
}
