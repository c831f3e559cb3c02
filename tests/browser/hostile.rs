use chrome::Chrome;

use crate::site::{Site, WIDE};

/// What would run in a page that took it for markup.
const CORPUS: [&str; 9] = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror=window.pwned=1>",
    "\"><svg/onload=window.pwned=1>",
    "' autofocus onfocus=window.pwned=1 x='",
    "</title></pre></table><script>window.pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "javascript:window.pwned=1",
    "<a href=javascript:window.pwned=1 id=go>x</a>",
    "\r\nevent: page\r\ndata: <img src=x onerror=window.pwned=1>",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_sender_or_a_handler_writes_runs() {
    let site = Site::empty().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;
    tab.go(&site.url("events")).await;
    for text in CORPUS {
        let json = |text: &str| serde_json::to_string(text).unwrap();
        let (quoted, id) = (json(text), json(&format!("fails {text}")));
        site.fixture
            .deliver(format!(
                r#"{{"type":{quoted},"data":{{"id":{id},"note":{quoted}}}}}"#
            ))
            .await;
        site.fixture
            .deliver_forged(&format!(r#"{{"type":{quoted}}}"#))
            .await;
    }
    let last = site.dead().await;
    // By the stream first.
    tab.until(&format!(
        "Number(document.querySelector('tr[data-event]')?.dataset.event) === {last}"
    ))
    .await;
    let mut pages = vec!["".to_owned(), "refused".into(), "dead/revealed".into()];
    pages.extend((1..=last).map(|id| format!("events/{id}/revealed")));
    pages.extend((1..=last).map(|id| format!("events/{id}")));
    for page in pages {
        tab.go(&site.url(&page)).await;
        assert!(!tab.js::<bool>("'pwned' in window").await, "{page}");
        // Neither does anything try to that the policy has to stop.
        assert_eq!(tab.console(), [""; 0], "{page}");
    }
}
