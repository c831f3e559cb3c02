//! The pictures of the page about the inspector: `PICTURES=overwrite` writes them anew.

use std::path::Path;

use chrome::{Chrome, Screen};

use crate::site::{Site, WIDE};

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_the_page_can_be_taken() {
    let site = Site::filled().await;
    let dead = site.dead().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(WIDE).await;
    site.sign_in(&tab).await;
    let dark = Screen { dark: true, ..WIDE };
    let event = format!("events/{dead}");
    for (name, path, screen) in [
        ("now", "", WIDE),
        ("events", "events", WIDE),
        ("event", event.as_str(), dark),
        ("bulk", "bulk?q=handler%3Acrm&action=retry", dark),
    ] {
        tab.look(screen).await;
        tab.go(&site.url(path)).await;
        let picture = tab.picture().await;
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() > 10_000,
            "{name}"
        );
        if std::env::var("PICTURES").is_ok_and(|value| value == "overwrite") {
            let place = Path::new(env!("CARGO_MANIFEST_DIR"));
            let place = place.join("../../voipbin-receiver/docs/inspector");
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join(format!("{name}.png")), picture).unwrap();
        }
    }
}
