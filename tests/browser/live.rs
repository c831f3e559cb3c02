use chrome::Chrome;

use crate::site::{Site, WIDE};

const LATEST: &str = "Number(document.querySelector('tr[data-event]').dataset.event)";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_what_comes_until_it_is_paused() {
    let site = Site::filled().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    tab.send_header(crate::fixture::ACCESS, "read").await;
    tab.go(&site.url("events")).await;
    tab.until("document.querySelector('#live [role=status]').textContent === 'Live'")
        .await;
    let before: u64 = tab.js(LATEST).await;
    site.deliver(900, "well").await;
    tab.until(&format!("{LATEST} === {before} + 1")).await;

    // Where somebody is does not move.
    tab.js::<bool>("document.querySelector('tr[data-event] a').focus() ?? true")
        .await;
    let focused: String = tab.js("document.activeElement.href").await;
    site.deliver(901, "well").await;
    tab.until(&format!("{LATEST} === {before} + 2")).await;
    assert_eq!(
        tab.js::<String>("document.activeElement.href").await,
        focused
    );

    tab.click("#live button").await;
    tab.until("document.querySelector('#live [role=status]').textContent === 'Paused'")
        .await;
    for number in 1000..1060 {
        site.deliver(number, "well").await;
    }
    assert_eq!(tab.js::<u64>(LATEST).await, before + 2);
    tab.click("#live button").await;
    tab.until(&format!("{LATEST} === {before} + 62")).await;
    // 50 rows of 60.
    tab.until("document.querySelector('.missed').textContent === 'Up to 10 missed: look at them'")
        .await;
    tab.click(".missed a").await;
    tab.until("location.search.includes('before=')").await;
    tab.until(&format!("{LATEST} === {before} + 12")).await;
    assert!(
        !tab.js::<bool>("Boolean(document.getElementById('live'))")
            .await,
        "it stays"
    );
    assert_eq!(tab.console(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_goes_on() {
    let site = Site::filled().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    tab.send_header(crate::fixture::ACCESS, "read").await;
    tab.go(&site.url("")).await;
    tab.until("document.querySelector('#live [role=status]').textContent === 'Live'")
        .await;
    tab.js::<bool>("window.kept = true").await;
    let accepted =
        |count: u64| format!("document.querySelector('table td.number').textContent === '{count}'");
    let count = site.fixture.receiver.stats().accepted;
    site.cut();
    site.deliver(900, "well").await;
    tab.until(&accepted(count + 1)).await;
    site.deliver(901, "well").await;
    tab.until(&accepted(count + 2)).await;
    assert!(
        tab.js::<bool>("window.kept").await,
        "the page was not loaded anew"
    );
    // Chromium tells of the connection that broke.
    let console = tab.console();
    assert!(
        console.iter().all(|told| told.contains("net::ERR_")),
        "{console:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_retry_is_followed_and_the_page_can_be_closed() {
    let site = Site::filled().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;
    tab.go(&site.url("dead")).await;
    tab.click("a[href*='action=retry']").await;
    tab.until("document.body.textContent.includes('Nothing has been done yet')")
        .await;
    tab.js::<bool>("(document.getElementById('rate').value = 5) > 0")
        .await;
    tab.click("form[action$=bulk] button").await;
    tab.until("document.querySelector('progress')").await;
    tab.js::<bool>("window.kept = true").await;
    tab.until("document.getElementById('bulk').textContent.includes('it is done')")
        .await;
    assert!(
        tab.js::<bool>("window.kept").await,
        "the page was not loaded anew"
    );
    assert_eq!(tab.console(), [""; 0]);
}
