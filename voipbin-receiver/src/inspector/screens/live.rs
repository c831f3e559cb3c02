//! An open page, as it changes.

use super::{Answer, Call, Problem};
use crate::inspector::access::Reader;
use crate::inspector::live::{self, PageKey};
use crate::inspector::request::Request;
use crate::inspector::response::PageResponse;
use crate::inspector::route::Route;

pub(super) async fn live(Call { site, request, .. }: Call<Reader>) -> Answer {
    let page = request.query("page").unwrap_or_default();
    let (path, query) = page.split_once('?').unwrap_or((page, ""));
    let (route, root) = Route::find(path).ok_or(Problem::NotFound)?;
    let query = route.live_query(&Request::of_page(request.access, root, query));
    let key = PageKey {
        route,
        root,
        query: query.ok_or(Problem::NotFound)?,
        access: request.access,
    };
    let seen = request.last_event.as_deref().or(request.query("seen"));
    let stream = live::open(site, key, seen);
    let stream = stream.ok_or(Problem::Busy("Too many pages are open."))?;
    Ok(PageResponse::stream("text/event-stream", stream))
}
