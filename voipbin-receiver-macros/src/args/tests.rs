use syn::parse_str;

use super::*;

/// What was understood, or what was said about it.
fn parse(args: &str) -> std::result::Result<String, Vec<String>> {
    let args: Args = parse_str(args).map_err(|error| {
        error
            .into_iter()
            .map(|one| one.to_string())
            .collect::<Vec<_>>()
    })?;
    let mut parts: Vec<String> = args.events.iter().map(describe).collect();
    if args.options.blocking.is_some() {
        parts.push("blocking".to_owned());
    }
    if let Some(name) = args.options.name {
        parts.push(format!("name {}", name.value()));
    }
    if let Some(attempts) = args.options.attempts {
        parts.push(format!("attempts {attempts}"));
    }
    if let Some(backoff) = args.options.backoff {
        parts.push(format!("backoff {}", backoff.value()));
    }
    if let Some(timeout) = args.options.timeout {
        parts.push(format!("timeout {}", timeout.value()));
    }
    if let Some(concurrency) = args.options.concurrency {
        parts.push(format!("concurrency {concurrency}"));
    }
    if args.options.strict.is_some() {
        parts.push("strict".into());
    }
    if args.options.skip_stale.is_some() {
        parts.push("skip_stale".into());
    }
    Ok(parts.join(", "))
}

fn describe(events: &Events) -> String {
    let kind = match events {
        Events::Catalogue(_) => "event",
        Events::Own(_) => "own",
        Events::Named(_) => "named",
        Events::AllOf(_) => "all of",
        Events::Any(_) | Events::Custom(_) | Events::Fallback(_) => "word",
    };
    format!("{kind} {}", events.tokens().to_token_stream())
}

#[test]
fn every_form_is_understood() {
    for (args, meaning) in [
        ("", ""),
        ("CallHangup", "event CallHangup"),
        ("CallHangup,", "event CallHangup"),
        (
            "CallHangup, CallProgressing",
            "event CallHangup, event CallProgressing",
        ),
        (
            "my::Events, ::other::EVENTS",
            "own my :: Events, own :: other :: EVENTS",
        ),
        ("any", "word any"),
        ("any(Call), any(my::Fax)", "all of Call, all of my :: Fax"),
        ("custom, fallback", "word custom, word fallback"),
        ("\"number_renewed\"", "named \"number_renewed\""),
        (
            "blocking, name = \"crm\", CallHangup",
            "event CallHangup, blocking, name crm",
        ),
        (
            "CallHangup, attempts = 5, backoff = \"1s..1m\", timeout = \"30s\", concurrency = 4",
            "event CallHangup, attempts 5, backoff 1s..1m, timeout 30s, concurrency 4",
        ),
        (
            "strict, CallHangup, skip_stale",
            "event CallHangup, strict, skip_stale",
        ),
    ] {
        assert_eq!(parse(args).as_deref(), Ok(meaning), "{args}");
    }
}

#[test]
fn every_mistake_is_answered_with_the_fix() {
    for (args, answer) in [
        (
            "call_hangup",
            "events are named in PascalCase: `CallHangup`",
        ),
        ("callHangup", "events are named in PascalCase: `CallHangup`"),
        (
            "CALL_HANGUP",
            "events are named in PascalCase: `CallHangup`",
        ),
        (
            "any(web_chat)",
            "resources are named in PascalCase: `WebChat`",
        ),
        (
            "any()",
            "name a resource, `any(Call)`, or write `any` for every event",
        ),
        (
            "any(Call, Message)",
            "one resource each: `any(Call), any(Message)`",
        ),
        ("custom(Call)", "only `any` takes a resource: `any(Call)`"),
        (
            "fallbck",
            "unknown word `fallbck`: did you mean `fallback`?",
        ),
        (
            "blockin",
            "unknown word `blockin`: did you mean `blocking`?",
        ),
        (
            "nmae = \"crm\"",
            "unknown option `nmae`: did you mean `name`?",
        ),
        (
            "colour = 1",
            "unknown option `colour`: the options are `blocking`, `name = \"…\"`, `attempts = 5`, `backoff = \"1s..10m\"`, `timeout = \"30s\"`, `concurrency = 4`, `strict`, `skip_stale`",
        ),
        (
            "type = 1",
            "unknown option `type`: the options are `blocking`, `name = \"…\"`, `attempts = 5`, `backoff = \"1s..10m\"`, `timeout = \"30s\"`, `concurrency = 4`, `strict`, `skip_stale`",
        ),
        (
            "name = 5",
            "`name` takes a string literal: write `name = \"…\"`",
        ),
        (
            "name = NAME",
            "`name` takes a string literal: write `name = \"…\"`",
        ),
        ("name", "`name` takes a value: write `name = \"…\"`"),
        (
            "name = \"a\", name = \"b\"",
            "`name` is given twice: remove one of the two",
        ),
        (
            "attempt = 5",
            "unknown option `attempt`: did you mean `attempts`?",
        ),
        (
            "attempts = -1",
            "`attempts` takes a whole number: write `attempts = 5`",
        ),
        (
            "attempts = \"5\"",
            "`attempts` takes a whole number: write `attempts = 5`",
        ),
        (
            "concurrency = 4u8",
            "`concurrency` takes a whole number: write `concurrency = 4`",
        ),
        (
            "concurrency = 4.5",
            "`concurrency` takes a whole number: write `concurrency = 4`",
        ),
        ("attempts", "`attempts` takes a value: write `attempts = 5`"),
        (
            "timeout = 30",
            "`timeout` takes a string literal: write `timeout = \"30s\"`",
        ),
        (
            "timeout = 30s",
            "`timeout` takes a string literal: write `timeout = \"30s\"`",
        ),
        (
            "timeout = \"1s\", timeout = \"2s\"",
            "`timeout` is given twice: remove one of the two",
        ),
        (
            "attempts = 1, attempts = 1",
            "`attempts` is given twice: remove one of the two",
        ),
        ("blocking = true", "this takes no value: write `blocking`"),
        (
            "blocking, blocking",
            "`blocking` is given twice: remove one of the two",
        ),
        ("\" \"", "the name of the event is empty"),
        (
            "5",
            "expected an event such as `CallHangup`, or a name in quotes",
        ),
        ("CallHangup CallProgressing", "expected `,`"),
    ] {
        assert_eq!(parse(args), Err(vec![answer.to_owned()]), "{args}");
    }
}

#[test]
fn all_mistakes_are_reported_together() {
    for args in [
        "call_hangup, CallHangup, nmae = \"crm\", 5",
        "call_hangup, nmae = \"crm\", CallHangup CallProgressing",
    ] {
        assert_eq!(
            parse(args).map_err(|answers| answers.len()),
            Err(3),
            "{args}"
        );
    }
}

#[test]
fn no_input_is_a_panic() {
    for args in [
        "=", ",", "name =", "any(", "any(5)", "::", "a::", "name = ,", "(", "'a", "type",
    ] {
        assert!(parse(args).is_err(), "{args}");
    }
}
