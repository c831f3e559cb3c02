use chrome::Chrome;

use crate::site::{Site, WIDE};

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_leads_everywhere() {
    let site = Site::filled().await;
    let dead = site.dead().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;

    // The first stop leads past the navigation, and every stop is seen.
    tab.go(&site.url("events")).await;
    tab.press("Tab").await;
    tab.until("document.activeElement.className === 'skip'")
        .await;
    tab.until("document.activeElement.getBoundingClientRect().left >= 0")
        .await;
    tab.press("Enter").await;
    tab.until("document.activeElement.id === 'main'").await;
    let mut stops = Vec::new();
    for _ in 0..6 {
        tab.press("Tab").await;
        let stop: [String; 2] = tab
            .js(
                "[document.activeElement.id || document.activeElement.textContent, \
                 getComputedStyle(document.activeElement).outlineStyle]",
            )
            .await;
        assert_eq!(stop[1], "solid", "{stop:?} is not seen");
        stops.push(stop[0].clone());
    }
    assert!(stops.contains(&"q".to_owned()), "{stops:?}");
    assert!(stops.contains(&"Pause".to_owned()), "{stops:?}");

    // A filter, and a page of it.
    tab.js::<bool>("document.getElementById('q').focus() ?? true")
        .await;
    tab.write("state:dead").await;
    tab.press("Enter").await;
    tab.until("location.search.includes('state%3Adead')").await;

    // A dialog, closed and confirmed.
    tab.go(&site.url(&format!("events/{dead}"))).await;
    tab.js::<bool>("document.querySelector('[popovertarget=discard]').focus() ?? true")
        .await;
    tab.press("Enter").await;
    tab.until("document.activeElement.textContent === 'Keep it'")
        .await;
    tab.press("Escape").await;
    tab.until("!document.querySelector('[popover]:popover-open')")
        .await;
    tab.until("document.activeElement.getAttribute('popovertarget') === 'discard'")
        .await;
    tab.js::<bool>("document.querySelector('form[action$=retry] button').focus() ?? true")
        .await;
    tab.press("Enter").await;
    tab.until("document.body.textContent.includes('Replay of')")
        .await;
    assert_eq!(tab.console(), [""; 0]);
}
