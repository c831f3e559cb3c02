use http::StatusCode;
use voipbin_receiver::inbox::RecordState;
use voipbin_receiver::{BuildErrorKind, Receiver, catalog};

use crate::fixture::{ACCESS, Fixture, TOKEN, acting, ask, bearer, local, pages, revealing};

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
];

const DEAD: &str =
    r#"{"type":"call_hangup","data":{"id":"fails-1","source":{"target":"+15559876543"}}}"#;

async fn fixture() -> (Fixture, u64) {
    let fixture = Fixture::new().await;
    fixture.deliver(DEAD).await;
    let id = fixture.latest(RecordState::Dead).await;
    (fixture, id)
}

#[tokio::test]
async fn without_access_every_route_and_method_is_refused() {
    let (fixture, id) = fixture().await;
    let mut paths = pages(id);
    paths.extend(revealing(id));
    paths.extend(acting(id));
    paths.extend(["/sign-out", "/none", "/events/x", "/assets/none"].map(str::to_owned));
    for path in paths {
        for method in METHODS {
            let page = fixture.ask(method, &path, &[], "").await;
            assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            for told in ["call_hangup", "fails-1", "crm", "the-label", "blue"] {
                assert!(!page.text.contains(told), "{method} {path} tells {told}");
            }
        }
    }
    assert!(fixture.audit.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_may_read_sees_every_page_and_nothing_of_what_is_hidden() {
    let (fixture, id) = fixture().await;
    for path in pages(id) {
        let page = fixture.get(&path, "read").await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for hidden in ["fails-1", "15559876543", "cannot store"] {
            assert!(!page.text.contains(hidden), "{path} tells {hidden}");
        }
        let head = fixture.ask("HEAD", &path, &[(ACCESS, "read")], "").await;
        assert_eq!(
            (head.status, head.text.as_str()),
            (StatusCode::OK, ""),
            "{path}"
        );
    }
    assert!(fixture.audit.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_may_read_reveals_nothing_and_changes_nothing() {
    let (fixture, id) = fixture().await;
    for path in revealing(id) {
        let page = fixture.get(&path, "read").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
    }
    let mut paths = pages(id);
    paths.extend(revealing(id));
    for path in paths.iter().filter(|path| *path != "/sign-in") {
        for method in METHODS
            .iter()
            .filter(|method| !["GET", "HEAD"].contains(method))
        {
            let page = fixture.ask(method, path, &[(ACCESS, "read")], "").await;
            assert_eq!(
                page.status,
                StatusCode::METHOD_NOT_ALLOWED,
                "{method} {path}"
            );
            assert_eq!(page.header("allow"), "GET, HEAD", "{path}");
        }
    }
    assert!(fixture.audit.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_revealed_is_told_to_observers() {
    let (fixture, id) = fixture().await;
    for path in revealing(id) {
        fixture.audit.lock().unwrap().clear();
        let page = fixture.get(&path, "reveal").await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        let told = if path == "/export" {
            "export"
        } else {
            "reveal"
        };
        assert_eq!(*fixture.audit.lock().unwrap(), [told], "{path}");
    }
    let page = fixture
        .get(&format!("/events/{id}/revealed"), "reveal")
        .await;
    assert!(page.text.contains("+15559876543"));
    assert!(page.text.contains("cannot store"));
    assert!(
        fixture
            .get("/dead/revealed", "reveal")
            .await
            .text
            .contains("cannot store")
    );
}

#[tokio::test]
async fn the_token_opens_everything_by_a_header_or_a_sign_in() {
    let (fixture, id) = fixture().await;
    let path = format!("/events/{id}/revealed");
    let [(name, value)] = bearer(TOKEN);
    let page = fixture.ask("GET", &path, &[(name, &value)], "").await;
    assert_eq!(page.status, StatusCode::OK);

    let wrong = fixture
        .ask(
            "POST",
            "/sign-in",
            &[],
            "token=a-token-for-those-who-may-see-i",
        )
        .await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.header("set-cookie"), "");
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
    // Else browsers would send `Origin: null` with the form.
    assert!(
        wrong
            .text
            .contains("<meta name=\"referrer\" content=\"same-origin\">")
    );

    let form = format!("token={TOKEN}");
    let signed_in = fixture
        .ask("POST", "/ops/inspector/sign-in", &[], &form)
        .await;
    assert_eq!(signed_in.status, StatusCode::SEE_OTHER);
    assert_eq!(signed_in.header("location"), "./");
    let cookie = signed_in.header("set-cookie");
    assert!(!cookie.contains(TOKEN));
    let pair = cookie.split(';').next().unwrap();
    let page = fixture.ask("GET", &path, &[("cookie", pair)], "").await;
    assert_eq!(page.status, StatusCode::OK);

    let signs_out = [("cookie", pair), ("sec-fetch-site", "same-origin")];
    let signed_out = fixture.ask("POST", "/sign-out", &signs_out, "").await;
    assert_eq!(signed_out.status, StatusCode::SEE_OTHER);
    assert!(signed_out.header("set-cookie").contains("Max-Age=0"));
    // A page elsewhere signs nobody out.
    let elsewhere = [("cookie", pair), ("sec-fetch-site", "cross-site")];
    let refused = fixture.ask("POST", "/sign-out", &elsewhere, "").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.header("set-cookie"), "");
}

#[tokio::test]
async fn on_loopback_this_machine_reads_and_nobody_else() {
    let receiver = receiver();
    let inspector = receiver.inspector().loopback_only().build().unwrap();
    assert_eq!(
        ask(&inspector, local("localhost:5001")).await.status,
        StatusCode::OK
    );
    // A name that leads here by DNS, for a page that somebody has open.
    let rebound = ask(&inspector, local("evil.example:5001")).await;
    assert_eq!(rebound.status, StatusCode::FORBIDDEN);
    let mut proxied = local("localhost:5001");
    proxied
        .headers_mut()
        .insert("x-forwarded-for", "203.0.113.1".parse().unwrap());
    assert_eq!(ask(&inspector, proxied).await.status, StatusCode::FORBIDDEN);
    let mut unknown = local("localhost:5001");
    unknown.extensions_mut().clear();
    assert_eq!(ask(&inspector, unknown).await.status, StatusCode::FORBIDDEN);
    // There is nothing to sign in with.
    let mut reveals = local("localhost");
    *reveals.uri_mut() = "/dead/revealed".parse().unwrap();
    assert_eq!(ask(&inspector, reveals).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_inspector_that_nobody_may_see_or_that_is_the_second_is_not_built() {
    let receiver = receiver();
    let kind = |built: Result<_, voipbin_receiver::BuildError>| built.map(drop).unwrap_err().kind();
    assert_eq!(
        kind(receiver.inspector().build()),
        BuildErrorKind::InspectorAccess
    );
    assert_eq!(
        kind(receiver.inspector().token("short").build()),
        BuildErrorKind::BadSetting
    );
    assert_eq!(
        kind(receiver.inspector().token(" padded-with-blanks ").build()),
        BuildErrorKind::BadSecret
    );
    let origin = |origin: &str| {
        receiver
            .inspector()
            .token(TOKEN)
            .public_origin(origin)
            .build()
    };
    for bad in [
        "ops.example.com",
        "https://ops.example.com/x",
        "ftp://a",
        "https://u@a",
        "",
    ] {
        assert_eq!(kind(origin(bad)), BuildErrorKind::BadSetting, "{bad}");
    }
    drop(origin("https://ops.example.com").unwrap());
    assert_eq!(
        kind(receiver.inspector().token(TOKEN).build()),
        BuildErrorKind::InspectorAccess
    );
}

fn receiver() -> Receiver {
    support::builder()
        .on(catalog::Any, || async {})
        .build()
        .unwrap()
}

#[tokio::test]
async fn only_who_may_act_has_an_event_handled_again_or_discards_it() {
    let (fixture, id) = fixture().await;
    let [retry, discard, ..] = &acting(id)[..] else {
        panic!("no event");
    };
    for access in ["read", "reveal"] {
        for path in &acting(id) {
            let page = fixture.ask("POST", path, &[(ACCESS, access)], "").await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{access} {path}");
        }
        let page = fixture.get(&format!("/events/{id}"), access).await;
        assert!(!page.text.contains("/retry") && !page.text.contains("/discard"));
    }
    let page = fixture.get("/bulk", "reveal").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let act = [(ACCESS, "act")];
    for path in [retry, discard] {
        let page = fixture.ask("GET", path, &act, "").await;
        assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        // A page elsewhere that has a browser send it.
        let elsewhere = [(ACCESS, "act"), ("sec-fetch-site", "cross-site")];
        let page = fixture.ask("POST", path, &elsewhere, "").await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
    }
    let records = fixture.receiver.records().unwrap();
    let record = records.get(id.to_string().parse().unwrap()).await.unwrap();
    assert_eq!(record.unwrap().state, RecordState::Dead);
    assert!(fixture.audit.lock().unwrap().is_empty());

    let page = fixture.get(&format!("/events/{id}"), "act").await;
    assert!(
        page.text.contains(&format!("../events/{id}/retry")),
        "{}",
        page.text
    );
    let retried = fixture.ask("POST", retry, &act, "").await;
    assert_eq!(retried.status, StatusCode::SEE_OTHER);
    let place = retried.header("location").strip_prefix("../..").unwrap();
    let replay = fixture.get(place, "act").await;
    assert!(
        replay.text.contains("Replay of"),
        "{place}: {}",
        replay.text
    );
    // Its dead letters were replayed before.
    let again = fixture.ask("POST", retry, &act, "").await;
    assert_eq!(again.status, StatusCode::CONFLICT);

    let discarded = fixture.ask("POST", discard, &act, "").await;
    assert_eq!(discarded.status, StatusCode::SEE_OTHER);
    assert_eq!(discarded.header("location"), "../../events");
    let gone = fixture.get(&format!("/events/{id}"), "act").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let again = fixture.ask("POST", discard, &act, "").await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(*fixture.audit.lock().unwrap(), ["retry", "discard"]);
}

#[tokio::test]
async fn a_dead_letter_in_memory_is_handled_again_too() {
    let fixture = Fixture::in_memory();
    fixture.deliver(DEAD).await;
    let id = fixture.latest(RecordState::Dead).await;
    let retried = fixture
        .ask(
            "POST",
            &format!("/events/{id}/retry"),
            &[(ACCESS, "act")],
            "",
        )
        .await;
    assert_eq!(retried.status, StatusCode::SEE_OTHER);
    // It fails again, and is a dead letter of its own.
    support::within(async {
        while fixture.receiver.stats().dead < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_ne!(fixture.latest(RecordState::Dead).await, id);
}
