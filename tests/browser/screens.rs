use chrome::{Chrome, Screen};

use crate::axe;
use crate::site::{Site, WIDE};

const SCREENS: [Screen; 4] = [
    WIDE,
    Screen {
        width: 1280,
        dark: true,
    },
    Screen {
        width: 320,
        dark: false,
    },
    Screen {
        width: 320,
        dark: true,
    },
];

const PAGES: [&str; 8] = [
    "", "events", "dead", "refused", "handlers", "settings", "bulk", "sign-in",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_can_be_used_with_data_and_traffic() {
    let site = Site::filled().await;
    let (dead, _traffic) = (site.dead().await, site.traffic());
    assert!(site.fixture.receiver.pause("crm"));
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;
    let mut pages: Vec<String> = PAGES.map(str::to_owned).to_vec();
    pages.extend([
        format!("events/{dead}"),
        format!("events/{dead}/revealed"),
        "dead/revealed".into(),
        "events?q=state%3Adead".into(),
        "events?q=colour%3Ared".into(),
        "events?q=handler%3Anobody".into(),
        "bulk?q=handler%3Acrm&action=retry".into(),
        "bulk?q=error%3Apanicked&action=discard".into(),
        "refused?reason=signature".into(),
    ]);
    for page in pages {
        tab.go(&site.url(&page)).await;
        for screen in SCREENS {
            tab.look(screen).await;
            let what = format!("{page} {screen:?}");
            axe::check(&tab, &what).await;
            let [wide, room]: [i64; 2] = tab
                .js("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
                .await;
            assert!(wide <= room, "{what}: {wide} of {room}");
            assert_eq!(tab.console(), [""; 0], "{what}");
        }
        tab.look(WIDE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_can_be_used_while_it_is_empty() {
    let site = Site::empty().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    tab.send_header(crate::fixture::ACCESS, "read").await;
    for page in PAGES.iter().filter(|page| **page != "bulk") {
        tab.go(&site.url(page)).await;
        for screen in SCREENS {
            tab.look(screen).await;
            axe::check(&tab, &format!("{page} {screen:?}")).await;
        }
        assert_eq!(tab.console(), [""; 0], "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_dialog_can_be_used() {
    let site = Site::filled().await;
    let dead = site.dead().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;
    tab.go(&site.url(&format!("events/{dead}"))).await;
    tab.click("[popovertarget=discard]").await;
    tab.until("document.querySelector('[popover]:popover-open')")
        .await;
    for screen in SCREENS {
        tab.look(screen).await;
        axe::check(&tab, &format!("{screen:?}")).await;
    }
    tab.look(WIDE).await;
    // What comes meanwhile does not close it.
    let rows = "document.querySelectorAll('[data-live=resource] tr').length";
    let before: usize = tab.js(rows).await;
    site.deliver(64, "fails: another one of the same call")
        .await;
    tab.until(&format!("{rows} > {before}")).await;
    tab.until("document.querySelector('[popover]:popover-open')")
        .await;
    tab.click("#discard form button").await;
    tab.until("document.title.startsWith('Events')").await;
    assert_eq!(tab.console(), [""; 0]);
    let gone = format!("fetch('events/{dead}').then((page) => page.status)");
    assert_eq!(tab.js::<u16>(&gone).await, 404);
}
