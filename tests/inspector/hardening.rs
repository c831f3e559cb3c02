use voipbin_receiver::inbox::RecordState;

use crate::fixture::{Fixture, pages, revealing};

#[tokio::test]
async fn every_response_says_what_browsers_must_not_do() {
    let fixture = Fixture::new().await;
    fixture
        .deliver(r#"{"type":"call_hangup","data":{"id":"fails-1"}}"#)
        .await;
    let id = fixture.latest(RecordState::Dead).await;
    let mut paths = pages(id);
    paths.extend(revealing(id));
    paths.extend(["/none", "/events?before=x"].map(str::to_owned));
    for path in paths {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            for access in ["none", "read", "act"] {
                let page = fixture
                    .ask(method, &path, &[(crate::fixture::ACCESS, access)], "")
                    .await;
                let policy = page.header("content-security-policy");
                for directive in [
                    "default-src 'none'",
                    "script-src 'self'",
                    "style-src 'self'",
                    "img-src 'self'",
                    "connect-src 'self'",
                    "frame-ancestors 'none'",
                    "base-uri 'none'",
                    "form-action 'self'",
                ] {
                    assert!(policy.contains(directive), "{method} {path}: {directive}");
                }
                assert!(!policy.contains("unsafe"));
                for (name, value) in [
                    ("x-content-type-options", "nosniff"),
                    ("cache-control", "no-store"),
                    ("referrer-policy", "no-referrer"),
                    ("x-frame-options", "DENY"),
                ] {
                    assert_eq!(page.header(name), value, "{method} {path}");
                }
                // The policy forbids them, and there are none.
                let text = page.text.replace("<script type=\"module\" src=\"", "");
                for inline in [
                    "<script",
                    "<style",
                    " style=",
                    " onclick=",
                    "src=\"http",
                    "href=\"http",
                ] {
                    assert!(!text.contains(inline), "{path}: {inline}");
                }
            }
        }
    }
}

#[tokio::test]
async fn files_have_names_of_their_content_and_browsers_keep_them() {
    let fixture = Fixture::in_memory();
    let page = fixture.get("/", "read").await.text;
    let files: Vec<&str> = page.split("\"./assets/").skip(1).collect();
    assert_eq!(files.len(), 3);
    for file in files {
        let path = format!("/assets/{}", file.split('"').next().unwrap());
        let asset = fixture.get(&path, "read").await;
        assert_eq!(
            asset.header("cache-control"),
            "private, max-age=31536000, immutable"
        );
        assert_eq!(asset.header("x-content-type-options"), "nosniff");
        assert!(fixture.get(&path, "none").await.status == 401, "{path}");
        let (stem, digest) = path.rsplit_once('-').unwrap();
        let other = fixture
            .get(&format!("{stem}-0{}", &digest[1..]), "read")
            .await;
        assert!(digest.starts_with('0') || other.status == 404, "{path}");
    }
}

/// What would run, or end a tag or an attribute, if it came through as it is.
const CORPUS: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</pre></dd></table><iframe srcdoc=x>",
    "javascript:alert(1)",
    "\" autofocus onfocus=alert(1) x=\"",
    "<!--<script>-->",
    "]]><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "<a href=javascript:alert(1)>x</a>",
    "<meta http-equiv=refresh content=0>",
];

/// The markup that a page would have of a text if nothing were escaped.
fn is_raw(page: &str, text: &str) -> bool {
    text.contains(['<', '"']) && page.contains(text)
}

#[tokio::test]
async fn what_a_sender_or_a_handler_writes_is_never_markup() {
    let fixture = Fixture::new().await;
    for text in CORPUS {
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let (quoted, id) = (json(text), json(&format!("fails {text}")));
        // Its handler fails with the body as its error. The type, the id and a number are the
        // sender's.
        let bodies = [
            format!(r#"{{"type":{quoted},"data":{{"id":{id},"source":{{"target":{quoted}}}}}}}"#),
            format!(r#"{{"type":"call_hangup","data":{{"id":{id}}}}}"#),
            format!(r#"{{"custom":{id}}}"#),
            format!(r#"[{id}]"#),
        ];
        for body in bodies {
            fixture.deliver_as(body, text).await;
        }
        fixture
            .deliver_forged(&format!(r#"{{"type":{quoted}}}"#))
            .await;
    }
    let last = fixture.latest(RecordState::Dead).await;
    let mut paths: Vec<String> = (1..=last)
        .flat_map(|id| [format!("/events/{id}"), format!("/events/{id}/revealed")])
        .collect();
    paths.extend(pages(last));
    // The bytes of an export are nobody's page.
    paths.extend(revealing(last).into_iter().filter(|path| path != "/export"));
    let queries = CORPUS.map(|text| {
        let query: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("/events?q={query}")
    });
    paths.extend(queries);
    paths.extend(CORPUS.map(|text| {
        let query: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
        format!("/events?q=type%3A%22{query}%22&before=9")
    }));
    let mut seen = 0;
    for path in paths {
        let page = fixture.get(&path, "act").await;
        for text in CORPUS {
            assert!(!is_raw(&page.text, text), "{path}: {text}");
            seen += usize::from(page.text.contains("alert(1)"));
        }
        assert!(!page.text.contains("href=\"javascript:"), "{path}");
    }
    // It was there, as text.
    assert!(seen > 100, "{seen}");
}
