//! What is registered, what it is held to, and how it does.

use std::time::Duration;

use askama::Template;

use super::text::{When, span};
use super::{Answer, Call, Problem, page};
use crate::handler::RegisteredHandler;
use crate::inspector::access::{Actor, Reader};
use crate::inspector::filter::Filter;
use crate::inspector::journal::HandlerFigures;
use crate::inspector::response::PageResponse;
use crate::inspector::site::Site;

#[derive(Template)]
#[template(path = "inspector/handlers.html")]
struct HandlersPage {
    root: &'static str,
    may_act: bool,
    rows: Vec<HandlerRow>,
}

struct HandlerRow {
    name: String,
    is_paused: bool,
    events: String,
    location: String,
    attempts: Option<u32>,
    timeout: Option<String>,
    concurrency: Option<usize>,
    strict: bool,
    skip_stale: bool,
    figures: HandlerFigures,
    mean: Option<String>,
    last_failed: Option<When>,
    /// Its events.
    all: String,
}

pub(super) async fn handlers(Call { site, request, .. }: Call<Reader>) -> Answer {
    let rows = site.receiver.handlers().iter();
    let shown = HandlersPage {
        root: request.root,
        may_act: request.access.permit::<Actor>().is_some(),
        rows: rows
            .map(|handler| HandlerRow::new(&site, handler))
            .collect(),
    };
    page(&site, &request, "Handlers", &shown)
}

pub(super) async fn pause(call: Call<Actor>, pauses: bool) -> Answer {
    let Call {
        site,
        request,
        permit,
    } = call;
    let handler = request.form("handler").unwrap_or_default();
    let (is_there, told) = match pauses {
        true => (site.receiver.pause(handler), "pause"),
        false => (site.receiver.resume(handler), "resume"),
    };
    if !is_there {
        return Err(Problem::NotFound);
    }
    site.acted(&permit, told, None);
    Ok(PageResponse::see_other(format!("{}handlers", request.root)))
}

impl HandlerRow {
    fn new(site: &Site, registered: &RegisteredHandler) -> Self {
        let name = &registered.name;
        let handler = site.receiver.dispatch().handlers.get(name);
        let figures = site.journal.handler(name);
        let timeout: Option<Duration> = handler.and_then(|handler| handler.options.timeout);
        Self {
            name: name.as_str().to_owned(),
            is_paused: site.receiver.paused().contains(name),
            events: registered.events.join(", "),
            location: registered.location.clone(),
            attempts: handler.map(|handler| handler.retry.attempts),
            timeout: timeout.map(span),
            concurrency: handler.and_then(|handler| handler.options.concurrency),
            strict: handler.is_some_and(|handler| handler.options.strict),
            skip_stale: handler.is_some_and(|handler| handler.options.skip_stale),
            mean: figures.mean().map(span),
            last_failed: figures.last_failed.map(|at| When::new(at, site.now())),
            all: Filter::default().for_handler(name).query(None),
            figures,
        }
    }
}
