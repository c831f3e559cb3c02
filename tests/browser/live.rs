use chrome::Chrome;
use futures_util::StreamExt;
use voipbin_receiver::Origin;

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
async fn what_somebody_uses_stays_and_is_brought_up_to_date_when_they_leave() {
    let site = Site::filled().await;
    let dead = site.dead().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;
    tab.go(&site.url(&format!("events/{dead}"))).await;
    tab.until("document.querySelector('#live [role=status]').textContent === 'Live'")
        .await;
    let region = "document.querySelector('[data-live=event]')";
    tab.js::<bool>(&format!(
        "getSelection().selectAllChildren({region}) ?? true"
    ))
    .await;
    let rows = "document.querySelectorAll('[data-live=resource] tr').length";
    let before: usize = tab.js(rows).await;
    let records = site.fixture.receiver.records().unwrap();
    records
        .replay(dead.to_string().parse().unwrap(), None)
        .await
        .unwrap();
    tab.until(&format!("{rows} > {before}")).await;
    let is_new = format!("{region}.textContent.includes('Replayed as')");
    assert!(!tab.js::<bool>(&is_new).await);
    assert!(!tab.js::<bool>("getSelection().isCollapsed").await);
    tab.js::<bool>("getSelection().removeAllRanges() ?? true")
        .await;
    tab.until(&is_new).await;
    assert_eq!(tab.console(), [""; 0]);
}

/// A page has so many rows, however many events there are.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_are_gone_through_in_pages_of_the_same_size() {
    const EVENTS: u64 = 10_000;
    let site = Site::empty().await;
    let receiver = &site.fixture.receiver;
    let numbers = futures_util::stream::iter(0..EVENTS);
    let deliver = |number| async move {
        let body = format!(r#"{{"type":"call_hangup","data":{{"id":"c-{number}"}}}}"#);
        receiver.accept(body, Origin::History).await.unwrap();
    };
    numbers.for_each_concurrent(200, deliver).await;
    site.fixture.settled().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    tab.send_header(crate::fixture::ACCESS, "read").await;
    tab.go(&site.url("events")).await;
    let walk = "(async () => {
        let [place, seen, nodes] = [location.href, [], 0];
        while (place) {
            const text = await (await fetch(place)).text();
            const page = new DOMParser().parseFromString(text, 'text/html');
            for (const row of page.querySelectorAll('tr[data-event]')) seen.push(Number(row.dataset.event));
            nodes = Math.max(nodes, page.querySelectorAll('*').length);
            const older = page.querySelector('a[rel=next]')?.getAttribute('href');
            place = older && new URL(older, place).href;
        }
        const falls = seen.every((id, at) => at === 0 || id < seen[at - 1]);
        return [seen.length, falls ? 1 : 0, nodes];
    })()";
    let [seen, falls, nodes]: [u64; 3] = tab.js(walk).await;
    assert_eq!((seen, falls), (EVENTS, 1), "each once, the latest first");
    assert!(nodes < 1_000, "{nodes}");

    // What comes moves nobody who has scrolled.
    tab.until("document.querySelector('#live [role=status]').textContent === 'Live'")
        .await;
    tab.js::<bool>("(scrollTo(0, 600), true)").await;
    let before: [f64; 2] = tab.js("[scrollY, document.body.scrollHeight]").await;
    assert!(before[0] > 0.0);
    site.deliver(900, "well").await;
    tab.until(&format!("{LATEST} === {}", EVENTS + 1)).await;
    let after: [f64; 2] = tab.js("[scrollY, document.body.scrollHeight]").await;
    assert_eq!(after, before);
    let nodes: usize = tab.js("document.querySelectorAll('*').length").await;
    assert!(nodes < 1_000, "{nodes}");
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
