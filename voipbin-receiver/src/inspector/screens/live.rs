//! An open page, as it changes.

use super::{Endpoint, Problem};
use crate::inspector::access::{Permit, Reader};
use crate::inspector::live::{self, PageKey};
use crate::inspector::request::Request;
use crate::inspector::response::PageResponse;
use crate::inspector::route::Route;
use crate::inspector::site::Site;

pub(super) struct Live;

impl Endpoint for Live {
    type Needs = Reader;

    async fn answer(
        self,
        site: &Site,
        asked: &Request,
        _: Permit<Reader>,
    ) -> Result<PageResponse, Problem> {
        let page = asked.query("page").unwrap_or_default();
        let (path, query) = page.split_once('?').unwrap_or((page, ""));
        let found = Route::find(path);
        let shown = |(route, root): &(Route, &'static str)| {
            route.is_live(&Request::of_page(asked.access, root, query))
        };
        let (route, root) = found.filter(shown).ok_or(Problem::NotFound)?;
        let key = PageKey {
            route,
            root,
            query: query.to_owned(),
            access: asked.access,
        };
        let site = site.shared.upgrade().ok_or(Problem::NotFound)?;
        let seen = asked.last_event.as_deref().or(asked.query("seen"));
        let stream = live::open(site, key, seen);
        let stream = stream.ok_or(Problem::Busy("Too many pages are open."))?;
        Ok(PageResponse::stream("text/event-stream", stream))
    }
}
