//! The pages. Each is a struct, its template, and an endpoint whose [`Call`] says which right it
//! takes.

mod act;
mod bulk;
mod copies;
mod dead;
mod event;
mod events;
mod export;
mod handlers;
mod live;
mod now;
mod refused;
mod settings;
pub(super) mod sign_in;
mod text;

use std::future::Future;
use std::sync::Arc;

use askama::Template;
use http::{Method, StatusCode};

use super::access::{Permit, Reader, Revealer, Right};
use super::live::version;
use super::request::Request;
use super::response::PageResponse;
use super::route::{ASSETS, Asset, Assets, Route};
use super::site::Site;
use crate::inbox::{RecordsError, RecordsErrorKind};

/// What an endpoint is called with: its type says which right it takes, and there is none without
/// a permit for that.
struct Call<R: Right> {
    site: Arc<Site>,
    request: Request,
    permit: Permit<R>,
}

type Answer = Result<PageResponse, Problem>;

/// Why there is no page.
enum Problem {
    NotFound,
    /// The right for what was asked is missing.
    NotAllowed,
    /// What was asked makes no sense.
    Bad(String),
    /// It does not go together with what is going on.
    Conflict(&'static str),
    /// There is no room for it now.
    Busy(&'static str),
    Records(RecordsError),
}

impl From<RecordsError> for Problem {
    fn from(error: RecordsError) -> Self {
        Self::Records(error)
    }
}

pub(super) async fn answer(
    site: &Arc<Site>,
    route: Route,
    method: &Method,
    mut request: Request,
) -> PageResponse {
    // As of before it is read: what happens meanwhile makes a newer one.
    request.live = route.live_query(&request).map(|_| version(site));
    let reads = [Method::GET, Method::HEAD].contains(method);
    let changes = *method == Method::POST;
    match route {
        Route::Now if reads => call(site, request, now::now).await,
        Route::Events if reads => call(site, request, events::events).await,
        Route::Event(id) if reads => call(site, request, |call| event::event(call, id)).await,
        Route::EventRevealed(id) if reads => {
            call(site, request, |call| event::event_revealed(call, id)).await
        }
        Route::Dead if reads => call(site, request, dead::dead).await,
        Route::DeadRevealed if reads => call(site, request, dead::dead_revealed).await,
        Route::Bulk if reads => call(site, request, bulk::preview).await,
        Route::Bulk if changes => call(site, request, bulk::start).await,
        Route::BulkCancel if changes => call(site, request, bulk::cancel).await,
        Route::Refused if reads => call(site, request, refused::refused).await,
        Route::Handlers if reads => call(site, request, handlers::handlers).await,
        Route::Pause if changes => call(site, request, |call| handlers::pause(call, true)).await,
        Route::Resume if changes => call(site, request, |call| handlers::pause(call, false)).await,
        Route::Export if reads => call(site, request, export::export).await,
        Route::Live if reads => call(site, request, live::live).await,
        Route::Settings if reads => call(site, request, settings::settings).await,
        Route::Asset(asset) if reads => call(site, request, |call| file(call, asset)).await,
        Route::SignIn if reads => call(site, request, sign_in::sign_in_page).await,
        Route::SignIn if changes => call(site, request, sign_in::sign_in).await,
        Route::Retry(id) if changes => call(site, request, |call| act::retry(call, id)).await,
        Route::Discard(id) if changes => call(site, request, |call| act::discard(call, id)).await,
        Route::Edit(id) if changes => call(site, request, |call| act::edit(call, id)).await,
        Route::SignOut if changes => call(site, request, sign_in::sign_out).await,
        _ => {
            let allowed = match route {
                Route::SignIn | Route::Bulk => "GET, HEAD, POST",
                Route::SignOut
                | Route::Retry(_)
                | Route::Discard(_)
                | Route::Edit(_)
                | Route::BulkCancel
                | Route::Pause
                | Route::Resume => "POST",
                _ => "GET, HEAD",
            };
            let told = "The page does not take this method.";
            problem(StatusCode::METHOD_NOT_ALLOWED, request.root, told).allow(allowed)
        }
    }
}

async fn call<R: Right, F: Future<Output = Answer>>(
    site: &Arc<Site>,
    request: Request,
    endpoint: impl FnOnce(Call<R>) -> F,
) -> PageResponse {
    let (site, root) = (Arc::clone(site), request.root);
    let answer = match request.access.permit() {
        Some(permit) => {
            endpoint(Call {
                site,
                request,
                permit,
            })
            .await
        }
        None => Err(Problem::NotAllowed),
    };
    answer.unwrap_or_else(|problem| problem.reply(root))
}

impl Problem {
    fn reply(self, root: &str) -> PageResponse {
        let (status, told) = match self {
            Self::Busy(told) => {
                return problem(StatusCode::SERVICE_UNAVAILABLE, root, told).retry_after(30);
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "It is not there, or not any more.".to_owned(),
            ),
            Self::NotAllowed => (
                StatusCode::FORBIDDEN,
                "It takes a right that you do not have. Whoever has the inspector's token signs in with it."
                    .to_owned(),
            ),
            Self::Bad(told) => (StatusCode::BAD_REQUEST, told),
            Self::Conflict(told) => (StatusCode::CONFLICT, told.to_owned()),
            Self::Records(error) => match error.kind() {
                RecordsErrorKind::NotFound => return Self::NotFound.reply(root),
                RecordsErrorKind::Replayed | RecordsErrorKind::Unsupported => {
                    (StatusCode::CONFLICT, error.to_string())
                }
                RecordsErrorKind::Storage => {
                    let cause = std::error::Error::source(&error);
                    tracing::warn!(%error, cause, "the inspector cannot read the inbox");
                    (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
                }
            },
        };
        problem(status, root, &told)
    }
}

#[derive(Template)]
#[template(path = "inspector/problem.html")]
struct ProblemPage<'a> {
    root: &'a str,
    icon: &'static str,
    told: &'a str,
}

/// A page that says what is wrong, to anybody: it tells nothing of the receiver.
pub(super) fn problem(status: StatusCode, root: &str, told: &str) -> PageResponse {
    let icon = &ASSETS.icon.name;
    PageResponse::page(&ProblemPage { root, icon, told }).status(status)
}

/// The pages that every page leads to, and where each is.
const NAVIGATION: [(&str, &str); 6] = [
    ("Now", ""),
    ("Events", "events"),
    ("Dead letters", "dead"),
    ("Refused", "refused"),
    ("Handlers", "handlers"),
    ("Settings", "settings"),
];

/// What is around every page.
#[derive(Template)]
#[template(path = "inspector/layout.html")]
struct Layout<'a> {
    root: &'a str,
    assets: &'static Assets,
    /// What the page shows, where it is kept up to date while it is open.
    version: Option<String>,
    title: &'a str,
    access: &'static str,
    /// Whether it takes a token to see or do more.
    may_sign_in: bool,
    may_sign_out: bool,
    content: &'a str,
}

/// A page with its title, in the layout.
fn page(
    site: &Site,
    request: &Request,
    title: &str,
    content: &impl Template,
) -> Result<PageResponse, Problem> {
    let version = request.live.map(|version| format!("{version:x}"));
    let content = content.render();
    let content = content.map_err(|_| Problem::Bad("The page could not be written.".into()))?;
    let has_token = site.authority.has_token();
    let acts = request.access.permit::<Revealer>().is_some();
    Ok(PageResponse::page(&Layout {
        root: request.root,
        assets: &ASSETS,
        version,
        title,
        access: request.access.as_str(),
        may_sign_in: has_token && !acts,
        may_sign_out: has_token && acts,
        content: &content,
    }))
}

/// A file that is in the program.
async fn file(_: Call<Reader>, asset: &'static Asset) -> Answer {
    Ok(PageResponse::new(asset.content_type, asset.content).lasting())
}

/// Where the next page begins, as the address says.
fn before(request: &Request) -> Result<Option<crate::event::RecordId>, Problem> {
    let before = request.query("before").map(str::parse).transpose();
    before.map_err(|_| Problem::Bad("before is the number of an event.".into()))
}
