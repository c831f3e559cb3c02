//! The pages. Each is a struct, its template, and an endpoint that says which right it needs.

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

use askama::Template;
use http::{Method, StatusCode};

use super::access::{Permit, Reader, Revealer, Right};
use super::live::version;
use super::request::Request;
use super::response::PageResponse;
use super::route::{ASSETS, Asset, Assets, Route};
use super::site::Site;
use crate::inbox::{RecordsError, RecordsErrorKind};

/// Something that answers requests. It cannot be written without saying which right it needs, nor
/// be reached without a permit for that.
trait Endpoint: Send + Sync {
    type Needs: Right;

    fn answer(
        self,
        site: &Site,
        asked: &Request,
        permit: Permit<Self::Needs>,
    ) -> impl Future<Output = Result<PageResponse, Problem>> + Send;
}

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
    site: &Site,
    route: Route,
    method: &Method,
    mut asked: Request,
) -> PageResponse {
    // As of before it is read: what happens meanwhile makes a newer one.
    asked.live = route.is_live(&asked).then(|| version(site));
    let reads = [Method::GET, Method::HEAD].contains(method);
    let changes = *method == Method::POST;
    match route {
        Route::Now if reads => call(now::Now, site, &asked).await,
        Route::Events if reads => call(events::Events, site, &asked).await,
        Route::Event(id) if reads => call(event::Event(id), site, &asked).await,
        Route::EventRevealed(id) if reads => call(event::EventRevealed(id), site, &asked).await,
        Route::Dead if reads => call(dead::Dead, site, &asked).await,
        Route::DeadRevealed if reads => call(dead::DeadRevealed, site, &asked).await,
        Route::Bulk if reads => call(bulk::Preview, site, &asked).await,
        Route::Bulk if changes => call(bulk::Start, site, &asked).await,
        Route::BulkCancel if changes => call(bulk::Cancel, site, &asked).await,
        Route::Refused if reads => call(refused::Refused, site, &asked).await,
        Route::Handlers if reads => call(handlers::Handlers, site, &asked).await,
        Route::Pause if changes => call(handlers::Pause(true), site, &asked).await,
        Route::Resume if changes => call(handlers::Pause(false), site, &asked).await,
        Route::Export if reads => call(export::Export, site, &asked).await,
        Route::Live if reads => call(live::Live, site, &asked).await,
        Route::Settings if reads => call(settings::Settings, site, &asked).await,
        Route::Asset(asset) if reads => call(File(asset), site, &asked).await,
        Route::SignIn if reads => call(sign_in::SignInPage, site, &asked).await,
        Route::SignIn if changes => call(sign_in::SignIn, site, &asked).await,
        Route::Retry(id) if changes => call(act::Retry(id), site, &asked).await,
        Route::Discard(id) if changes => call(act::Discard(id), site, &asked).await,
        Route::Edit(id) if changes => call(act::Edit(id), site, &asked).await,
        Route::SignOut if changes => call(sign_in::SignOut, site, &asked).await,
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
            problem(StatusCode::METHOD_NOT_ALLOWED, asked.root, told).allow(allowed)
        }
    }
}

async fn call<E: Endpoint>(endpoint: E, site: &Site, asked: &Request) -> PageResponse {
    let answered = match asked.access.permit::<E::Needs>() {
        Some(permit) => endpoint.answer(site, asked, permit).await,
        None => Err(Problem::NotAllowed),
    };
    answered.unwrap_or_else(|problem| problem.reply(asked.root))
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
            Self::Records(error) if error.kind() == RecordsErrorKind::Replayed => {
                (StatusCode::CONFLICT, error.to_string())
            }
            Self::Records(error) if error.kind() == RecordsErrorKind::NotFound => {
                return Self::NotFound.reply(root);
            }
            Self::Records(error) => {
                let cause = std::error::Error::source(&error);
                tracing::warn!(%error, cause, "the inspector cannot read the inbox");
                (StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
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
    asked: &Request,
    title: &str,
    content: &impl Template,
) -> Result<PageResponse, Problem> {
    let version = asked.live.map(|version| format!("{version:x}"));
    let content = content.render();
    let content = content.map_err(|_| Problem::Bad("The page could not be written.".into()))?;
    let has_token = site.authority.has_token();
    let acts = asked.access.permit::<Revealer>().is_some();
    Ok(PageResponse::page(&Layout {
        root: asked.root,
        assets: &ASSETS,
        version,
        title,
        access: asked.access.as_str(),
        may_sign_in: has_token && !acts,
        may_sign_out: has_token && acts,
        content: &content,
    }))
}

/// A file that is in the program.
struct File(&'static Asset);

impl Endpoint for File {
    type Needs = Reader;

    async fn answer(
        self,
        _: &Site,
        _: &Request,
        _: Permit<Reader>,
    ) -> Result<PageResponse, Problem> {
        Ok(PageResponse::new(self.0.content_type, self.0.content).lasting())
    }
}

/// Where the next page begins, as the address says.
fn before(asked: &Request) -> Result<Option<crate::event::RecordId>, Problem> {
    let before = asked.query("before").map(str::parse).transpose();
    before.map_err(|_| Problem::Bad("before is the number of an event.".into()))
}
