use http::StatusCode;

use crate::fixture::{ACCESS, Fixture};

#[tokio::test]
async fn parameters_have_bounds() {
    let fixture = Fixture::new().await;
    let long = "x".repeat(501);
    for (path, status) in [
        (format!("/events?q=type%3A{long}"), StatusCode::OK),
        (
            format!("/events?q={}", "x".repeat(3000)),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        ("/events?q=colour%3Ared".to_owned(), StatusCode::OK),
        ("/events?before=x".to_owned(), StatusCode::BAD_REQUEST),
        ("/events?before=-1".to_owned(), StatusCode::BAD_REQUEST),
        (
            "/events?before=99999999999999999999".to_owned(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "/events?before=18446744073709551615".to_owned(),
            StatusCode::OK,
        ),
        ("/events?before=0".to_owned(), StatusCode::OK),
        (
            "/events/18446744073709551615".to_owned(),
            StatusCode::NOT_FOUND,
        ),
        ("/events/0".to_owned(), StatusCode::NOT_FOUND),
        ("/refused?reason=nothing".to_owned(), StatusCode::OK),
    ] {
        let page = fixture.get(&path, "read").await;
        assert_eq!(page.status, status, "{path}");
    }
    let form = format!("token={}", "x".repeat(17 << 10));
    let page = fixture.ask("POST", "/sign-in", &[], &form).await;
    assert_eq!(page.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Whatever is asked, there is an answer, it says what browsers must not do, and nothing fails.
#[tokio::test]
async fn any_path_and_query_is_answered() {
    const PARTS: [&str; 24] = [
        "/",
        "events",
        "dead",
        "refused",
        "revealed",
        "assets",
        "inspector.css",
        "..",
        "%2e%2e",
        "%00",
        "1",
        "0",
        "18446744073709551615",
        "?",
        "q=",
        "type%3A",
        "state%3Adead",
        "&",
        "before=",
        "text%3A",
        "%22",
        "+",
        "since%3A1h",
        "%ff",
    ];
    let fixture = Fixture::new().await;
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..2000 {
        let count = random.usize(0..8);
        let mut path = "/".to_owned();
        for _ in 0..count {
            path.push_str(PARTS[random.usize(0..PARTS.len())]);
        }
        let method = ["GET", "POST", "HEAD"][random.usize(0..3)];
        let form: String = (0..random.usize(0..20)).map(|_| random.char(..)).collect();
        let access = ["none", "read", "reveal", "act"][random.usize(0..4)];
        let page = fixture.ask(method, &path, &[(ACCESS, access)], &form).await;
        assert!(
            !page.status.is_server_error(),
            "{method} {path}: {}",
            page.status
        );
        assert!(
            page.header("content-security-policy")
                .contains("default-src 'none'")
        );
    }
}
