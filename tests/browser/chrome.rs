//! Chromium without a window, as the distribution has it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chromiumoxide::browser::{Browser, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams,
};
use chromiumoxide::cdp::browser_protocol::log::EventEntryAdded;
use chromiumoxide::cdp::browser_protocol::network::{Headers, SetExtraHttpHeadersParams};
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::js_protocol::runtime::{
    EvaluateParams, EventConsoleApiCalled, EventExceptionThrown,
};
use chromiumoxide::page::{Page, ScreenshotParams};
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use support::within;
use tempfile::TempDir;

/// A browser of a test's own.
pub struct Chrome {
    browser: Browser,
    _profile: TempDir,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// In CSS pixels.
    pub width: i64,
    /// Instead of light.
    pub dark: bool,
}

/// A page of it. What its console tells is gathered.
pub struct Tab {
    page: Page,
    console: Arc<Mutex<Vec<String>>>,
}

impl Chrome {
    /// Starts it.
    ///
    /// # Panics
    ///
    /// When there is none, or it does not start.
    pub async fn start() -> Self {
        let program = Path::new("/usr/bin/chromium");
        assert!(
            program.exists(),
            "this test needs chromium; `.ci/test` installs it"
        );
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(program)
            .user_data_dir(profile.path())
            // Containers have no room for one, and the pages are the tests' own.
            .no_sandbox()
            .arg("disable-dev-shm-usage")
            .launch_timeout(Duration::from_secs(60))
            .viewport(None)
            .build()
            .unwrap();
        let (browser, mut handler) = Browser::launch(config).await.unwrap();
        // It tells of messages that it does not know, too.
        tokio::spawn(async move { while handler.next().await.is_some() {} });
        Self {
            browser,
            _profile: profile,
        }
    }

    /// Opens an empty page.
    pub async fn tab(&self, screen: Screen) -> Tab {
        let page = self.browser.new_page("about:blank").await.unwrap();
        let console = Arc::new(Mutex::new(Vec::new()));
        let entries = page.event_listener::<EventEntryAdded>().await.unwrap();
        gather(entries, &console, |entry| {
            let entry = &entry.entry;
            Some(format!("{:?}: {} {:?}", entry.level, entry.text, entry.url))
        });
        let calls = page
            .event_listener::<EventConsoleApiCalled>()
            .await
            .unwrap();
        gather(calls, &console, |call| {
            Some(format!("{:?}: {:?}", call.r#type, call.args))
        });
        let thrown = page.event_listener::<EventExceptionThrown>().await.unwrap();
        gather(thrown, &console, |thrown| {
            Some(format!("{:?}", thrown.exception_details))
        });
        page.enable_log().await.unwrap();
        page.enable_runtime().await.unwrap();
        let tab = Tab { page, console };
        tab.look(screen).await;
        tab
    }
}

fn gather<E: Send + Sync + 'static>(
    events: impl Stream<Item = Arc<E>> + Send + Unpin + 'static,
    into: &Arc<Mutex<Vec<String>>>,
    tell: impl Fn(&E) -> Option<String> + Send + 'static,
) {
    let (mut events, into) = (events, Arc::clone(into));
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            into.lock().unwrap().extend(tell(&event));
        }
    });
}

impl Tab {
    /// Changes how it is looked at.
    pub async fn look(&self, screen: Screen) {
        let scheme = if screen.dark { "dark" } else { "light" };
        let scheme = MediaFeature::new("prefers-color-scheme", scheme);
        self.page
            .emulate_media_features(vec![scheme])
            .await
            .unwrap();
        let metrics = SetDeviceMetricsOverrideParams::new(screen.width, 800, 1.0, false);
        self.page.execute(metrics).await.unwrap();
    }

    /// Sends this header with each request.
    pub async fn send_header(&self, name: &str, value: &str) {
        let headers = Headers::new(serde_json::json!({ name: value }));
        self.page
            .execute(SetExtraHttpHeadersParams::new(headers))
            .await
            .unwrap();
    }

    /// Goes to a page, and waits until it is there with all that it takes.
    pub async fn go(&self, url: &str) {
        within(self.page.goto(url)).await.unwrap();
        self.until("document.readyState === 'complete'").await;
    }

    /// The value of an expression, awaited where it is a promise.
    pub async fn js<T: DeserializeOwned>(&self, expression: &str) -> T {
        let evaluate = EvaluateParams::builder()
            .expression(expression)
            .await_promise(true)
            .return_by_value(true)
            .build()
            .unwrap();
        let evaluated = within(self.page.evaluate_expression(evaluate)).await;
        let evaluated = evaluated.unwrap_or_else(|error| panic!("{expression:.200}: {error}"));
        evaluated.into_value().unwrap()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, expression: &str) {
        let expression = format!("Boolean({expression})");
        let holds = async {
            loop {
                let evaluate = EvaluateParams::new(expression.as_str());
                // While a page goes there is nothing to evaluate it in.
                if let Ok(value) = self.page.evaluate_expression(evaluate).await
                    && value.into_value().unwrap_or(false)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let held = tokio::time::timeout(Duration::from_secs(60), holds).await;
        if held.is_err() {
            let page = self.page.content().await.unwrap_or_default();
            panic!("it does not come to be that {expression}; {page}");
        }
    }

    /// Presses a key, where the focus is.
    pub async fn press(&self, key: &str) {
        let body = self.page.find_element("body").await.unwrap();
        body.press_key(key).await.unwrap();
    }

    /// Types a text, where the focus is.
    pub async fn write(&self, text: &str) {
        let body = self.page.find_element("body").await.unwrap();
        body.type_str(text).await.unwrap();
    }

    /// Clicks what a selector of CSS finds.
    pub async fn click(&self, selector: &str) {
        let found = self.page.find_element(selector).await;
        found
            .unwrap_or_else(|error| panic!("{selector}: {error}"))
            .click()
            .await
            .unwrap();
    }

    /// The page, as a picture.
    pub async fn picture(&self) -> Vec<u8> {
        let params = ScreenshotParams::builder()
            .format(CaptureScreenshotFormat::Png)
            .build();
        self.page.screenshot(params).await.unwrap()
    }

    /// What its console has told since this was asked last: errors and all else.
    pub fn console(&self) -> Vec<String> {
        std::mem::take(&mut *self.console.lock().unwrap())
    }
}
