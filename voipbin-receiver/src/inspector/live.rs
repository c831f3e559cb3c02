//! Open pages, kept up to date by server-sent events: each is the page anew, where something has
//! changed, at most once a second. Who looks at the same page shares the work.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, Stream};
use http::{Method, StatusCode};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::access::Access;
use super::request::Request;
use super::route::Route;
use super::screens;
use super::site::Site;

/// How many pages may be open at once.
pub(super) const STREAMS: usize = 250;

/// How often it is looked whether something has changed.
const TICK: Duration = Duration::from_secs(1);

/// After so much silence something is sent, so that nothing on the way takes it for gone.
const SILENCE: Duration = Duration::from_secs(15);

/// A browser connects again after this, and its access is looked at anew.
const LONGEST: Duration = Duration::from_secs(600);

pub(super) type EventStream = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The pages that are open.
pub(super) struct Live {
    streams: Arc<Semaphore>,
    pages: Mutex<HashMap<PageKey, Weak<Page>>>,
    /// Of this process: what another has sent is not what this one sends.
    process: u64,
}

/// Which page, for whom.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) route: Route,
    pub(super) root: &'static str,
    /// What [`Route::live_query`] leaves of it.
    pub(super) query: String,
    pub(super) access: Access,
}

/// A page that somebody looks at.
#[derive(Default)]
struct Page(AsyncMutex<Option<Rendered>>);

#[derive(Clone)]
struct Rendered {
    version: u64,
    at: Instant,
    /// How long it took to make.
    took: Duration,
    /// As an event of the stream.
    event: Bytes,
}

/// A page that is open.
struct Open {
    site: Arc<Site>,
    key: PageKey,
    page: Arc<Page>,
    /// What its browser has.
    seen: u64,
    since: Instant,
    sent: Instant,
    ticks: Interval,
    _permit: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            streams: Arc::new(Semaphore::new(STREAMS)),
            pages: Mutex::default(),
            process: fastrand::u64(..),
        }
    }

    fn page(&self, key: &PageKey) -> Arc<Page> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get(key).and_then(Weak::upgrade) {
            return page;
        }
        pages.retain(|_, page| page.strong_count() > 0);
        let page = Arc::<Page>::default();
        pages.insert(key.clone(), Arc::downgrade(&page));
        page
    }
}

/// What a page shows by now, in one number: it changes with whatever the receiver counts.
pub(super) fn version(site: &Site) -> u64 {
    let mut hasher = DefaultHasher::new();
    site.live.process.hash(&mut hasher);
    format!("{:?}", site.receiver.stats()).hash(&mut hasher);
    let bulk = site.bulk.own();
    bulk.map(|bulk| (bulk.began, bulk.passed, bulk.end.is_some(), bulk.trouble))
        .hash(&mut hasher);
    // Other processes change a shared inbox, and count for themselves.
    if site.receiver.dispatch().inbox.guarantees().shared {
        site.journal.monotonic().as_secs().hash(&mut hasher);
    }
    hasher.finish()
}

/// The events of a page; none when too many are open.
pub(super) fn open(site: Arc<Site>, key: PageKey, seen: Option<&str>) -> Option<EventStream> {
    let permit = Arc::clone(&site.live.streams).try_acquire_owned().ok()?;
    let seen = seen.and_then(|seen| u64::from_str_radix(seen, 16).ok());
    let now = Instant::now();
    // Not all of them at once.
    let mut ticks = interval_at(now + TICK.mul_f64(fastrand::f64()), TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        page: site.live.page(&key),
        key,
        seen: seen.unwrap_or_default(),
        since: now,
        sent: now,
        ticks,
        _permit: permit,
        site,
    };
    let first = stream::iter([Bytes::from_static(b"retry: 3000\n\n")]);
    let rest = stream::unfold(open, |mut open| async move {
        let event = open.next().await?;
        Some((event, open))
    });
    Some(Box::pin(stream::StreamExt::chain(first, rest)))
}

impl Open {
    /// `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                () = self.site.receiver.dispatch().drained() => return None,
                _ = self.ticks.tick() => {}
            }
            if self.site.receiver.is_ending() || self.since.elapsed() > LONGEST {
                return None;
            }
            let shown = self.page.shown(&self.site, &self.key).await;
            if let Some(shown) = shown.filter(|shown| shown.version != self.seen) {
                self.seen = shown.version;
                self.sent = Instant::now();
                return Some(shown.event);
            }
            if self.sent.elapsed() >= SILENCE {
                self.sent = Instant::now();
                return Some(Bytes::from_static(b":\n\n"));
            }
        }
    }
}

impl Page {
    /// What it shows by now; `None` when it cannot be shown.
    async fn shown(&self, site: &Arc<Site>, key: &PageKey) -> Option<Rendered> {
        let mut shown = self.0.lock().await;
        let version = version(site);
        // Of the time no more than a twentieth goes into one page.
        let is_fresh = |shown: &Rendered| {
            shown.version == version || shown.at.elapsed() < TICK.mul_f64(0.9).max(shown.took * 20)
        };
        if !shown.as_ref().is_some_and(is_fresh) {
            let at = Instant::now();
            let page = render(Arc::clone(site), key.clone()).await?;
            *shown = Some(Rendered {
                version,
                at,
                took: at.elapsed(),
                event: event(version, &page),
            });
        }
        shown.clone()
    }
}

/// A boundary for types: the page of a stream is no stream.
fn render(site: Arc<Site>, key: PageKey) -> BoxFuture<'static, Option<Bytes>> {
    async move {
        let request = Request::of_page(key.access, key.root, &key.query);
        let reply = screens::answer(&site, key.route, &Method::GET, request).await;
        reply.page_text(StatusCode::OK)
    }
    .boxed()
}

fn event(version: u64, page: &[u8]) -> Bytes {
    let page = String::from_utf8_lossy(page);
    let mut event = format!("id: {version:x}\nevent: page\n");
    for line in page.lines() {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}
